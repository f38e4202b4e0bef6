"""Old notifications of another system in an inbox: numbers, counters, states, retention."""

import threading
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from notifications import inbox, send_notification
from notifications.models import Event, EventType, Notification
from notifications.signals import Imported, inbox_changed, notified

pytestmark = pytest.mark.django_db(transaction=True)

NOW = timezone.now()


def past_event(days: int = 1) -> int:
    kind = EventType.objects.get(name="post_like")
    return Event.objects.create(type=kind, timestamp=NOW - timedelta(days=days)).pk


def store(*rows: inbox.Past) -> int:
    users = {row.user_id for row in rows}
    inbox.ensure(users, using="default")
    with transaction.atomic():
        return inbox.store_past(rows, using="default")


def counters(user: Any) -> tuple[int, int, int, int]:
    found = inbox.summary(user.pk)
    return found.unread, found.unseen, found.total, found.version


def versions(user: Any) -> list[tuple[int, int, int]]:
    rows = Notification.objects.filter(user=user).order_by("arrived")
    return list(rows.values_list("event_id", "arrived", "version"))


def test_each_takes_the_next_number_of_its_inbox_and_is_counted_by_its_states(alice, bob):
    sent = send_notification("post_like", users=[alice]).pk
    unread, read, archived, deleted = (past_event(days) for days in (4, 3, 2, 1))
    moment = NOW - timedelta(hours=1)
    made = store(
        inbox.Past(user_id=alice.pk, event_id=unread),
        inbox.Past(user_id=alice.pk, event_id=read, read_at=moment),
        inbox.Past(user_id=bob.pk, event_id=unread, seen_at=moment),
        inbox.Past(user_id=alice.pk, event_id=archived, archived_at=moment),
        inbox.Past(user_id=alice.pk, event_id=deleted, deleted_at=NOW),
    )
    assert made == 5
    assert versions(alice) == [
        (sent, 1, 1), (unread, 2, 2), (read, 3, 3), (archived, 4, 4), (deleted, 5, 5),
    ]  # fmt: skip
    assert counters(alice) == (2, 2, 3, 5)  # sent, unread; and read
    assert counters(bob) == (1, 0, 1, 1)
    found = inbox.get(alice.pk, read)
    assert found is not None and found["seen_at"] == found["read_at"] != None  # noqa: E711
    assert inbox.get(alice.pk, deleted) is None


def test_who_has_the_event_already_keeps_it_and_takes_no_number(alice):
    event = past_event()
    row = inbox.Past(user_id=alice.pk, event_id=event)
    assert (store(row, row), store(row)) == (1, 0)
    assert counters(alice) == (1, 1, 1, 1)


def test_who_is_connected_is_told_to_read_and_nothing_is_pushed(alice):
    told: list[Any] = []
    asked: list[Any] = []

    def keep(change: Any, **_: Any) -> None:
        told.append(change)

    def ask(event: Any, **_: Any) -> None:
        asked.append(event)

    inbox_changed.connect(keep)
    notified.connect(ask)
    try:
        store(inbox.Past(user_id=alice.pk, event_id=past_event()))
    finally:
        inbox_changed.disconnect(keep)
        notified.disconnect(ask)
    assert [type(change) for change in told] == [Imported] and asked == []
    assert [(p.user_id, p.version, p.unread) for p in told[0].positions] == [(alice.pk, 1, 1)]


def test_a_client_that_resumes_gets_them_in_the_order_of_their_numbers(alice):
    send_notification("post_like", users=[alice])
    here = inbox.summary(alice.pk)
    events = [past_event(days) for days in (3, 2, 1)]
    store(*(inbox.Past(user_id=alice.pk, event_id=event) for event in events))
    found = inbox.changes(alice.pk, epoch=here.epoch, since=here.version)
    assert [row["id"] for row in found.changes] == events and found.version == 4


def test_retention_takes_an_old_event_with_a_new_id_and_leaves_younger_ones_below_it(
    alice, settings
):
    settings.HUB = {**settings.HUB, "RETENTION": timedelta(days=100)}
    fresh = send_notification("post_like", users=[alice]).pk
    store(inbox.Past(user_id=alice.pk, event_id=past_event(days=101)))
    assert inbox.prune()["deleted"] == 1
    assert [row["id"] for row in inbox.page(alice.pk).results] == [fresh]
    assert inbox.prune()["deleted"] == 0


@pytest.mark.production
def test_a_send_at_the_same_time_leaves_no_hole(alice):
    events = [past_event() for _ in range(30)]
    failures: list[BaseException] = []

    def sends() -> None:
        try:
            for _ in range(30):
                send_notification("post_like", users=[alice])
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=sends)
    thread.start()
    for event in events:
        store(inbox.Past(user_id=alice.pk, event_id=event))
    thread.join()
    assert not failures
    assert [number for _, number, _ in versions(alice)] == list(range(1, 61))
    assert counters(alice) == (60, 60, 60, 60)


def test_times_are_kept(alice):
    event, read_at = past_event(), datetime(2020, 2, 29, 12, tzinfo=NOW.tzinfo)
    store(inbox.Past(user_id=alice.pk, event_id=event, read_at=read_at))
    assert Notification.objects.get(user=alice).read_at == read_at
