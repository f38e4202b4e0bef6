"""The worker: what it sends, what it drops at the last moment, and what becomes of outcomes."""

import time as clock
from datetime import time, timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone

from notifications import filters, inbox
from notifications.models import Event, EventType
from routing import presence
from routing.push import applications, deliveries, devices, quiet_hours
from routing.push.backends.dummy import DummyBackend
from routing.push.deliveries import clock as database_clock
from routing.push.models import Application, Delivery, Device
from tests.routing.push.conftest import Hand, only, pushed, states

pytestmark = pytest.mark.django_db


def make_due() -> None:
    Delivery.objects.waiting().update(due=timezone.now() - timedelta(seconds=1))


def acknowledge(user: Any) -> None:
    """A visible page of the user has shown all there is."""
    epoch = inbox.positions([user.pk]).epoch
    presence.hold([(user.pk, epoch, inbox.summary(user.pk).version)])


def test_a_push_says_what_the_event_says(phone_of: Any, send: Any, hand: Hand, alice: Any) -> None:
    phone_of(alice)
    send(alice, title="Earlier")
    hand.work()
    event = send(
        alice, title="Bob commented", message="Nice!", url="/posts/1/", data={"post": 1}, tag="p1"
    )
    hand.work()
    entry = DummyBackend.journal[-1]
    assert entry.said == {
        "title": "Bob commented",
        "body": "Nice!",
        "url": "/posts/1/",
        "data": {"post": 1},
        "badge": 2,
        "event": event.pk,
        "type": "post_comment",
    }
    assert entry.collapse_id == f"event-{event.pk}"
    row = only(event=event)
    assert (row.state, row.attempts, row.error) == ("DEBUG", 1, "")
    assert row.sent_at and row.finished_at
    assert Device.objects.get().last_used_at


def test_a_title_left_empty_is_the_types(phone_of: Any, send: Any, hand: Hand, alice: Any) -> None:
    phone_of(alice)
    send(alice)
    hand.work()
    title = EventType.objects.get(name="post_comment").title
    assert DummyBackend.journal[-1].said["title"] == title


def test_a_tag_that_replaces_is_the_collapse_id(
    phone_of: Any, send: Any, hand: Hand, alice: Any
) -> None:
    phone_of(alice)
    for number in range(2):
        send(alice, tag="score", title=str(number), push={"replace": True})
    hand.work()
    first, second = (entry.collapse_id for entry in DummyBackend.journal)
    assert first == second
    assert len(first) == 32


def read_it(user: Any, event: Any) -> None:
    inbox.mark(user.pk, state="read", ids=[event.pk])


def archive_it(user: Any, event: Any) -> None:
    inbox.mark(user.pk, state="archived", ids=[event.pk])


def delete_it(user: Any, event: Any) -> None:
    inbox.delete(user.pk, ids=[event.pk])


def acknowledge_it(user: Any, event: Any) -> None:
    acknowledge(user)


def mute_it(user: Any, event: Any) -> None:
    filters.set_channels(user.pk, types={"post_comment": {"push": False}})


def log_out(user: Any, event: Any) -> None:
    devices.change(Device.objects.get(user=user), active=False)


def leave(user: Any, event: Any) -> None:
    user.is_active = False
    user.save()


def forget_event(user: Any, event: Any) -> None:
    Event.objects.filter(pk=event.pk)._raw_delete("default")  # as retention does


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (read_it, "read"),
        (archive_it, "archived"),
        (delete_it, "deleted"),
        (acknowledge_it, "acknowledged"),
        (mute_it, "muted"),
        (log_out, "device inactive: logout"),
        (leave, "user inactive"),
        (forget_event, "event deleted"),
    ],
)
def test_what_is_over_before_it_is_handed_over_is_not_sent(
    phone_of: Any, send: Any, hand: Hand, alice: Any, change: Any, reason: str
) -> None:
    phone_of(alice)
    event = send(alice)
    change(alice, event)
    hand.work()
    assert pushed() == []
    assert (only().state, only().error) == ("SKIPPED", reason)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (read_it, "read"),
        (acknowledge_it, "acknowledged"),
        (delete_it, "deleted"),
        (mute_it, "muted"),
        (leave, "user inactive"),
    ],
)
def test_the_same_between_claim_and_hand_over(
    phone_of: Any, send: Any, hand: Hand, alice: Any, change: Any, reason: str, monkeypatch: Any
) -> None:
    phone_of(alice)
    event = send(alice)
    honest = deliveries.claim

    def claim(*arguments: Any, **more: Any) -> Any:
        found = honest(*arguments, **more)
        change(alice, event)
        return found

    monkeypatch.setattr(deliveries, "claim", claim)
    hand.work()
    assert pushed() == []
    assert (only().state, only().error) == ("SKIPPED", reason)


