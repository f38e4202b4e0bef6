"""Requests over `http_application()`: one thread each, kept; streams; who leaves is let go."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.core import signals
from django.db import connection
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path

from routing.live.http import KEPT, RequestHandler, http_application
from tests.waiting import await_for

WHOLE = Path(__file__).read_bytes()

seen: list[Any] = []
parts_made: list[int] = []
gathering = threading.Barrier(KEPT + 8)


def middleware(get_response: Any) -> Any:
    def call(request: HttpRequest) -> Any:
        seen.append(("middleware", threading.get_ident()))
        return get_response(request)

    return call


def plain(request: HttpRequest) -> HttpResponse:
    seen.append(("view", threading.get_ident()))
    return HttpResponse(f"{request.method} {request.read().decode()} {request.path}")


def people(request: HttpRequest) -> HttpResponse:
    seen.append(connection.connection is None)
    return HttpResponse(get_user_model()._default_manager.count())


async def apeople(request: HttpRequest) -> HttpResponse:
    seen.append(("view", threading.get_ident()))
    return HttpResponse(await get_user_model()._default_manager.acount())


def asks_the_loop(request: HttpRequest) -> HttpResponse:
    async def on_the_loop() -> int:
        return threading.get_ident()

    return HttpResponse(async_to_sync(on_the_loop)())


def together(request: HttpRequest) -> HttpResponse:
    gathering.wait(timeout=20)
    return HttpResponse(b"met")


def stream(request: HttpRequest) -> StreamingHttpResponse:
    def parts() -> Iterator[bytes]:
        number = 0
        while True:
            seen.append(("part", threading.get_ident()))
            parts_made.append(number)
            yield b"%d," % number
            number += 1

    seen.append(("view", threading.get_ident()))
    return StreamingHttpResponse(parts())


def astream(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncIterator[bytes]:
        try:
            yield str(await get_user_model()._default_manager.acount()).encode()
            await asyncio.Event().wait()
        finally:
            seen.append("stream ended")

    return StreamingHttpResponse(parts())


def file(request: HttpRequest) -> FileResponse:
    opened = open(__file__, "rb")
    seen.append(opened)
    return FileResponse(opened)


def fails(request: HttpRequest) -> HttpResponse:
    raise ValueError("a fault of the view")


urlpatterns = [
    path(f"{view.__name__}/", view)
    for view in (plain, people, apeople, asks_the_loop, together, stream, astream, file, fails)
]


@pytest.fixture
def application(settings: Any) -> RequestHandler:
    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = [f"{__name__}.middleware"]
    seen.clear()
    parts_made.clear()
    return http_application()


class Exchange:
    """One request; `leave()` is the client closing its connection."""

    def __init__(self, application: Any, address: str, *, body: bytes = b"", whole: bool = True):
        self.sent: list[dict[str, Any]] = []
        self._received: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        if whole:
            self._received.put_nowait({"type": "http.request", "body": body})
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST" if body else "GET",
            "scheme": "http",
            "path": address,
            "raw_path": address.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [(b"host", b"testserver")],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        call = application(scope, self._received.get, self._send)
        self.task = asyncio.ensure_future(call)

    async def _send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)
        await asyncio.sleep(0)

    def leave(self) -> None:
        self._received.put_nowait({"type": "http.disconnect"})

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent[1:])

    async def answer(self) -> tuple[int, bytes]:
        await asyncio.wait_for(self.task, 30)
        return self.sent[0]["status"], self.body


async def test_a_request_is_one_call_in_one_thread_which_the_next_one_uses_again(
    application: RequestHandler,
) -> None:
    def told(**arguments: Any) -> None:
        seen.append(("signal", threading.get_ident()))

    for signal in (signals.request_started, signals.request_finished):
        signal.connect(told)
    try:
        for _ in range(2):
            assert await Exchange(application, "/plain/", body=b"words").answer() == (
                200,
                b"POST words /plain/",
            )
    finally:
        for signal in (signals.request_started, signals.request_finished):
            signal.disconnect(told)
    assert [what for what, _ in seen] == ["signal", "middleware", "view", "signal"] * 2
    assert len({thread for _, thread in seen}) == 1
    assert threading.get_ident() not in {thread for _, thread in seen}


async def test_a_connection_to_the_database_is_given_back_before_the_answer(
    application: RequestHandler, transactional_db: None
) -> None:
    for _ in range(3):
        assert await Exchange(application, "/people/").answer() == (200, b"0")
    assert seen[1::2] == [True, True, True]  # each request began without one


async def test_an_asynchronous_view_works(
    application: RequestHandler, transactional_db: None
) -> None:
    assert await Exchange(application, "/apeople/").answer() == (200, b"0")
    assert seen[1] == ("view", threading.get_ident())


async def test_a_view_finds_the_way_back_to_the_loop(application: RequestHandler) -> None:
    assert await Exchange(application, "/asks_the_loop/").answer() == (
        200,
        str(threading.get_ident()).encode(),
    )


async def test_views_that_wait_for_each_other_all_have_a_thread(
    application: RequestHandler,
) -> None:
    before = threading.active_count()
    exchanges = [Exchange(application, "/together/") for _ in range(gathering.parties)]
    assert {await exchange.answer() for exchange in exchanges} == {(200, b"met")}
    # those above what is kept have ended
    await await_for(lambda: threading.active_count() <= before + KEPT)


async def test_a_stream_goes_out_part_by_part_until_its_client_leaves(
    application: RequestHandler,
) -> None:
    exchange = Exchange(application, "/stream/")
    await await_for(lambda: exchange.body.startswith(b"0,1,2,"))
    exchange.leave()
    assert (await exchange.answer())[0] == 200
    made = len(parts_made)
    assert len({thread for _, thread in seen}) == 1
    # the thread has left the endless stream: it answers again
    assert (await Exchange(application, "/plain/").answer())[0] == 200
    assert len(parts_made) == made
    assert len({thread for _, thread in seen}) == 1


async def test_a_file_is_sent_whole_and_closed(application: RequestHandler) -> None:
    assert await Exchange(application, "/file/").answer() == (200, WHOLE)
    assert seen[-1].closed


async def test_an_asynchronous_stream_ends_when_its_client_leaves(
    application: RequestHandler, transactional_db: None
) -> None:
    exchange = Exchange(application, "/astream/")
    await await_for(lambda: exchange.body == b"0")
    assert "stream ended" not in seen
    exchange.leave()
    assert (await exchange.answer())[0] == 200
    assert "stream ended" in seen


async def test_who_leaves_within_the_body_is_not_asked_for(application: RequestHandler) -> None:
    exchange = Exchange(application, "/plain/", whole=False)
    exchange.leave()
    await asyncio.wait_for(exchange.task, 10)
    assert not exchange.sent
    assert not seen


async def test_a_fault_is_answered_and_the_thread_goes_on(
    application: RequestHandler, settings: Any
) -> None:
    settings.DEBUG = False
    assert (await Exchange(application, "/fails/").answer())[0] == 500
    assert (await Exchange(application, "/nowhere/").answer())[0] == 404
    assert (await Exchange(application, "/plain/").answer())[0] == 200
    assert len({entry[1] for entry in seen}) == 1
