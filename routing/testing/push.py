"""A push provider that answers what a test tells it, and shows what devices would see."""

import json
import time
import uuid
from collections import defaultdict, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from datetime import time as clock_time
from typing import Any, Self

from django.conf import settings
from django.test import override_settings

from notifications.testing import settle
from routing.push import worker
from routing.push.backends import registry
from routing.push.deliveries import alias
from routing.push.models import Device, Preference
from routing.push.outcomes import Outcome, Prepared, Verdict
from routing.push.registration import register
from routing.push.vapid import VapidKey

#: SQLite's clock counts milliseconds: what was planned in this one is due in the next.
TICK = 0.002  # seconds
LIMIT = 30.0  # seconds that everything due may take


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """One message as it came to the provider, and what the provider answered.

    `collapse_id` is by which a later one takes the place of an earlier one on the device, `badge`
    the number on the app's icon, `attempt` counts from 1, `outcome` is `sent`, `retry`, `gone`,
    `refused` or `misconfigured`.
    """

    device: Device | None
    user: Any
    backend: str
    token: str = field(repr=False)
    event: int | None
    type: str
    title: str
    body: str
    url: str
    data: Any
    tag: str
    collapse_id: str
    badge: int | None
    priority: str
    silent: bool
    image: str
    icon: str
    actions: list[Any]
    attempt: int
    outcome: str


class PushProvider:
    """Stands in for every provider as long as it is entered: nothing leaves the house.

        with PushProvider() as provider:
            phone = provider.device(alice)
            provider.answers("retry", "sent")
            send_notification("post_comment", users=alice, title="Nice")
            provider.deliver()

    Devices that the code under test registers, by REST or else, are sent to as well. Messages are
    answered in the order in which they come; when nothing was said any more, with `sent`.
    """

    def __init__(self) -> None:
        self._taken: list[tuple[str, Prepared, Outcome]] = []
        self._seen: list[Pushed] = []
        self._answers: deque[Outcome] = deque()
        self._of_device: dict[str, deque[Outcome]] = defaultdict(deque)
        self._settings = override_settings()

    def __enter__(self) -> Self:
        global _entered
        if _entered is not None:
            raise RuntimeError("one PushProvider is entered already")
        self._settings = override_settings(HUB=_in_its_place())
        self._settings.enable()
        _entered = self
        return self

    def __exit__(self, *exception: object) -> None:
        global _entered
        _entered = None
        self._settings.disable()

    def device(self, user: Any, *, backend: str = "fcm", token: str = "", **about: Any) -> Device:
        """Registers a device of the user; `about` is its name, type, locale, time_zone, ..."""
        device, _ = register(user, backend=backend, token=token or uuid.uuid4().hex, **about)
        return device

    def answers(self, *outcomes: str | Outcome, device: Device | None = None) -> None:
        """What the next messages are answered with, or the next ones to this device.

        An outcome is a word (`sent`, `retry`, `gone`, `refused`, `misconfigured`) or an `Outcome`
        of `routing.push.outcomes`, e.g. `retry_after(30)`.
        """
        script = self._answers if device is None else self._of_device[device.token]
        script.extend(_outcome(one) for one in outcomes)

    def deliver(self) -> list[Pushed]:
        """Does what a worker would do now, until nothing more is due; returns what was handed
        over by that."""
        before = len(self.pushed)
        settle()
        work()
        return self.pushed[before:]

    @property
    def pushed(self) -> list[Pushed]:
        """What was handed over so far, oldest first."""
        self._seen += [_pushed(*one) for one in self._taken[len(self._seen) :]]
        return list(self._seen)

    def take(self, backend: str, message: Prepared) -> Outcome:
        """For the backend that stands in: called in the thread of the worker's event loop, where
        nobody may touch the database."""
        script = self._of_device[message.address.token] or self._answers
        outcome = script.popleft() if script else _outcome("sent")
        self._taken.append((backend, message, outcome))
        return outcome


def _pushed(backend: str, message: Prepared, outcome: Outcome) -> Pushed:
    said = json.loads(message.body)
    token = message.address.token
    devices = Device.objects.using(alias()).select_related("user").filter(backend=backend)
    device = devices.filter(token=token).order_by("-live", "-pk").first()
    names = Pushed.__dataclass_fields__.keys() & said.keys()
    return Pushed(
        **{name: said[name] for name in names},
        device=device,
        user=None if device is None else device.user,
        backend=backend,
        token=token,
        event=said["event_id"],
        type=said["event_type"],
        attempt=message.attempt,
        outcome=outcome.verdict.value,
    )


_entered: PushProvider | None = None


def entered() -> PushProvider:
    if _entered is None:
        raise RuntimeError("no PushProvider is entered")
    return _entered


def retry_after(seconds: float) -> Outcome:
    """The provider wants to be asked again after so long."""
    return Outcome(verdict=Verdict.RETRY, reason="asked to wait", retry_after=seconds)


def _outcome(given: str | Outcome) -> Outcome:
    if isinstance(given, Outcome):
        return given
    return Outcome(verdict=Verdict(given), reason="" if given == "sent" else f"scripted {given}")


def _in_its_place() -> dict[str, Any]:
    """The setting HUB with every backend replaced; each has an application that is its default,
    and those that the project declares keep their names."""
    given = dict(getattr(settings, "HUB", {}))
    names = {*registry.OWN, *given.get("BACKENDS", {})}
    declared = {
        name: {**one, "credentials": _credentials(one["backend"])}
        for name, one in given.get("APPLICATIONS", {}).items()
    }
    served = {one["backend"] for one in declared.values() if one.get("default")}
    missing = {
        f"scripted {name}": {"backend": name, "default": True, "credentials": _credentials(name)}
        for name in sorted(names - served)
    }
    backends = {name: f"routing.testing.backends.{name}" for name in names}
    return {**given, "BACKENDS": backends, "APPLICATIONS": declared | missing}


def _credentials(backend: str) -> dict[str, str]:
    """Browsers are told a key to subscribe under."""
    if backend != "webpush":
        return {}
    return {"private_key": VapidKey.generate().private_text(), "subject": "mailto:x@example.com"}


def work() -> None:
    """Everything that is due on the push road; sends nothing where no provider is entered."""
    if _entered is None:
        return
    time.sleep(TICK)
    # Deliveries last: whatever the others plan or free is theirs too.
    for duty in sorted(worker.duties(), key=lambda duty: duty.name == "deliveries"):
        _until_done(duty)
        if duty.close is not None:
            duty.close()


def _until_done(duty: Any) -> None:
    end = time.monotonic() + LIMIT
    while duty.do():
        if time.monotonic() > end:
            raise AssertionError(f"{duty.name} did not come to an end in {LIMIT:g} s")


def moved(delta: timedelta) -> None:
    """Quiet hours are by the clock on the wall: they move with the rest."""
    rows = Preference.objects.using(alias()).exclude(quiet_start=None)
    for row in rows:
        row.quiet_start = _earlier(row.quiet_start, delta)
        row.quiet_end = _earlier(row.quiet_end, delta)
        row.save()


def _earlier(at: clock_time | None, delta: timedelta) -> clock_time | None:
    if at is None:
        return None
    return (datetime.combine(datetime(2000, 1, 2, tzinfo=UTC), at) - delta).time()