@pytest.mark.parametrize("how", ["log out", "hand over", "delete", "suspend"])
def test_a_device_that_changes_between_claim_and_hand_over(
    phone_of: Any, send: Any, hand: Hand, alice: Any, bob: Any, how: str, monkeypatch: Any
) -> None:
    phone = phone_of(alice, "ok-shared")
    send(alice)
    honest = deliveries.claim

    def claim(*arguments: Any, **more: Any) -> Any:
        found = honest(*arguments, **more)
        if how == "log out":
            devices.change(phone, active=False)
        elif how == "hand over":
            phone_of(bob, "ok-shared")
        elif how == "delete":
            devices.remove(phone)
        else:
            until = timezone.now() + timedelta(hours=1)
            Device.objects.filter(pk=phone.pk).update(suspended_until=until)
        return found

    monkeypatch.setattr(deliveries, "claim", claim)
    hand.work()
    assert pushed() == []
    row = only()
    assert row.state == ("WAITING" if how == "suspend" else "SKIPPED")
    assert (row.claims, row.attempts) == (0, 0)


def test_a_claim_that_was_lost_is_not_sent(
    phone_of: Any, send: Any, hand: Hand, alice: Any, monkeypatch: Any
) -> None:
    phone_of(alice)
    send(alice)
    honest = deliveries.claim

    def claim(*arguments: Any, **more: Any) -> Any:
        found = honest(*arguments, **more)
        Delivery.objects.update(claim="another")
        return found

    monkeypatch.setattr(deliveries, "claim", claim)
    hand.start()
    assert pushed() == []
    assert only().state == "SENDING"


def test_a_lease_that_ends_too_soon_is_not_used(
    phone_of: Any, send: Any, hand: Hand, alice: Any, monkeypatch: Any
) -> None:
    phone_of(alice)
    send(alice)
    honest = deliveries.claim

    def claim(*arguments: Any, **more: Any) -> Any:
        found = honest(*arguments, **more)
        now = database_clock(using="default")
        Delivery.objects.update(lease=now + timedelta(seconds=5))
        return found

    monkeypatch.setattr(deliveries, "claim", claim)
    hand.start()
    assert pushed() == []


