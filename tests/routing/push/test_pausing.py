"""Nobody can pause everybody: what one foreign registration provokes, and what many do."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from routing.push import applications, pausing
from routing.push.backends.dummy import DummyBackend
from routing.push.models import Application, Delivery, Device, Fault, Pause
from routing.push.outcomes import Address, Outcome, Scope, Verdict
from routing.push.registration import register
from routing.push.signals import push_alert
from tests.routing.push.conftest import Hand, only, pushed, states

pytestmark = pytest.mark.django_db


class BrowserBackend(DummyBackend):
    """A dummy with origins: the word after the last dash."""

    name = "browser"

    def origin(self, address: Address) -> str:
        return address.token.rpartition("-")[2]


ORIGINS = {
    "BACKENDS": {"browser": f"{__name__}.BrowserBackend"},
    "APPLICATIONS": {"web": {"backend": "browser", "default": True}},
}


@pytest.fixture
def alerts(django_capture_on_commit_callbacks: Any) -> Iterator[list[str]]:
    said: list[str] = []

    def listen(*, reason: str, **_: Any) -> None:
        said.append(reason)

    push_alert.connect(listen)
    with django_capture_on_commit_callbacks(execute=True):
        yield said
    push_alert.disconnect(listen)


def suspended() -> int:
    return Device.objects.suspended().count()


def foreign(make_user: Any, phone_of: Any, *, users: int, each: int) -> list[Any]:
    people = [make_user(f"foreign{number}") for number in range(users)]
    for person in people:
        for number in range(each):
            phone_of(person, f"foreign-{person.username}-{number}")
    return people


def test_one_foreign_registration_suspends_itself_alone(
    phone_of: Any, send: Any, hand: Hand, alice: Any, bob: Any
) -> None:
    phone_of(alice, "foreign-1")
    phone_of(bob, "ok-bob")
    send([alice, bob])
    hand.work()
    assert sorted(states()) == ["DEBUG", "ERROR"]
    assert suspended() == 1
    assert not Pause.objects.exists()
    assert Device.objects.get(user=alice).active


def test_a_suspended_device_waits(phone_of: Any, send: Any, hand: Hand, alice: Any) -> None:
    phone_of(alice, "foreign-1")
    send(alice)
    hand.work()
    event = send(alice)
    hand.work()
    row = only(event=event)
    assert (row.state, row.error, row.attempts) == ("WAITING", "device suspended", 0)
    assert row.due > timezone.now() + timedelta(hours=23)
    assert len(pushed()) == 1


def test_a_suspension_ends_when_the_device_registers_again(
    phone_of: Any, send: Any, hand: Hand, alice: Any
) -> None:
    phone_of(alice, "foreign-1")
    send(alice)
    hand.work()
    event = send(alice)
    hand.work()
    register(alice, backend="dummy", token="ok-2", old_token="foreign-1")
    assert suspended() == 0
    hand.work()
    assert only(event=event).state == "DEBUG"


def test_a_suspension_ends_after_a_day(phone_of: Any, send: Any, hand: Hand, alice: Any) -> None:
    phone_of(alice, "foreign-1")
    send(alice)
    hand.work()
    Device.objects.update(suspended_until=timezone.now() - timedelta(seconds=1))
    send(alice)
    hand.work()
    assert len(pushed()) == 2


def test_a_suspension_ends_with_other_credentials(
    phone_of: Any, send: Any, hand: Hand, alice: Any, hub: Any, tmp_path: Any
) -> None:
    phone_of(alice, "foreign-1")
    send(alice)
    hand.work()
    journal = {"journal": str(tmp_path / "journal")}
    hub(APPLICATIONS={"phones": {"backend": "dummy", "default": True, "credentials": journal}})
    applications.current()
    assert suspended() == 0
    assert states() == ["WAITING"]


def test_one_user_with_many_devices_pauses_nobody(
    phone_of: Any, send: Any, hand: Hand, make_user: Any, alice: Any
) -> None:
    [attacker] = foreign(make_user, phone_of, users=1, each=20)
    phone_of(alice, "ok-alice")
    send([attacker])
    hand.work()
    assert Fault.objects.count() == 20
    assert not Pause.objects.exists()
    send(alice)
    hand.work()
    assert "ok-alice" in pushed()


def test_twenty_from_five_users_pause_and_alert(
    phone_of: Any, send: Any, hand: Hand, make_user: Any, alerts: list[str]
) -> None:
    people = foreign(make_user, phone_of, users=5, each=4)
    send(people[:4])
    hand.work()
    assert not Pause.objects.exists()
    send(people[4:])
    hand.work()
    assert Pause.objects.get().kind == "fault"
    assert Application.objects.get().alert
    alerts_now = Application.objects.get().alerted_at
    assert alerts_now is not None


def test_an_accepted_push_in_between_forgives_the_faults(
    phone_of: Any, send: Any, hand: Hand, make_user: Any, alice: Any
) -> None:
    people = foreign(make_user, phone_of, users=5, each=4)
    phone_of(alice, "ok-alice")
    send(people[:4])
    hand.work()
    assert Fault.objects.count() == 16
    send(alice)
    hand.work()
    assert Fault.objects.count() == 0
    send(people[4:])
    hand.work()
    assert not Pause.objects.exists()


def test_lifting_a_pause_lifts_its_suspensions_and_sends_again(
    phone_of: Any, send: Any, hand: Hand, make_user: Any, alice: Any
) -> None:
    people = foreign(make_user, phone_of, users=5, each=4)
    send(people)
    hand.work()
    phone_of(alice, "ok-alice")
    send(alice)
    hand.work()
    assert only(user=alice).state == "WAITING"
    DummyBackend.journal.clear()
    pausing.lift(Application.objects.get(), using="default")
    assert suspended() == 0
    assert set(states()) == {"WAITING"}
    hand.work()
    assert "ok-alice" in pushed()
    assert len(pushed()) == 21


def test_wrong_credentials_pause_at_once_and_count_no_attempt(
    phone_of: Any, send: Any, hand: Hand, alice: Any, bob: Any
) -> None:
    phone_of(alice, "config-1")
    send(alice)
    hand.work()
    phone_of(bob, "ok-bob")
    send(bob)
    hand.work()
    assert states() == ["WAITING", "WAITING"]
    assert [row.attempts for row in Delivery.objects.all()] == [0, 0]
    assert Application.objects.get().alert == "config"


def test_a_pause_takes_nothing_from_the_time_in_which_it_is_tried(
    phone_of: Any, send: Any, hand: Hand, alice: Any
) -> None:
    phone_of(alice, "ok-1")
    send(alice)
    pausing.pause(applications.current().named("phones"), origin="", reason="x", using="default")  # type: ignore[arg-type]
    past = timezone.now() - timedelta(seconds=1)
    Delivery.objects.update(give_up_at=past, attempts=1, state="ERROR_RETRY")
    hand.upkeep()
    assert states() == ["ERROR_RETRY"]
    pausing.lift(Application.objects.get(), using="default")
    hand.upkeep()
    hand.work()
    assert states() == ["DEBUG"]


def test_a_paused_application_is_tried_by_one_delivery(
    phone_of: Any, send: Any, hand: Hand, alice: Any
) -> None:
    for number in range(5):
        phone_of(alice, f"config-{number}")
    send(alice)
    hand.work()
    DummyBackend.journal.clear()
    Pause.objects.update(until=timezone.now() - timedelta(seconds=1))
    hand.work()
    assert len(pushed()) == 1
    assert Pause.objects.get().until > timezone.now() + timedelta(minutes=10)


def test_a_trial_that_is_taken_ends_the_pause(
    phone_of: Any, send: Any, hand: Hand, alice: Any
) -> None:
    for number in range(5):
        phone_of(alice, f"ok-{number}")
    pausing.pause(applications.current().named("phones"), origin="", reason="x", using="default")  # type: ignore[arg-type]
    send(alice)
    hand.work()
    assert pushed() == []
    Pause.objects.update(until=timezone.now() - timedelta(seconds=1))
    hand.work()
    assert len(pushed()) == 5
    assert not Pause.objects.exists()


def test_a_busy_provider_is_given_time(
    phone_of: Any, send: Any, hand: Hand, alice: Any, bob: Any
) -> None:
    phone_of(alice, "busy-30-1")
    send(alice)
    hand.work()
    phone_of(bob, "ok-bob")
    send(bob)
    hand.work()
    assert only(user=bob).state == "WAITING"
    assert not Application.objects.get().alert
    Pause.objects.update(until=timezone.now() - timedelta(seconds=1))
    hand.work()
    assert only(user=bob).state == "DEBUG"


def test_the_same_alert_is_given_once(
    phone_of: Any, send: Any, hand: Hand, django_capture_on_commit_callbacks: Any
) -> None:
    said: list[str] = []

    def listen(*, reason: str, **_: Any) -> None:
        said.append(reason)

    push_alert.connect(listen)
    application = applications.current().named("phones")
    assert application is not None
    with django_capture_on_commit_callbacks(execute=True):
        for _ in range(3):
            pausing.alert(application, origin="", reason="redirect", using="default")
    push_alert.disconnect(listen)
    assert said == ["redirect"]


def test_when_all_devices_are_suspended_it_alerts(
    phone_of: Any, send: Any, hand: Hand, alice: Any
) -> None:
    phone_of(alice, "foreign-1")
    send(alice)
    hand.work()
    assert Application.objects.get().alert == "all devices are suspended"
    assert not Pause.objects.exists()


def test_only_the_origin_is_paused(hub: Any, send: Any, hand: Hand, alice: Any, bob: Any) -> None:
    DummyBackend.journal.clear()
    hub(**ORIGINS)
    register(alice, backend="browser", token="ok-1-mozilla")
    register(bob, backend="browser", token="ok-2-google")
    web = applications.current().named("web")
    assert web is not None
    assert set(Device.objects.values_list("origin", flat=True)) == {"mozilla", "google"}
    pausing.pause(web, origin="mozilla", reason="403", using="default")
    send([alice, bob])
    hand.work()
    assert pushed() == ["ok-2-google"]
    assert Application.objects.get(name="web").alert == "mozilla: 403"
    Pause.objects.update(until=timezone.now() - timedelta(seconds=1))
    hand.work()
    assert pushed() == ["ok-2-google", "ok-1-mozilla"]
    assert not Pause.objects.exists()


def test_an_origin_that_hangs_leaves_slots_to_the_others(
    hub: Any, send: Any, hand: Hand, alice: Any, bob: Any
) -> None:
    DummyBackend.journal.clear()
    web = {"backend": "browser", "default": True, "concurrency": 4}
    hub(**{**ORIGINS, "APPLICATIONS": {"web": web}})
    for number in range(8):
        register(alice, backend="browser", token=f"hang-{number}-mozilla")
    for number in range(6):
        register(bob, backend="browser", token=f"ok-{number}-google")
    send(alice)
    send(bob)
    for _ in range(40):
        hand.start()
        if len(pushed()) == 6:
            break
    assert len(pushed()) == 6
    assert Delivery.objects.filter(state="SENDING", origin="mozilla").count() == 2


def test_a_re_registration_while_the_answer_was_on_its_way_is_not_suspended(
    phone_of: Any, alice: Any
) -> None:
    phone = phone_of(alice, "foreign-1")
    before = phone.registered_at
    register(alice, backend="dummy", token="foreign-1")
    application = applications.current().named("phones")
    assert application is not None
    outcome = Outcome(verdict=Verdict.REFUSED, reason="403", scope=Scope.APPLICATION, suspends=True)
    answer = pausing.Answer(
        delivery_id=1,
        device_id=phone.pk,
        user_id=alice.pk,
        origin="",
        registered_at=before,
        outcome=outcome,
    )
    pausing.consider(application, [answer], using="default")
    assert suspended() == 0
