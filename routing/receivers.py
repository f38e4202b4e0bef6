"""The one place where the two roads meet the domain: its signals are received here.

`notified`, sent inside the transaction of a fan-out, is the push road's.
"""

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.contrib.auth.signals import user_logged_out
from django.db import transaction
from django.db.models.signals import post_delete, post_save

from notifications import tracing
from notifications.models import Event, Token
from notifications.signals import PUSH_ROAD, Change, inbox_changed, notified
from notifications.templating import languages
from routing import duties
from routing.live import messages
from routing.live.publisher import publish
from routing.push import browser, locales, planning, worker
from routing.push.tracing import PushTeller


def connect() -> None:
    notified.connect(plan, dispatch_uid=PUSH_ROAD)
    duties.add(worker.duties)
    tracing.add(PushTeller())
    languages.add_source(locales.of_users)
    inbox_changed.connect(announce, dispatch_uid="hub_live_announce")
    user_logged_out.connect(_logged_out, dispatch_uid="hub_live_logged_out")
    post_delete.connect(_token_deleted, sender=Token, dispatch_uid="hub_live_token_deleted")
    user = settings.AUTH_USER_MODEL
    post_save.connect(_user_saved, sender=user, dispatch_uid="hub_live_user_saved")
    post_delete.connect(_user_deleted, sender=user, dispatch_uid="hub_live_user_deleted")


def plan(*, event: Event, recipients: Any, using: str, **_: Any) -> None:
    """Inside the fan-out's transaction: a rollback takes the planned deliveries with it."""
    planning.plan(event, recipients, using)


def announce(*, change: Change, **_: Any) -> None:
    """After the commit: word to the processes whose sockets it concerns."""
    publish(_told(change))


def _told(change: Change) -> Iterator[messages.Outgoing]:
    """Made only when it is asked for."""
    yield from messages.outgoing(change)


def _logged_out(*, request: Any, user: Any, **_: Any) -> None:
    if user is not None:
        browser.signed_out(request, user)
        _look_at(user.pk)


def _token_deleted(*, instance: Token, using: str, **_: Any) -> None:
    _look_at(instance.user_id, using=using)


def _user_saved(
    *, instance: Any, created: bool, using: str, update_fields: Any = None, **_: Any
) -> None:
    # every login saves the user for this field alone
    if not created and update_fields != frozenset({"last_login"}):
        _look_at(instance.pk, using=using)


def _user_deleted(*, instance: Any, using: str, **_: Any) -> None:
    _look_at(instance.pk, using=using)


def _look_at(user_id: Any, *, using: str | None = None) -> None:
    """After the commit, if there is one to come: something of this user's may have ended."""
    hint = messages.ended(user_id)
    transaction.on_commit(lambda: publish(hint), using=using, robust=True)
