"""The runtime of a process: begun at the first need, one per event loop, ended without remains."""

import asyncio
import threading
from datetime import timedelta
from typing import Any

import pytest
from channels.routing import URLRouter
from django.utils import timezone

from notifications import send_notification
from notifications.models import Audience, Inbox
from routing.live import runtime as runtimes
from routing.live.asgi import hub_application, websocket_urlpatterns
from routing.live.runtime import Runtime
from tests.processes import Processes
from tests.routing.live.fakes import FakeServer
from tests.waiting import await_for, wait_for


def hub_threads() -> set[str]:
    return {one.name for one in threading.enumerate() if one.name.startswith("hub-")} - {
        "hub-publisher"
    }


async def lifespan(application: Any, *kinds: str) -> list[str]:
    inbound: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    sent: list[str] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message["type"])

    for kind in kinds:
        inbound.put_nowait({"type": f"lifespan.{kind}"})
    await application({"type": "lifespan"}, inbound.get, send)
    return sent


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    pass


async def test_lifespan_begins_and_ends_it(hub: Any, transactional_db: None) -> None:
    application = hub_application(nothing)
    before = hub_threads()
    sent = await lifespan(application, "startup", "shutdown")
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert runtimes.current() is None
    assert hub_threads() <= before
    assert {task.get_name() for task in asyncio.all_tasks()} == {asyncio.current_task().get_name()}  # type: ignore[union-attr]


async def test_where_there_is_no_lifespan_the_first_request_begins_it(
    hub: Any, transactional_db: None
) -> None:
    application = hub_application(nothing)
    await application({"type": "http"}, None, None)
    try:
        assert runtimes.current() is runtimes.running()
    finally:
        await runtimes.stop()


async def test_a_runtime_that_does_not_start_leaves_http_alone(
    hub: Any, transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> Runtime:
        raise RuntimeError("no")

    monkeypatch.setattr(runtimes, "running", broken)
    served = []

    async def http(scope: Any, receive: Any, send: Any) -> None:
        served.append(scope)

    await hub_application(http)({"type": "http"}, None, None)
    assert len(served) == 1
    assert await lifespan(hub_application(http), "startup") == ["lifespan.startup.failed"]


@pytest.mark.django_db(transaction=True)
def test_a_loop_that_ended_without_a_word_leaves_no_threads(hub: Any) -> None:
    async def begin() -> None:
        runtimes.running()

    async def begin_and_end() -> None:
        runtimes.running()
        await runtimes.stop()

    before = hub_threads()
    asyncio.run(begin())
    asyncio.run(begin_and_end())
    wait_for(lambda: hub_threads() <= before)


async def test_a_project_may_route_by_itself(runtime: Runtime, token: str) -> None:
    router = URLRouter(websocket_urlpatterns)
    headers = [(b"authorization", f"Bearer {token}".encode())]
    async with FakeServer(application=router, headers=headers) as socket:
        await socket.hello()


async def test_a_part_that_fails_begins_again(
    hub: Any, transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtimes, "RESTART_PAUSE", 0.01)
    runs = []

    async def broken(self: Any) -> None:
        runs.append(1)
        raise ZeroDivisionError

    monkeypatch.setattr("routing.live.leases.Leases.run", broken)
    runtimes.running()
    try:
        await await_for(lambda: len(runs) > 2)
    finally:
        await runtimes.stop()


@pytest.mark.embedded
@pytest.mark.parametrize("kind", ["serve", "runserver"])
def test_the_embedded_server_is_a_worker_too(processes: Processes, alice: Any, kind: str) -> None:
    getattr(processes, kind)()
    event = send_notification("post_like", users=[], title="left behind")
    Audience.objects.create(
        event_id=event.pk, user_ids=[alice.pk], due=timezone.now() - timedelta(seconds=1)
    )
    wait_for(lambda: Inbox.objects.filter(pk=alice.pk, unread=1).exists(), 10)
