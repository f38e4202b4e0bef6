"""Who is planned for, when, and what a filter, quiet hours and presence say to it."""

from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from notifications import EVERYONE, filters, inbox, send_notification
from notifications.fanout import fan_out
from notifications.models import Audience, EventType
from notifications.testing import settle
from routing import presence
from routing.push import planning, quiet_hours, walks
from routing.push.models import Application, Delivery, Device, Walk
from routing.push.quiet_hours import QuietHours
from tests.routing.push.conftest import Hand, only, pushed, states

pytestmark = pytest.mark.django_db


def look(user: Any) -> None:
    """The user has a live client now."""
    presence.hold([(user.pk, "", 0)])


def test_everybody_with_a_device_is_planned_for_once(
    phone_of: Any, send: Any, alice: Any, bob: Any, charlie: Any
) -> None:
    phone_of(alice, "ok-a1")
    phone_of(alice, "ok-a2")
    phone_of(bob)
    event = send([alice, bob, charlie])
    planned = Delivery.objects.filter(event=event).order_by("pk")
    assert [row.user_id for row in planned] == [alice.pk, alice.pk, bob.pk]
    planning.plan_users(event, [alice.pk, bob.pk], using="default")
    assert Delivery.objects.count() == 3


def test_nothing_is_planned_for_inactive_devices(phone_of: Any, send: Any, alice: Any) -> None:
    phone_of(alice, active=False)
    send(alice)
    assert states() == []


@pytest.mark.django_db(transaction=True)
def test_a_rollback_takes_the_deliveries_with_it(phone_of: Any, alice: Any) -> None:
    phone_of(alice)
    with pytest.raises(DatabaseError), transaction.atomic():
        send_notification("post_comment", users=alice)
        raise DatabaseError
    settle()
    assert states() == []


@pytest.mark.django_db(transaction=True)
def test_a_send_outside_a_transaction_plans_at_once(phone_of: Any, alice: Any) -> None:
    phone_of(alice)
    send_notification("post_comment", users=alice)
    assert states() == ["WAITING"]


def test_a_muted_type_is_not_pushed_and_a_critical_one_is(
    phone_of: Any, send: Any, alice: Any
) -> None:
    phone_of(alice)
    filters.set_channels(alice.pk, types={"post_comment": {"push": False}})
    send(alice)
    assert states() == []
    EventType.objects.filter(name="post_comment").update(critical=True)
    send(alice)
    assert states() == ["WAITING"]


def test_a_sender_may_say_that_nothing_is_pushed(phone_of: Any, send: Any, alice: Any) -> None:
    phone_of(alice)
    send(alice, push=False)
    assert states() == []


def test_a_type_that_is_not_pushed_by_default(phone_of: Any, send: Any, alice: Any) -> None:
    phone_of(alice)
    EventType.objects.filter(name="post_comment").update(push=False)
    send(alice)
    assert states() == []
    send(alice, push=True)
    assert states() == ["WAITING"]


def test_who_looks_is_given_the_grace_time(
    phone_of: Any, send: Any, alice: Any, bob: Any, hub: Any
) -> None:
    hub(GRACE=timedelta(seconds=30))
    phone_of(alice)
    phone_of(bob)
    look(alice)
    before = timezone.now()
    send([alice, bob])
    assert only(user=alice).due >= before + timedelta(seconds=30)
    assert only(user=bob).due <= timezone.now()


def test_a_critical_type_waits_for_nobody(phone_of: Any, send: Any, alice: Any) -> None:
    phone_of(alice)
    look(alice)
    EventType.objects.filter(name="post_comment").update(critical=True)
    quiet_hours.change(alice.pk, quiet_hours=(time(0, 0), time(23, 59)))
    send(alice)
    assert only().due <= timezone.now()


def test_a_push_in_quiet_hours_waits_for_their_end(phone_of: Any, send: Any, alice: Any) -> None:
    phone_of(alice)
    now = timezone.now()
    start, end = (now - timedelta(hours=1)).time(), (now + timedelta(hours=1)).time()
    quiet_hours.change(alice.pk, quiet_hours=(start, end), time_zone="UTC")
    send(alice)
    row = only()
    assert row.quiet
    assert timedelta(minutes=59) < row.due - now <= timedelta(hours=1)


@pytest.mark.parametrize(
    ("at", "end"),
    [
        ("2026-06-01T21:59:59+00:00", None),  # 23:59:59 in Berlin
        ("2026-06-01T22:00:00+00:00", "2026-06-02T05:00:00+00:00"),
        ("2026-06-02T04:59:59+00:00", "2026-06-02T05:00:00+00:00"),
        ("2026-06-02T05:00:00+00:00", None),
        # the clock is set back at 03:00 on 25 October, on at 02:00 on 29 March
        ("2026-10-24T23:00:00+00:00", "2026-10-25T06:00:00+00:00"),
        ("2026-03-28T23:30:00+00:00", "2026-03-29T05:00:00+00:00"),
    ],
)
def test_the_end_of_quiet_hours(at: str, end: str | None) -> None:
    hours = QuietHours(start=time(0, 0), end=time(7, 0), time_zone="Europe/Berlin")
    found = hours.end_after(datetime.fromisoformat(at))
    assert found == (datetime.fromisoformat(end) if end else None)


