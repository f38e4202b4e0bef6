"""The inbox: states, counters, resume, deletion, broadcasts, expiry, retention."""

import os
import signal
import threading
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.utils import timezone

from notifications import EVERYONE, errors, inbox, send_notification
from notifications.models import (
    Audience,
    Event,
    EventType,
    Filter,
    HubState,
    IdempotencyKey,
    Inbox,
    Notification,
)
from notifications.signals import Arrived, Deleted, Marked, inbox_changed
from notifications.sql import Sql

pytestmark = pytest.mark.django_db(transaction=True)

User = get_user_model()


@pytest.fixture
def changes():
    """What `inbox_changed` tells during the test."""
    told: list[Any] = []

    def keep(change: Any, **_: Any) -> None:
        told.append(change)

    inbox_changed.connect(keep)
    yield told
    inbox_changed.disconnect(keep)


def send(*users: Any, name: str = "post_like", **fields: Any) -> int:
    return send_notification(name, users=list(users), **fields).pk


def counters(user: Any) -> tuple[int, int, int]:
    found = inbox.summary(user.pk)
    return found.unread, found.unseen, found.total


def row(user: Any, event_id: int) -> dict[str, Any]:
    found = inbox.get(user.pk, event_id)
    assert found is not None
    return found


def test_seen_leaves_unread_alone(alice):
    first = send(alice)
    send(alice)
    assert inbox.mark(alice.pk, state="seen", ids=[first]) == inbox.Result(changed=1, version=3)
    assert counters(alice) == (2, 1, 2)
    assert row(alice, first)["seen_at"] and not row(alice, first)["read_at"]


def test_read_sets_seen_too_and_the_first_read_time_stays(alice):
    event = send(alice)
    inbox.mark(alice.pk, state="read", ids=[event])
    before = row(alice, event)
    assert before["read_at"] == before["seen_at"]
    assert counters(alice) == (0, 0, 1)
    assert inbox.mark(alice.pk, state="read", ids=[event]).changed == 0
    assert row(alice, event) == before


def test_a_seen_time_stays_when_it_is_read_later(alice):
    event = send(alice)
    inbox.mark(alice.pk, state="seen", ids=[event])
    seen_at = row(alice, event)["seen_at"]
    inbox.mark(alice.pk, state="read", ids=[event])
    assert row(alice, event)["seen_at"] == seen_at
    assert counters(alice) == (0, 0, 1)


def test_unread_keeps_it_seen(alice):
    event = send(alice)
    inbox.mark(alice.pk, state="read", ids=[event])
    inbox.mark(alice.pk, state="unread", ids=[event])
    assert row(alice, event)["read_at"] is None and row(alice, event)["seen_at"]
    assert counters(alice) == (1, 0, 1)


def test_archived_leaves_the_counters_and_comes_back_as_it_was(alice):
    read, new = send(alice), send(alice)
    inbox.mark(alice.pk, state="read", ids=[read])
    inbox.mark(alice.pk, state="archived", ids=[read, new])
    assert counters(alice) == (0, 0, 0)
    inbox.mark(alice.pk, state="unarchived", up_to=99)
    assert counters(alice) == (1, 1, 2)


def test_marking_an_archived_one_read_moves_no_counter_until_it_is_back(alice):
    event = send(alice)
    inbox.mark(alice.pk, state="archived", ids=[event])
    inbox.mark(alice.pk, state="read", ids=[event])
    assert counters(alice) == (0, 0, 0)
    inbox.mark(alice.pk, state="unarchived", ids=[event])
    assert counters(alice) == (0, 0, 1)


def test_up_to_compares_with_arrived_and_not_with_version(alice):
    events = [send(alice) for _ in range(3)]
    inbox.mark(alice.pk, state="seen", up_to=3)  # the bell on the phone: version 4 for all
    assert inbox.mark(alice.pk, state="read", up_to=2).changed == 2
    assert [row(alice, event)["read_at"] is not None for event in events] == [True, True, False]


