"""Real servers and real sockets: `manage.py serve`, and daphne behind `manage.py runserver`."""

import asyncio
import json
import socket as sockets
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from typing import Any

import psutil
import pytest
from asgiref.sync import sync_to_async
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode

from notifications import asend_notification, inbox, send_notification, tokens
from routing.live.protocol import payload_of, ready
from tests.processes import Processes, ServerProcess
from tests.sockets import closing, next_frame, open_socket
from tests.waiting import await_for

SERVERS = ["serve", "runserver"]


@pytest.fixture
def token(alice: Any) -> str:
    return tokens.make(alice)


@pytest.fixture(params=SERVERS)
async def server(request: Any, processes: Processes) -> AsyncIterator[ServerProcess]:
    start = getattr(processes, request.param)
    made = await asyncio.to_thread(start)
    yield made
    assert "Traceback" not in made.log, made.log


async def test_frames_come_over_a_real_connection(
    server: ServerProcess, token: str, alice: Any
) -> None:
    async with open_socket(server.ws_url, token=token) as socket:
        assert (await next_frame(socket))["action"] == "hello"
        event = await asend_notification("post_like", users=alice, title="Grüße 🎉")
        frame = await next_frame(socket)
        rows = frame["changes"] if frame["action"] == "sync" else [frame["notification"]]
        assert rows == [await sync_to_async(inbox.get)(alice.pk, event.pk)]
        await socket.send(json.dumps({"action": "mark", "state": "read", "up_to": 1, "ref": 1}))
        frames = [await next_frame(socket), await next_frame(socket)]
        assert {frame["action"] for frame in frames} <= {"done", "marked", "sync"}
        assert frames[-1]["version"] == 2


async def test_who_is_not_signed_in(server: ServerProcess) -> None:
    async with open_socket(server.ws_url) as socket:
        assert await closing(socket) == ([], 4501)


