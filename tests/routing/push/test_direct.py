"""Direct pushes from Python: one result per recipient, whatever goes wrong with one of them."""

import asyncio
import json
import threading
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, transaction
from django.utils import timezone

from notifications.errors import InvalidField
from notifications.models import Event
from routing.push import clients, direct, immediate
from routing.push.backends.dummy import DummyBackend
from routing.push.calls import UnknownApplication
from routing.push.direct import recipient, send_message
from routing.push.models import Application, Delivery, Device, Pause
from routing.push.outcomes import Limits, UnsupportedOption
from tests.routing.push.conftest import PHONES, Hand, only, pushed, states

committing = pytest.mark.django_db(transaction=True)
pytestmark = pytest.mark.django_db


class SmallBackend(DummyBackend):
    """Takes short messages, a few at a time, and counts how many it has at once."""

    name = "small"
    limits = Limits(max_payload=120, max_ttl=60, concurrency=10, request_seconds=1.0)
    under_way = most_under_way = opened = 0

    async def open(self) -> None:
        type(self).opened += 1
        await super().open()

    async def _hand_over(self, message: Any) -> Any:
        kind = type(self)
        kind.under_way += 1
        kind.most_under_way = max(kind.most_under_way, kind.under_way)
        try:
            return await super()._hand_over(message)
        finally:
            kind.under_way -= 1


@pytest.fixture
def small(hub: Any, phones: None) -> Any:
    """A second application, of a backend with lower limits."""
    for name in ("under_way", "most_under_way", "opened"):
        setattr(SmallBackend, name, 0)
    hub(
        BACKENDS={"small": f"{__name__}.SmallBackend"},
        APPLICATIONS={**PHONES, "small": {"backend": "small", "default": True}},
    )
    yield SmallBackend
    clients.close_shared()


def small_of(user: Any, token: str) -> Device:
    from routing.push.registration import register

    return register(user, backend="small", token=token)[0]


def of(results: Any) -> list[tuple[str, str]]:
    return [(each.state, each.reason) for each in results]


def test_a_device_and_a_queryset_are_sent_to_by_the_worker(
    phone_of: Any, small: Any, hand: Hand, alice: Any, bob: Any
) -> None:
    hers = phone_of(alice, "ok-1")
    small_of(bob, "ok-2")
    phone_of(bob, "ok-3", active=False)
    [one] = hers.send_message("Now", title="Hello", url="/x/", data={"a": 1})
    several = Device.objects.order_by("pk").send_message("Later")
    assert (one.state, one.device_id, one.application) == ("WAITING", hers.pk, "phones")
    assert [each.device_id for each in several] == [
        hers.pk,
        Device.objects.get(user=bob, active=True).pk,
    ]
    assert several.event is not None and several.waiting == 2
    hand.work()
    assert Counter(pushed()) == {"ok-1": 2, "ok-2": 1}
    said = DummyBackend.journal[0].said
    assert (said["title"], said["body"], said["url"], said["data"]) == (
        "Hello",
        "Now",
        "/x/",
        {"a": 1},
    )
    assert states() == ["DEBUG"] * 3
    assert only(pk=one.delivery_id).device == hers


@committing
@pytest.mark.parametrize("immediately", [False, True])
def test_in_bulk_each_device_goes_through_its_own_application(
    immediately: bool, phone_of: Any, hub: Any, hand: Hand, make_user: Any, tmp_path: Path
) -> None:
    journals = {name: tmp_path / name for name in ("shop", "forum")}
    hub(
        APPLICATIONS={
            name: {"backend": "dummy", "credentials": {"journal": str(path)}}
            for name, path in journals.items()
        }
    )
    for number in range(10):
        name = "shop" if number % 3 else "forum"
        phone_of(make_user(f"u{number}"), f"ok-{name}-{number}", application=name)
    results = Device.objects.all().send_message("Hello", persist=not immediately)
    hand.work()
    assert Counter(each.application for each in results) == {"shop": 6, "forum": 4}
    for name, path in journals.items():
        tokens = [json.loads(line)["token"] for line in path.read_text().splitlines()]
        assert len(tokens) == (6 if name == "shop" else 4)
        assert all(token.startswith(f"ok-{name}-") for token in tokens)


def test_nobody_is_sent_to_without_a_device_and_nothing_is_stored(phones: None) -> None:
    results = Device.objects.filter(type="ios").send_message("Hello")
    assert (list(results), results.event) == ([], None)
    assert not Event.objects.exists()


