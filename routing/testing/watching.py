"""Somebody who looks: what spares them a push."""

from typing import Any

from notifications import inbox
from routing import presence


def looks(user: Any, *, acked: bool = False) -> None:
    """The user has a page open, for the next minute; pushes wait for the grace time.

    With `acked` the page also shows everything that is in the inbox by now, so that none of it is
    pushed any more.
    """
    found = inbox.positions([user.pk])
    version = found.inboxes[user.pk].version if acked else 0
    presence.hold([(user.pk, found.epoch if acked else "", version)])
