"""What the push road tells whoever wants to know; each is sent once, after the commit.

`device_registered`, `device_updated`, `device_deactivated`: argument `device`; the last one also
`reason`, one of `Device.Reason`. `delivery_finished`: argument `delivery`, of which a worker wrote
a final state; what the provider said is in its `status`, `error` and `provider_id`. `push_alert`:
arguments `application`, `origin` (empty: all of it) and `reason`; a person should look. Receivers
that fail are logged and stop nothing.
"""

from functools import partial
from typing import Any

from django.db import transaction
from django.dispatch import Signal

device_registered = Signal()
device_updated = Signal()
device_deactivated = Signal()
delivery_finished = Signal()
push_alert = Signal()


def tell(signal: Signal, *, using: str, **news: Any) -> None:
    """Sends it when the running transaction has committed."""
    send = partial(signal.send_robust, sender=None, **news)
    transaction.on_commit(send, using=using, robust=True)