def test_what_is_wrong_with_one_recipient_stops_no_other(
    phone_of: Any, small: Any, hand: Hand, hub: Any, alice: Any, bob: Any, charlie: Any
) -> None:
    fine, gone = phone_of(alice, "ok-1"), phone_of(bob, "ok-2", active=False)
    short = small_of(charlie, "ok-3")
    lost = phone_of(charlie, "ok-4")
    Device.objects.filter(pk=lost.pk).update(backend="wns", application=None)
    lost.refresh_from_db()
    topic = recipient("phones", kind="topic", recipient="ok-news")
    long = recipient("phones", kind="topic", recipient="x" * 1001)
    results = send_message([short, gone, topic, lost, long, fine, fine], "x" * 200)
    assert of(results) == [
        ("ERROR", "too long: the payload has 250 bytes, 120 are allowed"),
        ("SKIPPED", "device inactive: logout"),
        ("WAITING", ""),
        ("ERROR", "no application for it"),
        ("ERROR", "a recipient has at most 1000 printable characters"),
        ("WAITING", ""),
    ]
    assert (results.failed, results.waiting, results.sent) == (4, 2, 0)
    hand.work()
    assert sorted(pushed()) == ["ok-1", "ok-news"]
    # what is refused stands in the book
    assert Delivery.objects.get(device=short).error.startswith("too long")


def test_each_recipient_has_its_own_badge(phone_of: Any, hand: Hand, make_user: Any) -> None:
    devices = [phone_of(make_user(f"u{number}"), f"ok-{number}") for number in range(5)]
    asked = []

    def badge(device: Device) -> Any:
        asked.append(device)
        number = devices.index(device)
        return [7, 0, None, -1, "4"][number]

    results = Device.objects.order_by("pk").send_message("Hello", badge=badge)
    assert asked == devices
    assert of(results)[:3] == [("WAITING", "")] * 3
    assert of(results)[3:] == [("ERROR", "badge: must be an integer from 0 on, or None")] * 2
    hand.work()
    assert {entry.token: entry.said["badge"] for entry in DummyBackend.journal} == {
        "ok-0": 7, "ok-1": 0, "ok-2": 0,
    }  # fmt: skip


def test_a_badge_that_raises_is_one_recipients_result(phone_of: Any, alice: Any, bob: Any) -> None:
    phone_of(alice, "ok-1")
    phone_of(bob, "ok-2")
    results = Device.objects.order_by("pk").send_message(
        "Hello", badge=lambda device: 1 // (device.user_id - alice.pk)
    )
    assert of(results) == [("ERROR", "badge: ZeroDivisionError"), ("WAITING", "")]


def test_options_that_nobody_knows_are_refused_before_anything_is_sent(
    phone_of: Any, alice: Any
) -> None:
    phone = phone_of(alice)
    wrong: list[dict[str, Any]] = [
        {"colour": "red"}, {"data": {1, 2}}, {"data": float("nan")}, {"title": "x" * 201},
        {"title": "a\0b"}, {"data": "a\0b"}, {"data": "\ud800"}, {"badge": -1}, {"tag": "x" * 65},
    ]  # fmt: skip
    for options in wrong:
        with pytest.raises(UnsupportedOption):
            phone.send_message("Hello", **options)
    for stranger in (alice, "token", [alice]):
        with pytest.raises(TypeError):
            send_message(stranger, "Hello")
    assert not Event.objects.exists()


def test_topics_conditions_and_aliases_are_the_providers(phones: None, hand: Hand) -> None:
    with pytest.raises(UnknownApplication):
        recipient("none", kind="topic", recipient="news")
    with pytest.raises(ValueError):
        recipient("phones", kind="device", recipient="x")
    for kind in ("topic", "condition", "alias"):
        [result] = send_message(recipient("phones", kind=kind, recipient=f"ok-{kind}"), "Hello")
        assert (result.recipient, result.device_id) == (f"ok-{kind}", None)
        assert f"ok-{kind}" not in repr(result)
    hand.work()
    assert pushed() == ["ok-topic", "ok-condition", "ok-alias"]


EVERY_OUTCOME = [
    ("ok-1", "DEBUG", ""),
    ("reject-1", "ERROR", "reject"),
    ("dead-x", "ERROR", "gone: dead"),
    ("retry-60-1", "ERROR_RETRY", "retry"),
    ("slow-50-1", "DEBUG", ""),
    ("foreign-1", "ERROR", "foreign"),
]