def test_what_is_too_old_is_not_sent(phone_of: Any, send: Any, hand: Hand, alice: Any) -> None:
    phone_of(alice)
    event = send(alice, expires_at=timezone.now() + timedelta(hours=1))
    Event.objects.filter(pk=event.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    hand.work()
    assert (pushed(), states()) == ([], ["EXPIRED"])


def test_a_critical_push_ignores_filter_and_quiet_hours(
    phone_of: Any, send: Any, hand: Hand, alice: Any
) -> None:
    phone_of(alice)
    mute_it(alice, None)
    quiet_hours.change(alice.pk, quiet_hours=(time(0, 0), time(23, 59, 59)))
    EventType.objects.filter(name="post_comment").update(critical=True)
    send(alice)
    hand.work()
    assert states() == ["DEBUG"]


def test_quiet_hours_that_begin_meanwhile_hold_a_push_back(
    phone_of: Any, send: Any, hand: Hand, alice: Any
) -> None:
    phone_of(alice)
    send(alice)
    now = timezone.now()
    span = (now - timedelta(hours=1)).time(), (now + timedelta(hours=1)).time()
    quiet_hours.change(alice.pk, quiet_hours=span)
    hand.work()
    row = only()
    assert (row.state, row.quiet, row.claims, pushed()) == ("WAITING", True, 0, [])
    assert row.due > now + timedelta(minutes=50)


def test_several_of_the_quiet_hours_become_one(
    phone_of: Any, send: Any, hand: Hand, alice: Any
) -> None:
    phone_of(alice)
    events = [send(alice, title=f"Number {number}") for number in range(4)]
    Delivery.objects.update(quiet=True)
    read_it(alice, events[1])
    hand.work()
    assert states() == ["SKIPPED", "SKIPPED", "SKIPPED", "DEBUG"]
    [entry] = DummyBackend.journal
    assert entry.said["title"] == "3 unread notifications"
    assert entry.said["body"] == "Number 3"
    assert only(event=events[3]).folded == 2


def test_one_of_the_quiet_hours_stays_as_it_is(
    phone_of: Any, send: Any, hand: Hand, alice: Any
) -> None:
    phone_of(alice)
    send(alice, title="Alone")
    Delivery.objects.update(quiet=True)
    hand.work()
    assert DummyBackend.journal[0].said["title"] == "Alone"


@pytest.mark.parametrize(
    ("token", "state", "error"),
    [
        ("ok-1", "DEBUG", ""),
        ("reject-1", "ERROR", "reject"),
        ("dead-x", "ERROR", "gone: dead"),
        ("retry-60-1", "ERROR_RETRY", "retry"),
        ("cut-1", "ERROR_RETRY", "cut"),
        ("foreign-1", "ERROR", "foreign"),
        ("config-1", "WAITING", "application paused"),
        ("crash-1", "ERROR_RETRY", "RuntimeError"),
    ],
)
def test_what_an_outcome_makes_of_a_delivery(
    phone_of: Any, send: Any, hand: Hand, alice: Any, token: str, state: str, error: str
) -> None:
    phone_of(alice, token)
    send(alice)
    hand.work()
    row = only()
    assert (row.state, row.error) == (state, error)
    assert row.attempts == (0 if token == "config-1" else 1)
    assert (row.claims, row.claim, row.lease) == (0, "", None)


def test_a_dead_device_is_deactivated(phone_of: Any, send: Any, hand: Hand, alice: Any) -> None:
    phone_of(alice, "dead-x")
    send(alice)
    hand.work()
    phone = Device.objects.get()
    assert (phone.active, phone.reason) == (False, "gone")
    send(alice)
    assert len(states()) == 1


def test_a_device_that_registered_after_it_was_dead_is_tried_again(
    phone_of: Any, send: Any, hand: Hand, alice: Any
) -> None:
    phone_of(alice, "dead-1000000000-1")
    send(alice)
    hand.work()
    assert Device.objects.get().active
    assert only().state == "ERROR_RETRY"


def test_a_refused_message_costs_the_device_nothing(
    phone_of: Any, send: Any, hand: Hand, alice: Any
) -> None:
    phone_of(alice, "reject-1")
    send(alice)
    hand.work()
    assert Device.objects.get().active


def test_a_message_that_is_too_large_is_refused_before_any_request(
    phone_of: Any, send: Any, hand: Hand, alice: Any
) -> None:
    phone_of(alice)
    send(alice, message="x" * 4000, data="y" * 4000)
    hand.work()
    assert (only().state, pushed()) == ("ERROR", [])
    assert "bytes" in only().error


def test_an_option_that_nobody_knows_is_an_error(
    phone_of: Any, send: Any, hand: Hand, alice: Any
) -> None:
    phone_of(alice)
    send(alice, push={"colour": "red"})
    hand.work()
    assert (only().state, only().error) == ("ERROR", "there is no push option 'colour'")


def test_it_is_tried_again_exactly_so_often(
    phone_of: Any, send: Any, hand: Hand, alice: Any, hub: Any
) -> None:
    hub(PUSH_ATTEMPTS=3)
    phone_of(alice, "flap-9-1")
    send(alice)
    for number in (1, 2, 3, 3):
        make_due()
        hand.work()
        assert only().attempts == number
    assert len(DummyBackend.journal) == 3
    assert (only().state, only().error) == ("ERROR", "3 attempts: flap")
    assert [entry.attempt for entry in DummyBackend.journal] == [1, 2, 3]


def test_it_is_sent_when_the_provider_is_back(
    phone_of: Any, send: Any, hand: Hand, alice: Any
) -> None:
    phone_of(alice, "flap-2-1")
    send(alice)
    for _ in range(3):
        make_due()
        hand.work()
    assert (only().state, only().attempts) == ("DEBUG", 3)


def test_the_time_that_a_provider_asks_for_is_kept(
    phone_of: Any, send: Any, hand: Hand, alice: Any
) -> None:
    phone_of(alice, "retry-120-1")
    send(alice)
    before = database_clock(using="default")
    hand.work()
    wait = only().due - before
    assert timedelta(seconds=119) < wait < timedelta(seconds=130)


def test_a_retry_beyond_its_age_is_the_end(
    phone_of: Any, send: Any, hand: Hand, alice: Any, hub: Any
) -> None:
    hub(PUSH_AGE=timedelta(seconds=60))
    phone_of(alice, "retry-120-1")
    send(alice)
    hand.work()
    assert (only().state, only().error) == ("EXPIRED", "too old: retry")


def test_what_nobody_took_in_time_expires(phone_of: Any, send: Any, hand: Hand, alice: Any) -> None:
    phone_of(alice)
    send(alice)
    Delivery.objects.update(
        expires_at=timezone.now() - timedelta(seconds=1), due=timezone.now() + timedelta(hours=1)
    )
    hand.upkeep()
    assert (only().state, only().error) == ("EXPIRED", "too old")


def test_high_goes_before_low_and_old_before_new(
    phone_of: Any, send: Any, hand: Hand, alice: Any, hub: Any
) -> None:
    hub(APPLICATIONS={"phones": {"backend": "dummy", "default": True, "concurrency": 1}})
    phone_of(alice)
    for title, priority in (("a", "low"), ("b", "normal"), ("c", "high"), ("d", "normal")):
        send(alice, title=title, priority=priority)
    hand.work()
    assert [entry.said["title"] for entry in DummyBackend.journal] == ["c", "b", "d", "a"]


def test_a_slow_application_does_not_delay_another(
    phone_of: Any, send: Any, hand: Hand, make_user: Any, alice: Any, hub: Any
) -> None:
    hub(
        APPLICATIONS={
            "slow": {"backend": "dummy", "concurrency": 2},
            "fast": {"backend": "dummy"},
        }
    )
    for number in range(4):
        phone_of(alice, f"hang-{number}", application="slow")
    for number in range(4):
        phone_of(alice, f"ok-{number}", application="fast")
    send(alice)
    end = clock.monotonic() + 3
    while len(states(state="DEBUG")) < 4 and clock.monotonic() < end:
        hand.start()
    assert sorted(pushed()) == [f"ok-{number}" for number in range(4)]
    slow = Application.objects.get(name="slow")
    assert Delivery.objects.filter(application=slow, state="SENDING").count() == 2


def test_a_row_claimed_three_times_without_an_answer_is_claimed_alone_and_then_given_up(
    phone_of: Any, send: Any, hand: Hand, alice: Any
) -> None:
    phone_of(alice, "ok-poison")
    phone_of(alice, "ok-fine")
    send(alice)
    poison = Delivery.objects.get(device__token="ok-poison")
    Delivery.objects.filter(pk=poison.pk).update(claims=3)
    lease = timedelta(seconds=60)
    phones = poison.application_id or 0
    normal = deliveries.claim(phones, most=10, lease=lease, using="default")
    assert normal is not None and poison.pk not in normal.ids
    alone = deliveries.claim(phones, most=10, lease=lease, using="default", alone=True)
    assert alone is not None and alone.ids == [poison.pk]
    Delivery.objects.filter(pk=poison.pk).update(lease=timezone.now() - timedelta(seconds=1))
    hand.upkeep()
    poison.refresh_from_db()
    assert (poison.state, poison.error) == ("ERROR", "no answer in 4 claims")


def test_rows_that_are_tried_alone_leave_the_others_their_time(
    phone_of: Any, send: Any, hand: Hand, alice: Any
) -> None:
    for number in range(4):
        phone_of(alice, f"slow-300-{number}")
    phone_of(alice, "ok-fine")
    send(alice)
    Delivery.objects.exclude(device__token="ok-fine").update(claims=3)
    # all that went on while these were tried, one by one, would be nothing
    end = clock.monotonic() + 10
    while "ok-fine" not in pushed() and clock.monotonic() < end:
        hand.start()
    assert len(pushed()) == 2
    assert Delivery.objects.filter(claims=3, state="WAITING").count() == 3


def test_an_abandoned_claim_is_freed(phone_of: Any, send: Any, hand: Hand, alice: Any) -> None:
    phone_of(alice)
    send(alice)
    row = only()
    deliveries.claim(row.application_id or 0, most=10, lease=timedelta(seconds=-1), using="default")
    assert only().state == "SENDING"
    hand.upkeep()
    assert (only().state, only().claims, only().may_have_arrived) == ("WAITING", 1, True)
    hand.work()
    assert only().state == "DEBUG"


def test_only_what_is_held_is_written(phone_of: Any, send: Any, alice: Any) -> None:
    phone_of(alice)
    send(alice)
    row = only()
    deliveries.claim(row.application_id or 0, most=10, lease=timedelta(seconds=60), using="default")
    change = deliveries.Change(id=row.pk, claim="somebody else's", state="SENT")
    assert deliveries.finish([change], using="default") == 0
    assert only().state == "SENDING"


def test_a_cancelled_delivery_is_not_sent(phone_of: Any, send: Any, hand: Hand, alice: Any) -> None:
    phone_of(alice)
    send(alice)
    assert deliveries.cancel(Delivery.objects.all()) == 1
    hand.work()
    assert (states(), pushed()) == (["CANCELLED"], [])
    assert deliveries.retry(Delivery.objects.all()) == 1
    hand.work()
    assert states() == ["DEBUG"]


def test_closing_hands_back_what_is_not_answered(
    phone_of: Any, send: Any, hand: Hand, alice: Any
) -> None:
    phone_of(alice, "hang-1")
    send(alice)
    hand.start()
    assert only().state == "SENDING"
    hand.worker.close(timeout=0.1)
    row = only()
    assert (row.state, row.attempts, row.may_have_arrived) == ("WAITING", 0, True)


def test_closing_finishes_what_is_answered_in_time(
    phone_of: Any, send: Any, hand: Hand, alice: Any
) -> None:
    phone_of(alice, "slow-200-1")
    send(alice)
    hand.start()
    hand.worker.close(timeout=5)
    assert only().state == "DEBUG"


def test_other_credentials_are_loaded_at_once(
    phone_of: Any, send: Any, hand: Hand, alice: Any, hub: Any, tmp_path: Any
) -> None:
    phone_of(alice)
    send(alice)
    hand.work()
    journal = tmp_path / "journal"
    hub(
        APPLICATIONS={
            "phones": {
                "backend": "dummy",
                "default": True,
                "credentials": {"journal": str(journal)},
            }
        }
    )
    send(alice)
    hand.work()
    assert len(journal.read_text().splitlines()) == 1
    assert Application.objects.get(name="phones").version == 2


def test_a_backend_that_cannot_be_loaded_pauses_its_application_alone(
    phone_of: Any, send: Any, hand: Hand, alice: Any, hub: Any
) -> None:
    phone_of(alice, "ok-1")
    hub(
        BACKENDS={"broken": "nowhere.Broken"},
        APPLICATIONS={
            "phones": {"backend": "dummy", "default": True},
            "broken": {"backend": "broken"},
        },
    )
    send(alice)
    row = only()
    broken = applications.current().named("broken")
    send(alice)
    Delivery.objects.filter(pk=row.pk).update(application=broken)
    hand.work()
    assert states() == ["WAITING", "DEBUG"]
    broken = Application.objects.get(name="broken")
    assert broken.alert == "backend not loaded: ImproperlyConfigured"


def test_without_an_application_a_delivery_waits_and_then_expires(
    phone_of: Any, send: Any, hand: Hand, alice: Any, hub: Any
) -> None:
    phone_of(alice)
    hub(APPLICATIONS={})
    send(alice)
    assert only().application_id is None
    hand.work()
    assert states() == ["WAITING"]
    Delivery.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    hand.upkeep()
    assert (only().state, only().error) == ("EXPIRED", "no application for it")


def test_a_pass_costs_the_same_for_many(
    phone_of: Any, send: Any, hand: Hand, make_user: Any, django_assert_max_num_queries: Any
) -> None:
    for number in range(60):
        phone_of(make_user(f"user{number}"), f"ok-{number}")
    send(get_user_model().objects.all())
    with django_assert_max_num_queries(45):
        hand.work()
    assert set(states()) == {"DEBUG"}
