"""What takes things out of many inboxes takes as many statements for many as for few."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from notifications import inbox, send_notification
from notifications.models import Event, Inbox, Notification

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.production]

User = get_user_model()
LONG_AGO = timezone.now() - timedelta(days=2000)


def told(number: int, **fields: Any) -> list[Event]:
    """Two events in as many new inboxes, the second one read by everybody."""
    users = [User.objects.create(username=f"u{number}-{n}").pk for n in range(number)]
    events = [send_notification("post_like", users=users, **fields) for _ in range(2)]
    Notification.objects.filter(event=events[1]).update(read_at=timezone.now())
    Inbox.objects.filter(user__in=users).update(unread=1)
    return events


def expire(number: int) -> None:
    soon = timezone.now() + timedelta(hours=1)
    events = told(number, expires_at=soon)
    over = timezone.now()
    Event.objects.filter(pk__in=[event.pk for event in events]).update(expires_at=over)
    Inbox.objects.exclude(next_expiry=None).update(next_expiry=over)


def grow_old(number: int) -> None:
    events = told(number)
    Event.objects.filter(pk__in=[event.pk for event in events]).update(timestamp=LONG_AGO)


def lie_deleted(number: int) -> None:
    events = told(number)
    for event in events:
        inbox.withdraw(event)
    Notification.objects.filter(event__in=events).update(deleted_at=LONG_AGO)


def be_there(number: int) -> None:
    told(number)


def withdraw() -> None:
    inbox.withdraw(Event.objects.order_by("-pk")[0])


@pytest.mark.parametrize(
    ("prepare", "work"),
    [
        (expire, lambda: inbox.sweep_expired()),
        (grow_old, lambda: inbox.prune()),
        (lie_deleted, lambda: inbox.prune()),
        (be_there, withdraw),
    ],
)
def test_many_inboxes_take_as_many_statements_as_few(
    prepare: Callable[[int], None], work: Callable[[], Any]
) -> None:
    taken = []
    for number in (2, 40):
        prepare(number)
        with CaptureQueriesContext(connection) as captured:
            work()
        taken.append(len(captured))
    assert taken[0] == taken[1]
    for stand in Inbox.objects.all():
        rows = Notification.objects.filter(user=stand.user_id, deleted_at=None, expired_at=None)
        assert stand.total == rows.count()
        assert stand.unread == rows.filter(read_at=None).count()
        assert stand.unseen == rows.filter(seen_at=None).count()