@committing
def test_what_is_sent_immediately_has_its_outcome_at_once_and_in_the_book(
    phone_of: Any, make_user: Any
) -> None:
    for number, (token, _, _) in enumerate(EVERY_OUTCOME):
        phone_of(make_user(f"u{number}"), token)
    results = Device.objects.order_by("pk").send_message("Hello", send_immediately=True)
    assert of(results) == [(state, reason) for _, state, reason in EVERY_OUTCOME]
    assert states() == [state for _, state, _ in EVERY_OUTCOME]
    assert set(Delivery.objects.values_list("attempts", flat=True)) == {1}
    assert not Device.objects.get(token="dead-x").active
    assert (results.sent, results.waiting, results.failed) == (2, 1, 3)


@committing
def test_what_is_not_recorded_has_its_outcome_and_leaves_nothing(
    phone_of: Any, make_user: Any
) -> None:
    for number, (token, _, _) in enumerate(EVERY_OUTCOME):
        phone_of(make_user(f"u{number}"), token)
    results = Device.objects.order_by("pk").send_message("Hello", persist=False)
    wanted = [
        ("ERROR" if state == "ERROR_RETRY" else state, why) for _, state, why in EVERY_OUTCOME
    ]
    assert of(results) == wanted
    assert {each.delivery_id for each in results} == {None}
    assert not Delivery.objects.exists() and not Event.objects.exists()
    # what it says of devices counts all the same
    assert not Device.objects.get(token="dead-x").active
    assert Device.objects.get(token="foreign-1").suspended_until
    first = DummyBackend.journal[0].collapse_id
    Device.objects.filter(token="ok-1").send_message("Again", persist=False)
    assert DummyBackend.journal[-1].collapse_id != first


@committing
@pytest.mark.parametrize("how", [{"send_immediately": True}, {"persist": False}])
def test_credentials_that_are_wrong_pause_the_application(
    phone_of: Any, hand: Hand, alice: Any, bob: Any, how: dict[str, bool]
) -> None:
    phone_of(alice, "config-1")
    [first] = Device.objects.all().send_message("Hello", **how)
    assert Pause.objects.exists()
    phone_of(bob, "ok-1")
    results = Device.objects.filter(user=bob).send_message("Hello", **how)
    assert pushed() == ["config-1"]
    assert {each.is_sent for each in (first, *results)} == {False}
    assert {each.is_waiting for each in (first, *results)} == {"persist" not in how}


@committing
@pytest.mark.parametrize("how", [{"send_immediately": True}, {"persist": False}, {}])
def test_nothing_leaves_before_the_commit(
    phone_of: Any, hand: Hand, alice: Any, how: dict[str, bool]
) -> None:
    phone = phone_of(alice, "ok-1")
    with pytest.raises(RuntimeError), transaction.atomic():
        results = phone.send_message("Never", **how)
        assert [each.state for each in results] == ["WAITING"]
        raise RuntimeError
    hand.work()
    assert (pushed(), states()) == ([], [])
    with transaction.atomic():
        assert [each.state for each in phone.send_message("Hello", **how)] == ["WAITING"]
        assert pushed() == []
    if how:
        assert pushed() == ["ok-1"]
    hand.work()
    assert pushed() == ["ok-1"]
    assert states() == ([] if "persist" in how else ["DEBUG"])


async def test_it_works_in_async_code_too(phone_of: Any, alice: Any) -> None:
    phone = await sync_to_async(phone_of)(alice, "ok-1")
    [planned] = await phone.asend_message("Hello")
    assert planned.state == "WAITING"
    [sent] = await Device.objects.all().asend_message(
        "Hello", badge=lambda device: 3, persist=False
    )
    assert sent.state == "DEBUG"
    several = await asyncio.gather(
        *(direct.asend_message(phone, "Hello", send_immediately=True) for _ in range(5))
    )
    assert {each.state for results in several for each in results} == {"DEBUG"}
    assert DummyBackend.journal[0].said["badge"] == 3


@committing
def test_calls_of_several_threads_share_one_client(
    small: Any, make_user: Any, phone_of: Any
) -> None:
    for number in range(8):
        small_of(make_user(f"u{number}"), f"slow-100-{number}")
    found: list[Any] = []

    def call() -> None:
        from django.db import connections

        found.append(Device.objects.all().send_message("Hello", persist=False))
        connections.close_all()

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [results.sent for results in found] == [8] * 4
    assert small.opened == 1
    assert 1 < small.most_under_way <= small.limits.concurrency


