"""send_notification(): what is stored when, and what a caller's mistake leaves behind: nothing."""

import math
import threading
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser, Group
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from notifications import EVERYONE, asend_notification, errors, inbox, send_notification
from notifications.models import Audience, Event, IdempotencyKey, Notification, RelatedObject
from notifications.signals import PUSH_ROAD, inbox_changed, notified
from notifications.sql import Sql
from notifications.worker import Worker, duties

pytestmark = pytest.mark.django_db(transaction=True)

User = get_user_model()


def nothing_is_stored() -> bool:
    return not (
        Event.objects.exists()
        or Audience.objects.exists()
        or Notification.objects.exists()
        or IdempotencyKey.objects.exists()
    )


def in_inboxes(event: Event) -> list[Any]:
    rows = Notification.objects.filter(event=event).order_by("user_id")
    return list(rows.values_list("user_id", flat=True))


def test_outside_a_transaction_the_event_is_in_the_inbox_when_the_call_returns(alice, bob):
    event = send_notification("post_like", users=[alice, bob], title="Hello", author=bob)
    assert in_inboxes(event) == [alice.pk, bob.pk]
    assert not Audience.objects.exists()
    [seen] = inbox.page(alice.pk).results
    assert (seen["id"], seen["event"]["title"]) == (event.pk, "Hello")
    assert seen["event"]["author"] == {"id": bob.pk, "name": "bob"}


def test_inside_a_transaction_nothing_is_fanned_out_before_the_commit(alice):
    with transaction.atomic():
        event = send_notification("post_like", users=alice, title="Hello")
        assert Audience.objects.count() == 1
        assert in_inboxes(event) == []
    assert in_inboxes(event) == [alice.pk]
    assert not Audience.objects.exists()


def test_a_rollback_takes_everything_with_it(alice):
    with pytest.raises(RuntimeError), transaction.atomic():
        send_notification("post_like", users=alice, title="Hello", idempotency_key="k")
        send_notification("post_like", users=EVERYONE)
        raise RuntimeError
    assert nothing_is_stored()
    assert inbox.summary(alice.pk).version == 0


def test_a_rolled_back_savepoint_takes_only_its_own_send(alice):
    with transaction.atomic():
        kept = send_notification("post_like", users=alice, title="kept")
        with pytest.raises(RuntimeError), transaction.atomic():
            send_notification("post_like", users=alice, title="lost")
            raise RuntimeError
    assert [row["id"] for row in inbox.page(alice.pk).results] == [kept.pk]


def test_with_transactions_by_hand_the_rows_are_left_to_the_worker(alice):
    transaction.set_autocommit(False)
    try:
        event = send_notification("post_like", users=alice, title="Hello")
        transaction.commit()
        assert in_inboxes(event) == []
        Audience.objects.update(due=timezone.now())
        transaction.commit()
    finally:
        transaction.set_autocommit(True)
    Worker(duties()).work_once()
    assert in_inboxes(event) == [alice.pk]


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"type": "no_such_type"}, "unknown_event_type"),
        ({"type": "a\x00b"}, "invalid"),
        ({"type": 7}, "invalid"),
        ({"users": None}, "no_audience"),
        ({"users": AnonymousUser()}, "invalid_audience"),
        ({"users": "alice"}, "invalid_audience"),
        ({"users": [True]}, "invalid_audience"),
        ({"users": [1.0]}, "invalid_audience"),
        ({"users": [None]}, "invalid_audience"),
        ({"users": [Group(name="staff")]}, "invalid_audience"),
        ({"users": User(username="unsaved")}, "invalid_audience"),
        ({"title": "x" * 201}, "invalid"),
        ({"title": "two\nlines"}, "invalid"),
        ({"title": "carriage\rreturn"}, "invalid"),
        ({"title": None}, "invalid"),
        ({"title": "nul\x00"}, "invalid"),
        ({"title": "half \ud83d"}, "invalid"),
        ({"message": "x" * 4001}, "invalid"),
        ({"message": "\x00"}, "invalid"),
        ({"url": "javascript:alert(1)"}, "invalid"),
        ({"url": "//evil.example"}, "invalid"),
        ({"url": "/\\evil.example"}, "invalid"),
        ({"url": "http://"}, "invalid"),
        ({"url": "http://["}, "invalid"),
        ({"url": "/a b"}, "invalid"),
        ({"url": "/a\r\nSet-Cookie: x"}, "invalid"),
        ({"url": "/" + "x" * 2000}, "invalid"),
        ({"tag": "a\nb"}, "invalid"),
        ({"tag": "x" * 65}, "invalid"),
        ({"priority": "urgent"}, "invalid"),
        ({"data": object()}, "invalid_data"),
        ({"data": {"when": datetime.now(UTC)}}, "invalid_data"),
        ({"data": math.nan}, "invalid_data"),
        ({"data": {1: "key"}}, "invalid_data"),
        ({"data": {"a\nb": 1}}, "invalid_data"),
        ({"data": ["\x00"]}, "invalid_data"),
        ({"data": {"x": "\udc00"}}, "invalid_data"),
        ({"data": "x" * 16385}, "invalid_data"),
        ({"idempotency_key": "a\rb"}, "invalid"),
        ({"idempotency_key": "x" * 201}, "invalid"),
        ({"expires_at": datetime(2030, 1, 1)}, "invalid"),
        ({"expires_at": "2030-01-01"}, "invalid"),
        ({"expires_at": datetime.max.replace(tzinfo=UTC) - timedelta(0)}, None),
        ({"author": "alice"}, "invalid"),
        ({"author": User(username="unsaved")}, "invalid"),
        ({"related_objects": [User(username="unsaved")]}, "invalid"),
        ({"related_objects": User(username="unsaved")}, "invalid"),
        ({"related_objects": None}, "invalid"),
        ({"related_objects": [Group(pk="x" * 256)]}, "invalid"),
        ({"push": 7}, "invalid"),
        ({"template": "no_such_template"}, "unknown_template"),
        ({"context": {"a": 1}}, "unknown_template"),
    ],
)
def test_a_callers_mistake_has_a_code_and_stores_nothing(alice, given, code):
    given = {"type": "post_like", "users": [alice], **given}
    if code is None:
        assert send_notification(**given).pk
        return
    with pytest.raises(errors.HubError) as raised:
        send_notification(**given)
    assert raised.value.code == code
    assert nothing_is_stored()