async def test_a_wrong_origin_is_http_403(server: ServerProcess, token: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with open_socket(server.ws_url, token=token, origin="http://evil"):
            pass
    assert refused.value.response.status_code == 403


async def test_an_unknown_path_is_refused(server: ServerProcess, token: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with open_socket(server.ws_url + "/x", token=token):
            pass
    assert refused.value.response.status_code in {403, 404}


async def test_a_browser_signs_in_with_its_session(
    server: ServerProcess, alice: Any, password: str
) -> None:
    from django.test import Client

    client = Client()
    assert await sync_to_async(client.login)(username="alice", password=password)
    cookie = f"sessionid={client.cookies['sessionid'].value}"
    origin = f"http://127.0.0.1:{server.port}"
    async with open_socket(
        server.ws_url, cookie=cookie, origin=origin, subprotocols=["hub.v1"]
    ) as socket:
        assert socket.subprotocol == "hub.v1"
        assert (await next_frame(socket))["action"] == "hello"


async def test_a_ticket_opens_one_socket(server: ServerProcess, token: str) -> None:
    request = urllib.request.Request(
        server.url + "/api/ws-ticket/",
        method="POST",
        headers={"Authorization": f"Bearer {token}"},
    )
    with await asyncio.to_thread(urllib.request.urlopen, request) as answer:
        ticket = json.load(answer)["ticket"]
    offered = ["hub.v1", f"ticket.{ticket}"]
    async with open_socket(server.ws_url, subprotocols=offered) as socket:
        assert socket.subprotocol == "hub.v1"
        assert (await next_frame(socket))["action"] == "hello"
    async with open_socket(server.ws_url, subprotocols=offered) as socket:
        assert await closing(socket) == ([], 4501)
    assert ticket not in server.log


async def test_a_large_frame_says_why(server: ServerProcess, token: str) -> None:
    async with open_socket(server.ws_url, token=token) as socket:
        await next_frame(socket)
        await socket.send("x" * 100_000)
        frames, code = await closing(socket)
        assert (frames[-1]["code"], code) == (4503, 4503)


async def test_a_huge_frame_is_cut_by_the_server(processes: Processes, token: str) -> None:
    server = await asyncio.to_thread(processes.serve)
    async with open_socket(server.ws_url, token=token) as socket:
        await next_frame(socket)
        await socket.send("x" * 200_000)
        assert (await closing(socket))[1] == 1009


async def test_the_end_is_announced(processes: Processes, token: str) -> None:
    server = await asyncio.to_thread(processes.serve)
    async with open_socket(server.ws_url, token=token) as socket:
        await next_frame(socket)
        stopping = asyncio.create_task(asyncio.to_thread(server.stop))
        frames, code = await closing(socket)
        assert frames[-1]["action"] == "bye"
        assert frames[-1]["code"] == code == 1012
        assert frames[-1]["retry_after"] > 0
        status = await stopping
    assert status == 0
    assert "Traceback" not in server.log
    assert f"Serving on {server.url}" in server.log
    assert "ERROR" not in server.log


async def test_ctrl_c_ends_it_cleanly(processes: Processes, token: str) -> None:
    server = await asyncio.to_thread(processes.serve)
    async with open_socket(server.ws_url, token=token) as socket:
        await next_frame(socket)
        status = await asyncio.to_thread(server.interrupt)
    assert status == 0
    assert "Traceback" not in server.log


async def test_no_query_string_is_logged(processes: Processes, token: str) -> None:
    server = await asyncio.to_thread(processes.serve)
    async with open_socket(server.ws_url, token=token, since=7, epoch="seven") as socket:
        await next_frame(socket)
    await asyncio.to_thread(server.stop)
    assert "seven" not in server.log
    assert token not in server.log


@pytest.mark.production
async def test_a_client_that_stops_reading_is_cut_off(
    processes: Processes, token: str, alice: Any
) -> None:
    """Its socket is closed within seconds, others go on, and the server's memory stays."""
    server = await asyncio.to_thread(processes.serve)
    with sockets.socket() as deaf:
        deaf.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", server.port))
        deaf.sendall(
            f"GET /ws/notifications HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            f"Authorization: Bearer {token}\r\n\r\n".encode()
        )
        assert deaf.recv(10).startswith(b"HTTP/1.1 1")
        async with open_socket(server.ws_url, token=token) as socket:
            await next_frame(socket)

            def flood() -> None:
                for _ in range(400):
                    send_notification("post_like", users=alice, data={"x": "x" * 16_000})

            flooding = asyncio.create_task(asyncio.to_thread(flood))
            version = 0
            while version < 400:
                version = (await next_frame(socket, within=20))["version"]
            await flooding
            process = psutil.Process(server.pid)

            def is_gone() -> bool:
                # both ends are on this machine: the server's is the one from its port
                return not any(
                    one.raddr and one.raddr.port == deaf.getsockname()[1]
                    for one in process.net_connections()
                )

            await await_for(is_gone, 30)
            assert "too_slow" in server.log
            assert (await _ask(socket))["action"] == "done"


async def _ask(socket: Any) -> dict[str, Any]:
    await socket.send('{"action": "pong", "ref": 1}')
    while True:
        frame = await next_frame(socket)
        if frame.get("ref") == 1:
            return frame


@pytest.mark.production
async def test_processes_share_a_port_and_are_started_again(
    processes: Processes, token: str
) -> None:
    server = await asyncio.to_thread(processes.serve, "--processes", "2")
    parent = psutil.Process(server.pid)
    await await_for(lambda: len(parent.children()) == 2)
    first = parent.children()[0]
    await await_for(lambda: server.log.count("startup complete") == 2, 15)
    first.kill()
    await await_for(
        lambda: len([one for one in parent.children() if one.pid != first.pid]) == 2, 15
    )
    async with open_socket(server.ws_url, token=token) as socket:
        assert (await next_frame(socket))["action"] == "hello"
        stopping = asyncio.create_task(asyncio.to_thread(server.stop))
        assert (await closing(socket))[1] == 1012
        assert await stopping == 0


@pytest.mark.production
async def test_processes_do_not_outlive_their_parent(processes: Processes) -> None:
    server = await asyncio.to_thread(processes.serve, "--processes", "2")
    server.kill()
    await await_for(lambda: server.is_gone, 20)


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65_535, 65_536])
def test_ready_frames_are_what_the_library_would_write(length: int) -> None:
    payload = b"x" * length
    frame = Frame(Opcode.TEXT, payload).serialize(mask=False)
    assert ready(payload) == frame
    assert payload_of(frame) == payload
