"""Devices: registration, hand-over, logout, the cap, and what stands nowhere."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from notifications.errors import InvalidField
from notifications.models import Inbox
from routing.push import devices
from routing.push.backends.dummy import DummyBackend
from routing.push.models import Delivery, Device
from routing.push.registration import register
from routing.push.signals import device_deactivated, device_registered, device_updated
from tests.routing.push.conftest import Hand, only, pushed, states

pytestmark = pytest.mark.django_db


@pytest.fixture
def told(django_capture_on_commit_callbacks: Any) -> Iterator[Any]:
    """What the signals said, by `told(call)`."""
    said: list[tuple[str, int]] = []

    def listener(name: str) -> Any:
        def listen(*, device: Device, **_: Any) -> None:
            said.append((name, device.pk))

        return listen

    named = {
        "registered": device_registered,
        "updated": device_updated,
        "deactivated": device_deactivated,
    }
    kept = {name: listener(name) for name in named}
    for name, signal in named.items():
        signal.connect(kept[name])

    def during(call: Any) -> list[tuple[str, int]]:
        said.clear()
        with django_capture_on_commit_callbacks(execute=True):
            call()
        return list(said)

    yield during
    for name, signal in named.items():
        signal.disconnect(kept[name])


def pushable(user: Any) -> bool:
    return Inbox.objects.get(pk=user.pk).pushable


def test_registering_again_changes_nothing_but_what_is_said(phone_of: Any, alice: Any) -> None:
    first, fresh = register(alice, backend="dummy", token="ok-1", name="Phone")
    again, again_fresh = register(alice, backend="dummy", token=" ok-1 ", app_version="2")
    assert (fresh, again_fresh) == (True, False)
    assert first.pk == again.pk
    assert (again.name, again.app_version) == ("Phone", "2")
    assert Device.objects.count() == 1


def test_the_inbox_knows_whether_there_is_anything_to_push_to(phone_of: Any, alice: Any) -> None:
    assert not pushable(alice)
    phone = phone_of(alice)
    assert pushable(alice)
    devices.change(phone, active=False)
    assert not pushable(alice)
    devices.change(phone, active=True)
    assert pushable(alice)
    devices.remove(phone)
    assert not pushable(alice)


def test_a_hand_over_is_a_new_row_and_drops_what_waits(
    phone_of: Any, send: Any, hand: Hand, alice: Any, bob: Any
) -> None:
    hers = phone_of(alice, "ok-shared")
    send(alice, title="For Alice alone")
    his = phone_of(bob, "ok-shared")
    hers.refresh_from_db()
    assert his.pk != hers.pk
    assert (hers.user_id, hers.active, hers.live, hers.reason) == (
        alice.pk,
        False,
        False,
        "handed_over",
    )
    assert states() == ["SKIPPED"]
    assert (pushable(alice), pushable(bob)) == (False, True)
    hand.work()
    assert pushed() == []


def test_a_device_that_comes_back_is_the_one_it_was(phone_of: Any, alice: Any, bob: Any) -> None:
    hers = phone_of(alice, "ok-shared", name="Family tablet")
    phone_of(bob, "ok-shared")
    back, fresh = register(alice, backend="dummy", token="ok-shared")
    assert (back.pk, back.name, fresh) == (hers.pk, "Family tablet", True)
    assert Device.objects.live().count() == 1


def test_a_device_cannot_be_activated_while_its_token_is_elsewhere(
    phone_of: Any, alice: Any, bob: Any
) -> None:
    hers = phone_of(alice, "ok-shared")
    phone_of(bob, "ok-shared")
    with pytest.raises(devices.TokenElsewhere):
        devices.change(hers, active=True)


def test_a_replaced_token_keeps_the_device(phone_of: Any, alice: Any) -> None:
    phone = phone_of(alice, "ok-old", name="Phone")
    again, fresh = register(alice, backend="dummy", token="ok-new", old_token="ok-old")
    assert (again.pk, again.token, fresh) == (phone.pk, "ok-new", False)


def test_an_old_token_of_somebody_else_is_left_alone(phone_of: Any, alice: Any, bob: Any) -> None:
    phone_of(alice, "ok-alice")
    register(bob, backend="dummy", token="ok-bob", old_token="ok-alice")
    assert Device.objects.active().filter(user=alice.pk, token="ok-alice").exists()


def test_logging_out_drops_what_waits(phone_of: Any, send: Any, alice: Any) -> None:
    phone = phone_of(alice)
    send(alice)
    register(alice, backend="dummy", token=phone.token, active=False)
    phone.refresh_from_db()
    assert (phone.active, phone.reason) == (False, "logout")
    assert states() == ["SKIPPED"]


def test_each_signal_is_sent_once(phone_of: Any, told: Any, alice: Any, bob: Any) -> None:
    phone = phone_of(alice)
    again = lambda user=alice, **more: register(user, backend="dummy", token=phone.token, **more)  # noqa: E731
    assert told(again) == [("updated", phone.pk)]
    assert told(lambda: again(active=False)) == [("deactivated", phone.pk)]
    assert told(lambda: again(active=False)) == [("updated", phone.pk)]
    assert told(again) == [("updated", phone.pk)]
    taken = told(lambda: again(bob))
    assert taken[0] == ("deactivated", phone.pk)
    assert [name for name, _ in taken] == ["deactivated", "registered"]
    his = Device.objects.get(user=bob)
    assert told(lambda: devices.remove(his))[0][0] == "deactivated"
    assert told(lambda: devices.remove(phone)) == []


def test_a_signal_of_a_rollback_is_not_sent(phone_of: Any, told: Any, alice: Any) -> None:
    def fail() -> None:
        with transaction.atomic():
            register(alice, backend="dummy", token="ok-never")
            transaction.set_rollback(True)

    assert told(fail) == []


def test_the_oldest_inactive_device_goes_first(phone_of: Any, alice: Any, hub: Any) -> None:
    hub(DEVICES_PER_USER=3)
    phone_of(alice, "ok-1")
    second = phone_of(alice, "ok-2")
    phone_of(alice, "ok-3")
    devices.change(second, active=False)
    phone_of(alice, "ok-4")
    assert list(Device.objects.order_by("pk").values_list("token", flat=True)) == [
        "ok-1",
        "ok-3",
        "ok-4",
    ]
    phone_of(alice, "ok-5")
    assert not Device.objects.filter(token="ok-1").exists()


def test_a_dead_device_is_deactivated_unless_it_registered_again(phone_of: Any, alice: Any) -> None:
    phone = phone_of(alice)
    at = phone.registered_at
    later = at + timedelta(seconds=1)
    earlier = at - timedelta(seconds=1)
    assert not devices.gone(phone.pk, registered_at=at, since=earlier, using="default")
    assert not devices.gone(phone.pk, registered_at=earlier, since=None, using="default")
    assert devices.gone(phone.pk, registered_at=at, since=later, using="default")
    phone.refresh_from_db()
    assert (phone.active, phone.live, phone.reason) == (False, True, "gone")


def test_a_device_that_was_given_up_lives_again_when_it_registers(
    phone_of: Any, alice: Any
) -> None:
    phone = phone_of(alice)
    devices.gone(phone.pk, registered_at=phone.registered_at, since=None, using="default")
    again, fresh = register(alice, backend="dummy", token=phone.token)
    assert (again.pk, again.active, again.reason, fresh) == (phone.pk, True, "", False)


def test_devices_that_are_long_inactive_are_pruned(phone_of: Any, send: Any, alice: Any) -> None:
    old, new, live = (phone_of(alice, f"ok-{number}") for number in range(3))
    send(alice)
    for phone in (old, new):
        devices.change(phone, active=False)
    Device.objects.filter(pk=old.pk).update(deactivated_at=timezone.now() - timedelta(days=91))
    assert devices.prune() == 1
    assert set(Device.objects.values_list("pk", flat=True)) == {new.pk, live.pk}
    assert Delivery.objects.count() == 3


@pytest.mark.parametrize("token", ["", "   ", "x" * 4097, "with\x00nul", "line\nbreak", None])
def test_what_is_no_token_is_refused(phones: None, alice: Any, token: Any) -> None:
    with pytest.raises(InvalidField):
        register(alice, backend="dummy", token=token)


@pytest.mark.parametrize(
    "wrong",
    [
        {"backend": "carrier-pigeon"},
        {"application": "nobody's"},
        {"environment": "moon"},
        {"type": "toaster"},
        {"time_zone": "Mars/Olympus"},
        {"name": "x" * 101},
        {"locale": 7},
        {"user_id": "1"},
    ],
)
def test_what_is_no_registration_is_refused(phones: None, alice: Any, wrong: Any) -> None:
    with pytest.raises(InvalidField):
        register(alice, **{"backend": "dummy", "token": "ok", **wrong})
    assert not Device.objects.exists()


def test_no_token_stands_in_a_repr(phone_of: Any, alice: Any) -> None:
    phone = phone_of(alice, "ok-very-secret-token")
    assert "secret" not in f"{phone!r} {phone}"


@pytest.mark.django_db(transaction=True)
def test_parallel_registrations_of_one_token_make_one_device(
    phones: None, alice: Any, bob: Any
) -> None:
    answers: list[bool] = []
    faults: list[Exception] = []
    start = threading.Barrier(6)

    def one(user: Any) -> None:
        try:
            start.wait()
            for _ in range(5):
                answers.append(register(user, backend="dummy", token="ok-race")[1])
        except Exception as fault:
            faults.append(fault)
        finally:
            connection.close()

    threads = [threading.Thread(target=one, args=(user,)) for user in (alice, bob) * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert len(answers) == 30
    assert Device.objects.live().count() == 1
    owner = Device.objects.live().get().user_id
    assert Device.objects.count() <= 2
    assert pushable(alice) == (owner == alice.pk)
    assert pushable(bob) == (owner == bob.pk)


@pytest.mark.django_db(transaction=True)
def test_a_delivery_that_is_on_its_way_at_a_hand_over(
    phone_of: Any, send: Any, hand: Hand, alice: Any, bob: Any
) -> None:
    """It was Alice's when it was handed to the provider; nothing after that is."""
    phone_of(alice, "slow-300-shared")
    send(alice, title="First")
    hand.start()
    phone_of(bob, "slow-300-shared")
    send(alice, title="Second")
    hand.work()
    assert only().state == "DEBUG"
    assert [entry.said["title"] for entry in DummyBackend.journal] == ["First"]