def test_a_deep_nest_of_data_is_refused_however_deep(alice):
    nest: Any = []
    for _ in range(100_000):
        nest = [nest]
    with pytest.raises(errors.InvalidData):
        send_notification("post_like", users=alice, data=nest)
    assert nothing_is_stored()


def test_data_is_measured_as_compact_json(alice):
    data = [1] * 8_191  # with a blank behind each comma it would be 24 KiB
    assert send_notification("post_like", users=alice, data=data).data == data
    with pytest.raises(errors.InvalidData):
        send_notification("post_like", users=alice, data=[*data, 1])


def test_a_mistake_deep_in_a_long_iterable_stores_nothing(alice):
    with pytest.raises(errors.InvalidAudience):
        send_notification("post_like", users=[*range(1, 1300), "nobody"])
    assert nothing_is_stored()


def test_line_ends_in_a_message_become_line_feeds(alice):
    event = send_notification("post_like", users=alice, message="a\r\nb\rc\nd")
    assert Event.objects.get(pk=event.pk).message == "a\nb\nc\nd"


@pytest.mark.parametrize("data", [None, 0, False, "", "text", [], {}, {"a": [1, {"b": None}]}])
def test_any_json_comes_back_as_it_went_in(alice, data):
    send_notification("post_like", users=alice, data=data)
    assert inbox.page(alice.pk).results[0]["event"]["data"] == data


def test_an_empty_audience_stores_the_event_and_tells_nobody(alice):
    for nobody in ([], User.objects.none(), iter(())):
        event = send_notification("post_like", users=nobody)
        assert Event.objects.filter(pk=event.pk).exists()
        assert in_inboxes(event) == []


def test_users_may_be_given_in_every_shape(alice, bob):
    everybody = [alice.pk, bob.pk]
    for users in (
        [alice, bob],
        (user for user in (alice, bob)),
        {alice.pk, bob.pk},
        [str(alice.pk), bob],
        User.objects.all(),
        User.objects.order_by("username")[:2],
        User.objects.values_list("pk", flat=True),
        [alice, bob, alice],
    ):
        assert in_inboxes(send_notification("post_like", users=users)) == everybody
    assert in_inboxes(send_notification("post_like", users=alice.pk)) == [alice.pk]


def test_unknown_ids_and_inactive_users_are_left_out(alice, bob):
    bob.is_active = False
    bob.save()
    event = send_notification("post_like", users=[alice.pk, bob.pk, 999_999, 0, -5, 2**80])
    assert in_inboxes(event) == [alice.pk]


def test_a_user_who_is_deleted_before_the_commit_is_left_out(alice, bob):
    with transaction.atomic():
        event = send_notification("post_like", users=[alice, bob])
        User.objects.filter(pk=bob.pk).delete()
    assert in_inboxes(event) == [alice.pk]
    assert not Audience.objects.exists()


