"""The commands of the push road, with their errors."""

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from notifications import event_types
from notifications.models import Event, EventType
from routing.push import devices, direct, retention
from routing.push.backends.dummy import DummyBackend
from routing.push.calls import TYPE
from routing.push.models import Delivery, Device
from tests.routing.push.conftest import Hand, pushed, states

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out, stderr=out)
    return out.getvalue()


def test_a_push_is_planned_and_sent_by_the_worker(
    phone_of: Any, hand: Hand, alice: Any, bob: Any
) -> None:
    phone_of(alice, "ok-1")
    phone_of(alice, "ok-2", active=False)
    phone_of(bob, "ok-3")
    said = run(
        "send_push", "--user", "alice", "--title", "Hello", "--message", "You", "--badge", "7",
        "--extra", '{"a": 1}', "--ttl", "60",
    )  # fmt: skip
    assert "1 planned" in said
    hand.work()
    [entry] = DummyBackend.journal
    assert entry.token == "ok-1"
    assert (entry.said["title"], entry.said["badge"], entry.said["data"]) == ("Hello", 7, {"a": 1})
    assert states() == ["DEBUG"]


def test_a_direct_push_needs_no_inbox_and_shows_in_none(
    phone_of: Any, hand: Hand, alice: Any
) -> None:
    phone_of(alice)
    event = direct.send_to_user(alice, title="Hello").event
    hand.work()
    assert states() == ["DEBUG"]
    assert event is not None and event.type.name == TYPE
    assert TYPE not in {row.name for row in EventType.objects.active()}
    event_types.sync()
    assert EventType.objects.filter(name=TYPE).exists()


def test_all_devices_of_an_application(phone_of: Any, hand: Hand, alice: Any, bob: Any) -> None:
    phone_of(alice, "ok-1")
    phone_of(bob, "ok-2")
    assert "2 planned" in run("send_push", "--application", "phones", "--message", "Hi")
    assert "1 planned" in run("send_push", "--device", str(Device.objects.first().pk),  # type: ignore[union-attr]
                              "--message", "Hi")  # fmt: skip


def test_a_topic_is_sent_to_without_a_device(phones: None, hand: Hand) -> None:
    run("send_push", "--application", "phones", "--topic", "ok-news", "--message", "Hi")
    hand.work()
    assert pushed() == ["ok-news"]
    row = Delivery.objects.get()
    assert (row.device_id, row.recipient, row.kind, row.state) == (
        None,
        "ok-news",
        "topic",
        "DEBUG",
    )


@pytest.mark.django_db(transaction=True)
def test_without_persistence_nothing_is_left_behind(phone_of: Any, alice: Any, bob: Any) -> None:
    phone_of(alice, "ok-1")
    said = run("send_push", "--user", "alice", "--message", "Hi", "--no-persist")
    assert "1 sent" in said
    assert (pushed(), Delivery.objects.count(), Event.objects.count()) == (["ok-1"], 0, 0)
    phone_of(bob, "reject-1")
    with pytest.raises(CommandError, match=r"1 of 2 were not sent: reject \(1\)"):
        run("send_push", "--application", "phones", "--message", "Hi", "--no-persist")


@pytest.mark.django_db(transaction=True)
def test_what_is_sent_immediately_is_recorded(phone_of: Any, alice: Any, bob: Any) -> None:
    phone_of(alice, "ok-1")
    phone_of(bob, "retry-60-1")
    said = run("send_push", "--application", "phones", "--message", "Hi", "--immediately")
    assert "1 sent, 1 planned, as event" in said
    assert states() == ["DEBUG", "ERROR_RETRY"]