def test_up_to_leaves_archived_ones_out_and_can_name_a_type(alice):
    first, second = send(alice), send(alice, name="post_comment")
    inbox.mark(alice.pk, state="archived", ids=[first])
    assert inbox.mark(alice.pk, state="read", up_to=9, type="post_like").changed == 0
    assert inbox.mark(alice.pk, state="read", up_to=9).changed == 1
    assert row(alice, first)["read_at"] is None
    assert row(alice, second)["read_at"]


def test_one_change_takes_one_number_and_no_change_none(alice):
    events = [send(alice) for _ in range(5)]
    assert inbox.mark(alice.pk, state="read", ids=events).version == 6
    assert {row(alice, event)["version"] for event in events} == {6}
    assert inbox.mark(alice.pk, state="read", ids=events) == inbox.Result(changed=0, version=6)
    assert inbox.delete(alice.pk, ids=[999]) == inbox.Result(changed=0, version=6)


def test_the_ids_of_others_are_passed_over(alice, bob):
    hers, his = send(alice), send(bob)
    assert inbox.mark(alice.pk, state="read", ids=[hers, his, 999]).changed == 1
    assert inbox.delete(alice.pk, ids=[his]).changed == 0
    assert inbox.get(alice.pk, his) is None
    assert counters(bob) == (1, 1, 1)


@pytest.mark.parametrize(
    "wrong",
    [{"state": "liked", "ids": []}, {"state": "read"}, {"state": "read", "ids": [], "up_to": 1}],
)
def test_a_mark_that_makes_no_sense_is_refused(alice, wrong):
    with pytest.raises(errors.InvalidField):
        inbox.mark(alice.pk, **wrong)


def test_deletion_leaves_a_tombstone_that_resume_tells_of(alice):
    event = send(alice)
    epoch = inbox.summary(alice.pk).epoch
    assert inbox.delete(alice.pk, ids=[event]) == inbox.Result(changed=1, version=2)
    assert counters(alice) == (0, 0, 0)
    assert inbox.get(alice.pk, event) is None
    found = inbox.changes(alice.pk, epoch=epoch, since=1)
    assert found.changes == [{"id": event, "version": 2, "deleted": True}]


def test_every_change_is_told_with_the_position_it_led_to(alice, bob, changes):
    event = send(alice, bob)
    inbox.mark(alice.pk, state="read", ids=[event])
    inbox.mark(alice.pk, state="unread", up_to=5, type="post_like")
    inbox.delete(alice.pk, ids=[event])
    arrived, read, unread, deleted = changes
    assert isinstance(arrived, Arrived) and arrived.event.pk == event
    assert [(r.user_id, r.version) for r in arrived.recipients] == [(alice.pk, 1), (bob.pk, 1)]
    assert isinstance(read, Marked) and (read.state, list(read.ids)) == ("read", [event])
    # a number that is not reached yet is told as the one that is
    assert (unread.up_to, unread.type, unread.position.unread) == (2, "post_like", 1)
    assert isinstance(deleted, Deleted) and deleted.position.version == 4