def test_deleting_a_user_takes_their_notifications_and_keeps_what_they_wrote(alice, bob):
    send_notification("post_like", users=[alice, bob], author=bob)
    bob.delete()
    [row] = inbox.page(alice.pk).results
    assert row["event"]["author"] is None
    assert Notification.objects.count() == 1


def test_a_repeated_key_answers_the_first_event(alice):
    first = send_notification("post_like", users=[alice], title="x", idempotency_key="k")
    again = send_notification("post_like", users=[alice], title="x", idempotency_key="k")
    assert (again.pk, again.repeated, first.repeated) == (first.pk, True, False)
    with transaction.atomic():
        assert (
            send_notification("post_like", users=[alice], title="x", idempotency_key="k").pk
            == first.pk
        )
    assert Event.objects.count() == 1
    assert inbox.summary(alice.pk).version == 1


def test_a_key_with_other_content_is_a_conflict_and_loses_nothing(alice):
    send_notification("post_like", users=[alice], title="x", idempotency_key="k")
    for other in ({"title": "y"}, {"data": 1}, {"url": "/y"}, {"users": []}, {"tag": "t"}):
        with pytest.raises(errors.IdempotencyConflict):
            send_notification(
                "post_like", **{"users": [alice], "title": "x", **other}, idempotency_key="k"
            )
    assert Event.objects.count() == 1


def test_keys_of_different_scopes_do_not_meet(alice):
    ours = send_notification("post_like", users=[alice], idempotency_key="k")
    theirs = send_notification("post_like", users=[alice], idempotency_key="k", scope="user:7")
    assert ours.pk != theirs.pk


def test_of_many_calls_at_once_with_one_key_one_makes_the_event(alice):
    made, start = [], threading.Barrier(6)

    def send() -> None:
        start.wait()
        made.append(send_notification("post_like", users=[alice], idempotency_key="k").pk)
        connection.close()

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 6 and len(set(made)) == 1
    assert Notification.objects.count() == 1
    assert inbox.summary(alice.pk).unread == 1


def test_a_lifetime_does_not_make_a_repeated_call_another_one(alice, settings):
    from notifications import event_types

    settings.EVENT_TYPES = [
        {"name": "short", "title": "Short", "lifetime": timedelta(hours=1)},
    ]
    event_types.sync()
    first = send_notification("short", users=[alice], idempotency_key="k")
    assert first.expires_at - first.timestamp == timedelta(hours=1)
    assert send_notification("short", users=[alice], idempotency_key="k").pk == first.pk


def test_related_objects_are_linked_once(alice, bob):
    event = send_notification("post_like", users=alice, related_objects=[bob, bob, alice])
    assert RelatedObject.objects.filter(event=event).count() == 2


def test_an_event_that_is_over_is_stored_and_tells_nobody(alice):
    event = send_notification(
        "post_like", users=alice, expires_at=timezone.now() - timedelta(seconds=1)
    )
    assert in_inboxes(event) == []
    assert Event.objects.filter(pk=event.pk).exists()


def test_a_receiver_of_inbox_changed_that_fails_reaches_nobody(alice):
    def broken(**_: Any) -> None:
        raise RuntimeError("the live road is down")

    inbox_changed.connect(broken)
    try:
        event = send_notification("post_like", users=alice)
        with transaction.atomic():
            second = send_notification("post_like", users=alice)
    finally:
        inbox_changed.disconnect(broken)
    assert in_inboxes(event) == in_inboxes(second) == [alice.pk]


def test_when_the_short_way_fails_the_event_is_stored_by_the_long_way(alice, monkeypatch):
    def fails(*_: Any, **__: Any) -> None:
        raise DatabaseError("canceling statement due to lock timeout")

    with monkeypatch.context() as broken:
        broken.setattr(inbox, "arrive", fails)
        broken.setattr(inbox, "store_and_arrive", fails)
        event = send_notification("post_like", users=alice, title="kept")
    assert Event.objects.get().pk == event.pk
    assert in_inboxes(event) == []
    Worker(duties()).work_once()
    assert in_inboxes(event) == [alice.pk]


@pytest.mark.production
def test_a_commit_whose_answer_was_lost_is_not_made_twice(alice, monkeypatch):
    real = inbox.store_and_arrive

    def answer_is_lost(*given: Any, **options: Any) -> None:
        real(*given, **options)
        raise DatabaseError("server closed the connection unexpectedly")

    monkeypatch.setattr(inbox, "store_and_arrive", answer_is_lost)
    event = send_notification("post_like", users=alice, title="once")
    Worker(duties()).work_once()
    assert Event.objects.count() == 1
    assert in_inboxes(event) == [alice.pk]
    assert inbox.summary(alice.pk).version == 1