def test_quiet_hours_over_midnight() -> None:
    hours = QuietHours(start=time(22, 0), end=time(7, 0), time_zone="UTC")
    assert hours.end_after(datetime(2026, 6, 1, 23, tzinfo=UTC)) == datetime(
        2026, 6, 2, 7, tzinfo=UTC
    )
    assert hours.end_after(datetime(2026, 6, 2, 6, tzinfo=UTC)) == datetime(
        2026, 6, 2, 7, tzinfo=UTC
    )
    assert hours.end_after(datetime(2026, 6, 2, 12, tzinfo=UTC)) is None


def test_a_broadcast_is_pushed_to_devices_that_were_there(
    phone_of: Any, send: Any, hand: Hand, alice: Any, bob: Any, charlie: Any
) -> None:
    phone_of(alice, "ok-alice")
    phone_of(bob, "ok-bob")
    event = send_notification("post_comment", users=EVERYONE, title="To all")
    settle()
    assert Walk.objects.filter(pk=event.pk).exists()
    phone_of(charlie, "ok-charlie")
    hand.broadcasts()
    assert not Walk.objects.exists()
    hand.work()
    assert sorted(pushed()) == ["ok-alice", "ok-bob"]


def test_a_broadcast_is_taken_in_before_it_is_pushed(
    phone_of: Any, hand: Hand, make_user: Any, monkeypatch: Any
) -> None:
    """The badge is right, and who muted the type or is inactive gets nothing."""
    people = [make_user(f"user{number}") for number in range(5)]
    for person in people:
        phone_of(person, f"ok-{person.username}")
    filters.set_channels(people[0].pk, types={"post_comment": {"inbox": False}})
    filters.set_channels(people[1].pk, types={"post_comment": {"push": False}})
    people[2].is_active = False
    people[2].save()
    monkeypatch.setattr("routing.push.walks.CHUNK", 2)
    send_notification("post_comment", users=EVERYONE)
    fan_out(Audience.objects.get().pk, using="default")
    hand.broadcasts()
    hand.work()
    assert sorted(pushed()) == ["ok-user3", "ok-user4"]
    assert inbox.summary(people[3].pk).unread == 1


def test_a_walk_goes_on_where_it_stopped(
    phone_of: Any, send: Any, hand: Hand, alice: Any, bob: Any, monkeypatch: Any
) -> None:
    phone_of(alice, "ok-alice")
    phone_of(bob, "ok-bob")
    monkeypatch.setattr("routing.push.walks.CHUNK", 1)
    send(EVERYONE)
    walks.walk_due()
    assert Delivery.objects.count() == 1
    walk = Walk.objects.get()
    assert walk.position == Device.objects.order_by("pk").first().pk  # type: ignore[union-attr]
    hand.broadcasts()
    assert Delivery.objects.count() == 2


def test_a_fault_in_a_walk_backs_off(
    phone_of: Any, send: Any, alice: Any, hand: Hand, monkeypatch: Any
) -> None:
    phone_of(alice)
    send(EVERYONE)

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr("routing.push.planning.plan_devices", fail)
    hand.broadcasts()
    walk = Walk.objects.get()
    assert (walk.attempts, walk.last_error) == (1, "RuntimeError")
    assert walk.due > timezone.now()


def test_what_changes_about_applications_counts_with_the_next_send(
    phone_of: Any, send: Any, alice: Any, hub: Any
) -> None:
    phone_of(alice)
    hub(APPLICATIONS={})
    Application.objects.all().delete()
    first = Application.objects.create(name="first", backend="dummy")
    Device.objects.update(application=None)

    def chosen() -> Any:
        return Delivery.objects.get(event=send(alice)).application

    assert chosen() == first
    second = Application.objects.create(name="second", backend="dummy", is_default=True)
    assert chosen() == second
    Application.objects.filter(pk=second.pk).update(active=False)
    assert chosen() == first
    Device.objects.update(application=second)
    assert chosen() == first
    Application.objects.filter(pk=second.pk).update(active=True)
    assert chosen() == second


@pytest.mark.production
@pytest.mark.django_db(transaction=True)
def test_a_send_to_a_user_with_a_device_is_six_statements(
    phone_of: Any, alice: Any, django_assert_num_queries: Any
) -> None:
    phone_of(alice)
    send_notification("post_comment", users=alice)
    # the opening, BEGIN, event and arrival, devices and wishes, deliveries, COMMIT
    with django_assert_num_queries(6):
        send_notification("post_comment", users=alice)
    assert states() == ["WAITING", "WAITING"]


def test_planning_costs_the_same_for_many(
    phone_of: Any, make_user: Any, send: Any, django_assert_num_queries: Any
) -> None:
    few = [make_user(f"a{number}") for number in range(2)]
    many = [make_user(f"b{number}") for number in range(12)]
    for person in (*few, *many):
        phone_of(person, f"ok-{person.username}")
    event = send(few)
    # on SQLite applications are a query of their own
    statements = 2 if connection.vendor == "postgresql" else 3
    with django_assert_num_queries(statements):
        planning.plan_users(event, [person.pk for person in few], using="default")
    with django_assert_num_queries(statements):
        planning.plan_users(event, [person.pk for person in many], using="default")