def test_concurrent_marks_are_counted_exactly(alice):
    events = [send(alice) for _ in range(10)]
    start = threading.Barrier(4)

    def mark(states: list[str]) -> None:
        start.wait()
        for state in states * 3:
            inbox.mark(alice.pk, state=state, ids=events[::2])
            inbox.mark(alice.pk, state=state, up_to=7)
        connection.close()

    jobs = [["read", "unread"], ["seen", "archived"], ["unarchived", "read"], ["unread"]]
    threads = [threading.Thread(target=mark, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    listed = Notification.objects.filter(user=alice, archived_at=None, deleted_at=None)
    assert counters(alice) == (
        listed.filter(read_at=None).count(),
        listed.filter(seen_at=None).count(),
        listed.count(),
    )


# --- resume -------------------------------------------------------------------------------------


def test_resume_answers_what_came_after_the_cursor(alice):
    epoch = inbox.summary(alice.pk).epoch
    events = [send(alice) for _ in range(3)]
    found = inbox.changes(alice.pk, epoch=epoch, since=1)
    assert [change["id"] for change in found.changes] == events[1:]
    assert (found.version, found.more, found.reset) == (3, False, False)
    assert inbox.changes(alice.pk, epoch=epoch, since="3").changes == []


def test_pages_of_one_large_change_are_complete_only_at_their_end(alice):
    epoch = inbox.summary(alice.pk).epoch
    events = [send(alice) for _ in range(7)]
    inbox.mark(alice.pk, state="read", up_to=7)  # all seven under number 8
    since: Any = 7
    seen, versions = [], []
    while True:
        found = inbox.changes(alice.pk, epoch=epoch, since=since, limit=3)
        seen += [change["id"] for change in found.changes]
        versions.append(found.version)
        if not found.more:
            break
        since = found.cursor
    assert sorted(seen) == events
    assert versions == [7, 7, 8]


def test_what_changes_while_a_client_pages_is_found_later_on_its_way(alice):
    epoch = inbox.summary(alice.pk).epoch
    events = [send(alice) for _ in range(4)]
    page = inbox.changes(alice.pk, epoch=epoch, since=0, limit=2)
    inbox.mark(alice.pk, state="read", ids=[events[0]])
    copy = {change["id"]: change for change in page.changes}
    while page.more:
        page = inbox.changes(alice.pk, epoch=epoch, since=page.cursor, limit=2)
        copy.update({change["id"]: change for change in page.changes})
    assert copy == {event: row(alice, event) for event in events}
    assert page.version == 5


@pytest.mark.parametrize(
    "since",
    ["", "x", "-1", "1.", ".1", "1.0", "1.2.3", "9" * 30, 99, None, True, 1.5, "٣", "1\n", [1]],
)
def test_a_cursor_that_cannot_be_resumed_is_a_reset(alice, since):
    send(alice)
    found = inbox.changes(alice.pk, epoch=inbox.summary(alice.pk).epoch, since=since)
    assert found.reset and found.changes == [] and not found.more
    assert found.retry_after is not None and 0 <= found.retry_after <= 5
    assert found.version == 1


@pytest.mark.parametrize("epoch", ["", "another", None])
def test_a_cursor_of_another_epoch_is_a_reset(alice, epoch):
    assert inbox.changes(alice.pk, epoch=epoch, since=0).reset


def test_a_new_epoch_ends_every_cursor(alice):
    old = inbox.summary(alice.pk).epoch
    assert not inbox.changes(alice.pk, epoch=old, since=0).reset
    inbox.new_epoch()
    assert inbox.summary(alice.pk).epoch != old
    assert inbox.changes(alice.pk, epoch=old, since=0).reset


@pytest.mark.production
def test_on_postgresql_the_epoch_names_the_cluster_and_its_timeline(alice):
    with connection.cursor() as cursor:
        cursor.execute("SELECT system_identifier FROM pg_control_system()")
        [identifier] = cursor.fetchone()
    plain = HubState.objects.get().epoch
    assert inbox.summary(alice.pk).epoch == f"{plain}.{identifier}.1"


@pytest.mark.production
def test_on_postgresql_a_failover_begins_an_epoch_at_once(postgres_server):
    """Also before the first checkpoint after it; until then the control file tells the old one."""
    statement = Sql("default").text("SELECT {epoch} FROM (SELECT 'plain' AS epoch) s")
    with psycopg.connect(postgres_server.url) as asking:
        [before] = asking.execute(statement).fetchone()
    postgres_server.stop()
    (postgres_server.data / "standby.signal").touch()
    postgres_server.start()
    with psycopg.connect(postgres_server.url, autocommit=True) as asking:
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            asking.execute(statement)  # what a standby knows may be older than what clients saw
        who = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'"
        [checkpointer] = asking.execute(who).fetchone()
        os.kill(checkpointer, signal.SIGSTOP)
        try:
            asking.execute("SELECT pg_promote()")
            [after] = asking.execute(statement).fetchone()
        finally:
            os.kill(checkpointer, signal.SIGCONT)
    assert (before, after) == (f"{before[:-2]}.1", f"{before[:-2]}.2")


def test_a_resume_is_one_query(alice, bob, django_assert_num_queries):
    epoch = inbox.summary(alice.pk).epoch
    for _ in range(5):
        send(alice)
    with django_assert_num_queries(1):
        assert len(inbox.changes(alice.pk, epoch=epoch, since=0).changes) == 5


def test_a_user_who_is_gone_has_an_empty_inbox():
    assert inbox.summary(10**9).total == 0
    assert inbox.page(10**9).results == []
    assert not inbox.changes(10**9, epoch=inbox.summary(10**9).epoch, since=0).reset
    assert inbox.mark(10**9, state="read", up_to=5) == inbox.Result(changed=0, version=0)
    assert inbox.positions([10**9]).inboxes == {}


# --- the list -----------------------------------------------------------------------------------


def test_the_list_is_newest_event_first_in_pages(alice):
    events = [send(alice) for _ in range(5)]
    found = inbox.page(alice.pk, limit=2)
    assert [r["id"] for r in found.results] == events[:2:-1]
    assert (found.count, found.more, found.version) == (5, True, 5)
    found = inbox.page(alice.pk, limit=2, offset=4)
    assert ([r["id"] for r in found.results], found.more) == ([events[0]], False)
    found = inbox.page(alice.pk, before=events[2])
    assert ([r["id"] for r in found.results], found.count) == (events[1::-1], None)
    assert inbox.page(alice.pk, offset=50).count == 5


def test_the_list_is_narrowed_by_state_type_and_read(alice):
    a, b, c = send(alice), send(alice, name="post_comment"), send(alice)
    inbox.mark(alice.pk, state="read", ids=[a])
    inbox.mark(alice.pk, state="archived", ids=[c])

    def ids(**wanted: Any) -> list[int]:
        found = inbox.page(alice.pk, **wanted)
        assert found.count == len(found.results)
        return [r["id"] for r in found.results]

    assert ids() == [b, a]
    assert ids(read=True) == [a]
    assert ids(read=False) == [b]
    assert ids(state="unseen") == [b]
    assert ids(state="archived") == [c]
    assert ids(state="all") == [c, b, a]
    assert ids(state="all", read=False) == [c, b]
    assert ids(type="post_comment") == [b]
    assert ids(read=timezone.now() - timedelta(minutes=1)) == [a]
    assert ids(read=timezone.now() + timedelta(minutes=1)) == []


def test_a_page_costs_the_same_queries_however_long(alice, bob, django_assert_num_queries):
    for _ in range(9):
        send(alice, author=bob)
    with django_assert_num_queries(2):  # the page, and its authors' names
        inbox.page(alice.pk, limit=9)


# --- broadcasts ---------------------------------------------------------------------------------


def broadcast(**fields: Any) -> int:
    return send_notification("post_like", users=EVERYONE, **fields).pk


def test_a_broadcast_writes_one_row_and_is_taken_in_by_who_comes_back(alice, bob):
    event = broadcast(title="For all")
    assert Notification.objects.count() == 0
    assert counters(alice) == (1, 1, 1)
    assert [r["id"] for r in inbox.page(bob.pk).results] == [event]
    assert Notification.objects.count() == 2
    assert counters(alice) == (1, 1, 1)


def test_a_late_broadcast_stands_in_its_place_by_id(alice):
    first = send(alice)
    middle = broadcast()
    last = send(alice)
    assert [r["id"] for r in inbox.page(alice.pk).results] == [last, middle, first]
    assert row(alice, middle)["arrived"] == 3


def test_each_broadcast_takes_a_number_of_its_own(alice, changes):
    events = [broadcast() for _ in range(3)]
    changes.clear()
    assert inbox.take_in([alice.pk]) == 3
    assert [(c.event.pk, c.recipients[0].version) for c in changes] == [
        (event, number) for number, event in enumerate(events, 1)
    ]
    assert inbox.take_in([alice.pk]) == 0


def test_who_signs_up_after_a_broadcast_does_not_get_it(alice):
    broadcast()
    dora = User.objects.create(username="dora")
    [made_in_bulk] = User.objects.bulk_create([User(username="emil")])
    assert inbox.page(dora.pk).results == []
    assert inbox.page(made_in_bulk.pk).results == []
    assert len(inbox.page(alice.pk).results) == 1


def test_muted_and_expired_broadcasts_take_no_number(alice, bob):
    liked = EventType.objects.get(name="post_like")
    Filter.objects.create(user=alice, type=liked, channel="inbox", enabled=False)
    broadcast()
    broadcast(expires_at=timezone.now() + timedelta(seconds=30))
    Event.objects.exclude(expires_at=None).update(expires_at=timezone.now())
    assert inbox.summary(alice.pk).version == 0
    assert inbox.summary(bob.pk).version == 1
    assert Inbox.objects.get(pk=alice.pk).broadcast == 2


def test_a_broadcast_that_is_over_when_it_is_sent_takes_no_number():
    broadcast(expires_at=timezone.now() - timedelta(seconds=1))
    assert inbox.broadcast_number() == 0


def test_take_in_by_many_processes_at_once_gives_it_once(alice, bob):
    for _ in range(4):
        broadcast()
    start = threading.Barrier(5)

    def take() -> None:
        start.wait()
        inbox.take_in([bob.pk, alice.pk])
        connection.close()

    threads = [threading.Thread(target=take) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Notification.objects.count() == 8
    assert inbox.summary(alice.pk).version == 4


def test_the_row_of_a_broadcast_is_done_at_once(alice):
    broadcast()
    assert not Audience.objects.exists()


# --- expiry -------------------------------------------------------------------------------------


def pass_time() -> None:
    """Everything that has an end has ended a moment ago."""
    over = timezone.now() - timedelta(milliseconds=1)
    Event.objects.exclude(expires_at=None).update(expires_at=over)
    Inbox.objects.exclude(next_expiry=None).update(next_expiry=over)


def soon() -> Any:
    return timezone.now() + timedelta(minutes=5)


def test_what_is_over_leaves_list_and_counters_as_a_change(alice, changes):
    kept, ended = send(alice), send(alice, expires_at=soon())
    epoch = inbox.summary(alice.pk).epoch
    pass_time()
    assert counters(alice) == (1, 1, 1)
    assert [r["id"] for r in inbox.page(alice.pk).results] == [kept]
    assert isinstance(changes[-1], Marked)
    assert (changes[-1].state, list(changes[-1].ids)) == ("expired", [ended])
    [change] = inbox.changes(alice.pk, epoch=epoch, since=2).changes
    assert change["id"] == ended and change["expired_at"] and change["version"] == 3
    assert inbox.page(alice.pk, state="all").count == 2


def test_expiry_counts_out_only_what_was_counted(alice):
    events = [send(alice, expires_at=soon()) for _ in range(4)]
    inbox.mark(alice.pk, state="read", ids=events[:1])
    inbox.mark(alice.pk, state="seen", ids=events[1:2])
    inbox.mark(alice.pk, state="archived", ids=events[2:3])
    assert counters(alice) == (2, 1, 3)
    pass_time()
    assert counters(alice) == (0, 0, 0)
    assert Inbox.objects.get(pk=alice.pk).next_expiry is None


def test_an_expired_one_can_be_deleted_without_counting_it_out_twice(alice):
    send(alice)
    ended = send(alice, expires_at=soon())
    pass_time()
    inbox.expire([alice.pk])
    inbox.delete(alice.pk, ids=[ended])
    assert counters(alice) == (1, 1, 1)


def test_the_sweep_finds_what_nobody_came_for(alice, bob):
    send(alice, bob, expires_at=soon())
    pass_time()
    after = inbox.sweep_expired()
    assert Notification.objects.exclude(expired_at=None).count() == 2
    assert after < timezone.now()


def test_an_idle_sweep_reads_one_index_entry(alice, django_assert_num_queries):
    send(alice)
    with django_assert_num_queries(1):
        inbox.sweep_expired(after=timezone.now())


# --- retention ----------------------------------------------------------------------------------


def age(days: int) -> None:
    Event.objects.update(timestamp=timezone.now() - timedelta(days=days))


def test_retention_deletes_as_a_change_first(alice, settings, changes):
    settings.HUB = {**settings.HUB, "RETENTION": timedelta(days=10)}
    event = send(alice)
    epoch = inbox.summary(alice.pk).epoch
    age(11)
    done = inbox.prune()
    assert done["deleted"] == 1 and done["purged"] == 0
    assert counters(alice) == (0, 0, 0)
    assert isinstance(changes[-1], Deleted) and list(changes[-1].ids) == [event]
    assert inbox.changes(alice.pk, epoch=epoch, since=1).changes[0]["deleted"] is True


def test_purged_tombstones_raise_the_floor_and_older_cursors_are_reset(alice, settings):
    settings.HUB = {**settings.HUB, "TOMBSTONES": timedelta(days=1)}
    event, kept = send(alice), send(alice)
    inbox.delete(alice.pk, ids=[event])
    epoch = inbox.summary(alice.pk).epoch
    assert inbox.prune()["purged"] == 0
    Notification.objects.exclude(deleted_at=None).update(
        deleted_at=timezone.now() - timedelta(days=2)
    )
    assert inbox.prune()["purged"] == 1
    assert Inbox.objects.get(pk=alice.pk).floor == 3
    assert inbox.changes(alice.pk, epoch=epoch, since=2).reset
    assert not inbox.changes(alice.pk, epoch=epoch, since=3).reset
    assert [r["id"] for r in inbox.page(alice.pk).results] == [kept]


def test_orphans_old_events_and_old_keys_are_swept(alice, bob):
    event = send(alice, idempotency_key="k")
    Notification.objects.create(user_id=10**9, event_id=event, arrived=1, version=1)
    Inbox.objects.create(user_id=10**9)
    age(1000)
    IdempotencyKey.objects.update(made_at=timezone.now() - timedelta(days=31))
    done = inbox.prune()
    assert (done["orphans"], done["events"], done["keys"]) == (2, 1, 1)
    assert not IdempotencyKey.objects.exists()
    assert inbox.changes(alice.pk, epoch=inbox.summary(alice.pk).epoch, since=0).changes[0][
        "deleted"
    ]


def test_deleting_an_event_withdraws_it_from_every_inbox_first(alice, bob, changes):
    event = send_notification("post_like", users=[alice, bob])
    kept = send(alice)
    event.delete()
    assert counters(alice) == (1, 1, 1) and counters(bob) == (0, 0, 0)
    assert [r["id"] for r in inbox.page(alice.pk).results] == [kept]
    assert [c.position.user_id for c in changes[-2:]] == [alice.pk, bob.pk]


def test_a_withdrawn_broadcast_is_not_taken_in_any_more(alice, bob):
    event = send_notification("post_like", users=EVERYONE)
    assert counters(alice) == (1, 1, 1)
    event.delete()
    assert counters(alice) == (0, 0, 0)
    assert counters(bob) == (0, 0, 0)