@pytest.mark.production
def test_to_people_without_devices_a_send_is_one_statement(alice, django_assert_num_queries):
    send_notification("post_like", users=alice)
    with django_assert_num_queries(2):  # the type with the event's id, and all the rest
        send_notification("post_like", users=alice, title="x", data={"a": [None]})


def test_a_pushable_inbox_is_planned_for_by_the_push_road(alice, bob, monkeypatch):
    monkeypatch.setattr(notified, "receivers", [])
    planned = []

    def plan(*, recipients: Any, **_: Any) -> None:
        planned.extend(recipient.user_id for recipient in recipients)

    notified.connect(plan, dispatch_uid=PUSH_ROAD)
    inbox.set_pushable(bob.pk, True)
    event = send_notification("post_like", users=[alice, bob])
    assert bob.pk in planned
    assert in_inboxes(event) == [alice.pk, bob.pk]


@pytest.mark.production
def test_an_inbox_that_is_locked_holds_a_sender_for_half_a_second_and_loses_nothing(alice):
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            Sql("default").rows("SELECT 1 FROM {inbox} WHERE user_id = %s FOR UPDATE", [alice.pk])
            held.set()
            release.wait(20)
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    event = send_notification("post_like", users=alice)
    assert in_inboxes(event) == []
    assert Audience.objects.get().event_id == event.pk
    release.set()
    thread.join()
    Worker(duties()).work_once()
    assert in_inboxes(event) == [alice.pk]


async def test_the_same_from_async_code(alice):
    event = await asend_notification("post_like", users=alice, title="async")
    assert await sync_to_async(in_inboxes)(event) == [alice.pk]


def test_the_same_from_a_thread(alice):
    sent: list[Event] = []

    def send() -> None:
        sent.append(send_notification("post_like", users=alice))
        connection.close()

    thread = threading.Thread(target=send)
    thread.start()
    thread.join()
    assert in_inboxes(sent[0]) == [alice.pk]


def test_a_large_audience_is_left_to_the_worker_in_rows_of_five_hundred():
    User.objects.bulk_create([User(username=f"u{n}") for n in range(1201)])
    event = send_notification("post_like", users=User.objects.all())
    sizes = sorted(len(row.user_ids) for row in Audience.objects.all())
    assert sizes == [201, 500, 500]
    assert set(Audience.objects.values_list("lane", flat=True)) == {Audience.Lane.BULK}
    Worker(duties()).work_once()
    assert len(in_inboxes(event)) == 1201
    assert not Audience.objects.exists()


def test_the_seam_of_the_push_road_is_inside_the_transaction(alice, bob):
    calls = []

    def plan(*, event: Event, recipients: Any, using: str, **_: Any) -> None:
        assert transaction.get_connection(using).in_atomic_block
        calls.append((event.pk, [(r.user_id, r.version, r.unread) for r in recipients]))

    notified.connect(plan)
    try:
        first = send_notification("post_like", users=[alice, bob])
        with transaction.atomic():
            second = send_notification("post_like", users=[alice])
    finally:
        notified.disconnect(plan)
    assert calls == [
        (first.pk, [(alice.pk, 1, 1), (bob.pk, 1, 1)]),
        (second.pk, [(alice.pk, 2, 2)]),
    ]


def test_a_receiver_of_notified_that_fails_stops_no_inbox_and_is_asked_again(alice, bob):
    failures, calls = [1], []

    def plan(*, event: Event, recipients: Any, using: str, **_: Any) -> None:
        Event.objects.using(using).filter(pk=event.pk).update(tag="planned")
        if failures:
            failures.pop()
            raise RuntimeError("a bug in push")
        calls.append([r.user_id for r in recipients])

    notified.connect(plan)
    try:
        event = send_notification("post_like", users=[alice, bob])
        assert in_inboxes(event) == [alice.pk, bob.pk]
        assert Event.objects.get().tag == ""  # what it wrote before it failed went with it
        row = Audience.objects.get()
        assert row.plan_only and not calls
        Audience.objects.update(due=timezone.now())
        Worker(duties()).work_once()
    finally:
        notified.disconnect(plan)
    assert calls == [[alice.pk, bob.pk]]
    assert not Audience.objects.exists()
    assert inbox.summary(alice.pk).version == 1


def test_a_user_key_that_is_a_uuid_is_read_from_text():
    from notifications.audiences import stored_key

    key = uuid.uuid4()
    assert stored_key(key) == str(key)