def test_a_dry_run_sends_nothing(phone_of: Any, alice: Any) -> None:
    phone_of(alice)
    assert "1 would be" in run("send_push", "--user", "alice", "--message", "Hi", "--dry-run")
    assert (states(), pushed()) == ([], [])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--message", "Hi"], "say to whom"),
        (["--user", "nobody", "--message", "Hi"], "no user 'nobody'"),
        (["--application", "none", "--message", "Hi"], "no application 'none'"),
        (["--user", "alice"], "say something"),
        (["--user", "alice", "--message", "Hi", "--badge", "many"], "--badge must be an integer"),
        (["--user", "alice", "--message", "Hi", "--badge", "-1"], "at least 0"),
        (["--user", "alice", "--extra", "[1]"], "--extra must be a JSON object"),
        (["--user", "alice", "--extra", "x"], "--extra must be a JSON object"),
        (["--user", "alice", "--message", "Hi", "--batch-size", "x"], "--batch-size must be"),
        (["--user", "alice", "--message", "Hi", "--batch-size", "0"], "at least 1"),
        (["--user", "alice", "--message", "Hi", "--device", "x"], "not several"),
        (["--device", "x", "--message", "Hi"], "--device must be an integer"),
        (["--topic", "news", "--message", "Hi"], "--topic needs --application"),
        (["--alias", "7", "--message", "Hi"], "--alias needs --application"),
        (["--user", "alice", "--title", "x" * 201], "title must have at most 200"),
        (["--user", "bob", "--message", "Hi"], "no active device"),
        (["--user", "alice", "--message", "x" * 5000], "too long"),
    ],
)
def test_what_cannot_be_sent(
    phone_of: Any, alice: Any, bob: Any, arguments: list[str], said: str
) -> None:
    phone_of(alice)
    with pytest.raises(CommandError, match=said):
        run("send_push", *arguments)
    assert states() == []


def test_deliveries_are_counted_retried_and_cancelled(
    phone_of: Any, send: Any, hand: Hand, alice: Any
) -> None:
    phone_of(alice, "reject-1")
    event = send(alice)
    hand.work()
    assert "1 ERROR\n" in run("deliveries")
    with pytest.raises(CommandError, match="say which"):
        run("deliveries", "--retry")
    assert "1 due again" in run("deliveries", "--retry", "--event", str(event.pk))
    assert "1 cancelled" in run("deliveries", "--cancel", "--application", "phones")
    assert "0 cancelled" in run("deliveries", "--cancel", "--all")
    assert states() == ["CANCELLED"]


def test_devices_are_pruned(phone_of: Any, alice: Any) -> None:
    phone = phone_of(alice)
    devices.change(phone, active=False)
    assert "0 devices" in run("prune_devices")
    Device.objects.update(deactivated_at=timezone.now() - timedelta(days=8))
    assert "0 devices" in run("prune_devices", "--days", "30")
    assert "1 device deleted" in run("prune_devices", "--days", "7")


def test_applications_are_checked(phone_of: Any, alice: Any, hub: Any) -> None:
    phone_of(alice)
    assert "phones (dummy, 1 devices): ready" in run("check_push")
    assert "nothing to ask" in run("check_push", "--online")
    hub(APPLICATIONS={"web": {"backend": "webpush", "credentials": {"subject": "x"}}})
    with pytest.raises(SystemExit):
        run("check_push")
    hub(APPLICATIONS={})
    with pytest.raises(SystemExit):
        run("check_push")


def test_finished_deliveries_are_forgotten(
    phone_of: Any, send: Any, hand: Hand, alice: Any, bob: Any, hub: Any
) -> None:
    phone_of(alice)
    phone_of(bob, "retry-60-1")
    send([alice, bob])
    hand.work()
    retention.prune_some()
    assert len(states()) == 2
    Delivery.objects.exclude(finished_at=None).update(
        finished_at=timezone.now() - timedelta(days=31)
    )
    with pytest.raises(CommandError, match="by age alone"):
        run("deliveries", "--prune", "--state", "SENT")
    assert run("deliveries", "--prune") == "1 deleted\n"
    assert run("deliveries", "--prune") == "0 deleted\n"
    assert states() == ["ERROR_RETRY"]
    alice_gone = Delivery.objects.get()
    Delivery.objects.filter(pk=alice_gone.pk).update(user=10**6)
    retention.prune_orphans()
    assert states() == []


def test_nothing_is_kept_where_nothing_shall_be(
    phone_of: Any, send: Any, hand: Hand, alice: Any, hub: Any
) -> None:
    hub(PERSIST_DELIVERIES=False)
    phone_of(alice)
    send(alice)
    hand.work()
    hand.upkeep()
    assert states() == []
