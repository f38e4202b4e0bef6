"""The push road in the hands of a test: phones that the dummy backend sends to, and a worker."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from notifications import send_notification
from notifications.inbox import take_in
from notifications.testing import settle
from routing.push import walks
from routing.push.backends.dummy import DummyBackend
from routing.push.models import Delivery, Device
from routing.push.registration import register
from routing.push.worker import PushWorker, upkeep
from tests.waiting import wait_for

PHONES = {"phones": {"backend": "dummy", "default": True}}


@pytest.fixture
def hub(settings: Any) -> Callable[..., None]:
    """`hub(PUSH_ATTEMPTS=3)` changes settings of the hub."""

    def change(**keys: Any) -> None:
        settings.HUB = {**settings.HUB, **keys}

    return change


@pytest.fixture
def phones(db: None, hub: Callable[..., None]) -> Iterator[None]:
    """An application for phones that the dummy backend reaches."""
    DummyBackend.journal.clear()
    hub(APPLICATIONS=PHONES)
    yield
    DummyBackend.journal.clear()


@pytest.fixture
def phone_of(phones: None) -> Callable[..., Device]:
    """`phone_of(alice, "ok-1")`: registers it."""

    def make(user: Any, token: str = "", **more: Any) -> Device:
        token = token or f"ok-{user.pk}"
        return register(user, backend="dummy", token=token, **more)[0]

    return make


class Hand:
    """A push worker whose passes a test asks for."""

    def __init__(self) -> None:
        self.worker = PushWorker()

    def work(self, limit: float = 15.0) -> None:
        """Until nothing more is due and everything is answered."""
        end = time.monotonic() + limit
        while self.worker.work():
            assert time.monotonic() < end, "the worker does not come to an end"

    def start(self) -> None:
        """One pass, which does not wait for answers."""
        self.worker.work()

    def broadcasts(self) -> None:
        while walks.walk_due():
            pass

    def upkeep(self) -> None:
        upkeep()


@pytest.fixture
def hand(db: None) -> Iterator[Hand]:
    made = Hand()
    yield made
    made.worker.close(timeout=0.0)


@pytest.fixture
def send(db: None) -> Callable[..., Any]:
    """Sends and fans out, also inside a test's transaction."""

    def sender(users: Any, **more: Any) -> Any:
        event = send_notification(more.pop("type", "post_comment"), users=users, **more)
        settle()
        return event

    return sender


def states(**wanted: Any) -> list[str]:
    """The states of the deliveries, in the order in which they were planned."""
    rows = Delivery.objects.filter(**wanted).order_by("pk")
    return list(rows.values_list("state", flat=True))


def only(**wanted: Any) -> Delivery:
    return Delivery.objects.get(**wanted)


def pushed() -> list[str]:
    """The tokens that were handed over to, in order."""
    return [entry.token for entry in DummyBackend.journal]


__all__ = ["Hand", "only", "pushed", "states", "take_in", "wait_for"]