@committing
@pytest.mark.parametrize("how", [{"send_immediately": True}, {"persist": False}])
def test_a_provider_that_hangs_does_not_hold_a_call_for_ever(
    small: Any, phone_of: Any, make_user: Any, hand: Hand, alice: Any, how: dict[str, bool]
) -> None:
    for number in range(200):
        user = make_user(f"u{number}") if number % 20 == 0 else user  # noqa: F821
        small_of(user, f"hang-{number}")
    phone_of(alice, "ok-1")
    began = time.monotonic()
    results = Device.objects.order_by("pk").send_message("Hello", **how)
    # 200 in tens, of a second each, would be 20
    assert time.monotonic() - began < 12
    assert results[-1].state == "DEBUG"
    tried = [each for each in results if each.reason != immediate.AWAY and each.state != "WAITING"]
    assert len(tried) < 60
    if "persist" in how:
        assert of(results)[-2] == ("ERROR", immediate.AWAY)
    else:
        assert results[-2].state == "WAITING"
        assert Delivery.objects.filter(state="WAITING", due__lte=timezone.now()).count() > 140


@committing
def test_thousands_are_sent_to_a_few_at_a_time(
    small: Any, phone_of: Any, make_user: Any, django_assert_max_num_queries: Any
) -> None:
    user = make_user("crowd")
    template = small_of(user, "ok-0")
    Device.objects.bulk_create(
        Device(
            user=user, backend="small", token=f"ok-{number}", token_hash=f"{number:064d}",
            application=template.application,
        )
        for number in range(1, 3000)
    )  # fmt: skip
    # SQLite takes fewer rows in one statement
    with django_assert_max_num_queries(60 if connection.vendor == "postgresql" else 150):
        planned = Device.objects.all().send_message("Hello")
    assert (planned.waiting, len({each.device_id for each in planned})) == (3000, 3000)
    sent = Device.objects.all().send_message("Hello", persist=False)
    assert sent.sent == 3000
    assert small.most_under_way <= small.limits.concurrency
    small.most_under_way = 0
    Device.objects.all()[:50].send_message("Hello", persist=False, at_once=3)
    assert small.most_under_way <= 3
    with pytest.raises(ValueError):
        template.send_message("Hello", persist=False, at_once=0)


@committing
def test_what_a_call_that_died_has_left_is_sent_by_the_worker(
    phone_of: Any, hand: Hand, alice: Any, monkeypatch: Any
) -> None:
    phone = phone_of(alice, "ok-1")

    def dies(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(immediate, "send_rows", dies)
        with pytest.raises(KeyboardInterrupt):
            phone.send_message("Hello", send_immediately=True)
    hand.work()
    assert pushed() == []  # not yet: its caller may be at it
    assert only().due - timezone.now() > immediate.hold() - timedelta(seconds=20)
    Delivery.objects.update(due=timezone.now() - timedelta(seconds=1))
    hand.work()
    assert (pushed(), states()) == (["ok-1"], ["DEBUG"])


def test_it_is_found_by_what_it_is_about(phone_of: Any, alice: Any, bob: Any) -> None:
    phone = phone_of(alice)
    results = phone.send_message("Hello", tag="train-12", related_objects=[bob])
    assert list(Event.objects.related_to(bob)) == [results.event]
    assert list(Delivery.objects.related_to(bob)) == [only()]
    assert results.event is not None and results.event.tag == "train-12"
    with pytest.raises(InvalidField):
        phone.send_message("Hello", related_objects=[Device()])
    assert len(states()) == 1


@committing
def test_a_device_of_nobody_is_sent_to(phone_of: Any, hand: Hand, alice: Any) -> None:
    phone = phone_of(alice)
    Device.objects.update(user=None)
    phone.refresh_from_db()
    assert [each.state for each in phone.send_message("Hello", persist=False)] == ["DEBUG"]
    assert [each.state for each in phone.send_message("Hello", send_immediately=True)] == ["DEBUG"]
    phone.send_message("Hello")
    hand.work()
    assert states() == ["DEBUG"] * 2


def test_without_the_book_nothing_of_it_stays(
    phone_of: Any, hand: Hand, hub: Any, alice: Any
) -> None:
    hub(PERSIST_DELIVERIES=False)
    phone_of(alice).send_message("Hello")
    hand.work()
    hand.upkeep()
    assert (len(pushed()), states()) == (1, [])


def test_an_application_of_settings_is_named_in_a_result(phone_of: Any, alice: Any) -> None:
    [result] = phone_of(alice).send_message("Hello")
    assert Application.objects.get(name=result.application).backend == "dummy"
