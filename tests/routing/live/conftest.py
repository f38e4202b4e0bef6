"""The live road of this process, for tests that speak to it without a network."""

import uuid
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest

from notifications import tokens
from routing.live import runtime as runtimes
from routing.live.messages import key_of, user_group
from routing.live.publisher import publish
from routing.live.runtime import Runtime
from tests.routing.live.fakes import FakeServer
from tests.waiting import await_for

ORIGIN = "http://testserver"


@pytest.fixture
def hub(settings: Any) -> Callable[..., None]:
    """`hub(RECONCILE=timedelta(seconds=1))` changes keys of the setting HUB."""

    def change(**keys: Any) -> None:
        settings.HUB = {**settings.HUB, **keys}

    change(
        WORKER_IN_SERVER="off",
        ALLOWED_ORIGINS=[ORIGIN],
        # off unless a test is about it: what is tested must not be mended by it
        RECONCILE=timedelta(seconds=15),
    )
    return change


@pytest.fixture
async def runtime(
    hub: Any, transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Runtime]:
    """The live road, listening. What mends lost messages is off unless a test switches it on."""
    monkeypatch.setattr("routing.live.subscriptions.YOUNG", ())
    monkeypatch.setattr("routing.live.runtime.sqlite_file", lambda: None)
    made = runtimes.running()
    await await_for(lambda: not made.listener.deaf)
    yield made
    await runtimes.stop()


@pytest.fixture
def token(alice: Any) -> str:
    return tokens.make(alice)


@pytest.fixture
def signed_in(token: str, runtime: Runtime) -> Callable[..., FakeServer]:
    """A socket of Alice's."""

    def make(text: str = token, **scope: Any) -> FakeServer:
        headers = [(b"authorization", f"Bearer {text}".encode())]
        return FakeServer(headers=headers, **scope)

    return make


@pytest.fixture
def settled(runtime: Runtime) -> Callable[[Any], Any]:
    """Waits until this process hears the user's group: Redis confirms no subscription, only a
    message that comes back proves it."""
    heard: set[str] = set()
    handle = runtime.listener._handle

    def listen(message: dict[str, Any]) -> None:
        if message["type"] == "hub.probe":
            heard.add(message["probe"])
        else:
            handle(message)

    runtime.listener._handle = listen

    async def wait(*users: Any) -> None:
        for user in users:
            probe = uuid.uuid4().hex
            group = user_group(key_of(user.pk))

            def came(group: str = group, probe: str = probe) -> bool:
                publish([(group, {"type": "hub.probe", "probe": probe})])
                return probe in heard

            await await_for(came, every=0.02)

    return wait
