"""Frames are written without waiting; a client that takes nothing costs little."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from routing.live.protocol import ready
from routing.live.registry import UserSockets
from routing.live.runtime import Runtime
from tests.routing.live.fakes import FakeServer
from tests.routing.live.test_consumer import send
from tests.waiting import await_for

SignedIn = Callable[..., FakeServer]
Settled = Callable[..., Any]


def frame(version: int) -> bytes:
    return ready(f'{{"action":"new","version":{version}}}'.encode())


def of(runtime: Runtime, key: Any = None) -> UserSockets:
    """The sockets of this user; of whoever is there."""
    return runtime.registry.users[key or next(iter(runtime.registry.users))]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Where the database was read from for sockets that were behind."""
    from routing.live import reading

    read, positions = reading.read_page, []

    def noted(*args: Any, **kwargs: Any) -> Any:
        positions.append(kwargs["since"])
        return read(*args, **kwargs)

    monkeypatch.setattr(reading, "read_page", noted)
    return positions


async def test_frames_that_are_due_together_are_written_together(
    signed_in: SignedIn, runtime: Runtime, alice: Any, reads: list[Any]
) -> None:
    async with signed_in() as socket:
        await socket.hello()
        for version in (1, 2, 3):
            runtime.registry.offer(of(runtime, alice.pk), version, frame(version))
        await asyncio.sleep(0)  # in the next turn of the loop they are there already
        assert (socket.sent.qsize(), socket.writes) == (3, 1)
        assert [one["version"] for one in await socket.frames(3)] == [1, 2, 3]
        runtime.registry.offer(of(runtime, alice.pk), 4, frame(4))
        assert (await socket.frame())["version"] == 4
        assert socket.writes == 2
        await socket.nothing()
        assert reads == []


async def test_no_other_frame_overtakes_those_that_are_due(
    signed_in: SignedIn, runtime: Runtime, alice: Any
) -> None:
    async with signed_in() as socket:
        await socket.hello()
        [mine] = runtime.registry.sockets()
        runtime.registry.offer(of(runtime, alice.pk), 1, frame(1))
        mine.write('{"action":"done"}')
        runtime.registry.offer(of(runtime, alice.pk), 2, frame(2))
        first, done, second = await socket.frames(3)
        assert [first["version"], done["action"], second["version"]] == [1, "done", 2]


async def test_a_frame_behind_due_ones_that_fill_the_buffer_waits_with_them(
    signed_in: SignedIn, runtime: Runtime, alice: Any
) -> None:
    async with signed_in() as socket:
        await socket.hello()
        [mine] = runtime.registry.sockets()
        socket.full = True
        runtime.registry.offer(of(runtime, alice.pk), 1, frame(1))
        mine.write('{"action":"done"}')
        await socket.nothing()
        assert mine.blocked
        socket.full = False
        first, done = await socket.frames(2)
        assert (first["version"], done["action"]) == (1, "done")
        await await_for(lambda: mine.ready)
        runtime.registry.offer(of(runtime, alice.pk), 2, frame(2))
        assert (await socket.frame())["version"] == 2


async def test_a_transport_that_fails_costs_only_its_own_socket(
    signed_in: SignedIn, runtime: Runtime, alice: Any
) -> None:
    async with signed_in() as broken, signed_in() as sound:
        await broken.hello()
        await sound.hello()
        [mine] = [one for one in runtime.registry.sockets() if one._connection is broken]
        mine._ready = lambda frames: 1 / 0
        runtime.registry.offer(of(runtime, alice.pk), 1, frame(1))
        assert (await sound.frame())["version"] == 1
        assert mine.closed


async def test_any_other_server_is_given_frames_by_its_send(
    signed_in: SignedIn, runtime: Runtime, alice: Any
) -> None:
    async with signed_in(extensions={}) as socket:
        await socket.hello()
        runtime.registry.offer(of(runtime, alice.pk), 1, frame(1))
        assert socket.sent.qsize() == 1
        socket.full = True
        runtime.registry.offer(of(runtime, alice.pk), 2, frame(2))
        assert not runtime.registry.sockets()[0].ready
        socket.full = False
        assert [one["version"] for one in await socket.frames(2)] == [1, 2]


async def test_numbers_that_were_sent_are_dropped(
    signed_in: SignedIn, runtime: Runtime, alice: Any, reads: list[Any]
) -> None:
    async with signed_in() as socket:
        await socket.hello()
        for version in (1, 1, 2, 1, 2):
            runtime.registry.offer(of(runtime, alice.pk), version, frame(version))
        assert [one["version"] for one in await socket.frames(2)] == [1, 2]
        await socket.nothing()
        assert reads == []


async def test_a_frame_that_was_overtaken_closes_the_gap_itself(
    signed_in: SignedIn, runtime: Runtime, alice: Any, reads: list[Any]
) -> None:
    async with signed_in() as socket:
        await socket.hello()
        with deaf(runtime):
            for _ in range(3):
                await send(alice)
        for version in (1, 3, 2):
            runtime.registry.offer(of(runtime, alice.pk), version, frame(version))
        first, second, sync = await socket.frames(3)
        assert [first["version"], second["version"]] == [1, 2]
        # the third came too early and is read
        assert [row["version"] for row in sync["changes"]] == [3]
        assert reads == [2]


async def test_a_gap_is_read_once_for_all_sockets_at_the_same_place(
    signed_in: SignedIn, runtime: Runtime, settled: Settled, alice: Any, reads: list[Any]
) -> None:
    async with signed_in() as first, signed_in() as second:
        await first.hello()
        await second.hello()
        with deaf(runtime):
            await send(alice, "unheard")
        runtime.registry.hint(alice.pk, version=1)
        syncs = [await first.frame(), await second.frame()]
        assert syncs[0] == syncs[1]
        assert [row["version"] for row in syncs[0]["changes"]] == [1]
        assert reads == [0]


async def test_what_came_while_the_gap_was_read_does_not_come_twice(
    signed_in: SignedIn, runtime: Runtime, alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from routing.live import reading

    read, begun, go_on = reading.read_page, threading.Event(), threading.Event()

    def slowly(*args: Any, **kwargs: Any) -> Any:
        page = read(*args, **kwargs)
        begun.set()
        go_on.wait(10)
        return page

    async with signed_in() as socket:
        await socket.hello()
        with deaf(runtime):
            for _ in range(2):
                await send(alice)
        monkeypatch.setattr(reading, "read_page", slowly)
        runtime.registry.offer(of(runtime, alice.pk), 2, frame(2))
        await await_for(begun.is_set)
        for version in (1, 2):
            runtime.registry.offer(of(runtime, alice.pk), version, frame(version))
        go_on.set()
        assert [one["version"] for one in await socket.frames(2)] == [1, 2]
        await socket.nothing(within=0.3)


async def test_a_hint_beyond_what_is_stored_is_forgotten(
    signed_in: SignedIn, runtime: Runtime, alice: Any, reads: list[Any]
) -> None:
    """Of another epoch, say. The socket is told where it is, once, and does not read for ever."""
    async with signed_in() as socket:
        await socket.hello()
        runtime.registry.hint(alice.pk, version=1000)
        assert (await socket.frame())["version"] == 0
        await socket.nothing(within=0.3)
        assert len(reads) == 1


async def test_a_blocked_socket_reads_what_it_missed_and_others_do_not_wait(
    signed_in: SignedIn, runtime: Runtime, settled: Settled, alice: Any
) -> None:
    async with signed_in() as slow, signed_in() as quick:
        await slow.hello()
        await quick.hello()
        await settled(alice)
        slow.full = True
        for number in range(1, 6):
            await send(alice, str(number))
            assert (await quick.frame())["version"] == number
        assert slow.sent.empty()
        [mine] = [socket for socket in runtime.registry.sockets() if socket.blocked]
        assert mine.sent == 1  # the write in flight, and nothing behind it
        slow.full = False
        assert (await slow.frame())["version"] == 1
        sync = await slow.frame()
        assert (sync["action"], sync["version"]) == ("sync", 5)
        assert [row["version"] for row in sync["changes"]] == [2, 3, 4, 5]
        await send(alice, "live again")
        assert (await slow.frame())["version"] == 6


async def test_who_takes_nothing_for_long_is_cut_off(
    signed_in: SignedIn,
    runtime: Runtime,
    settled: Settled,
    alice: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("routing.live.sockets.DRAIN_LIMIT", 0.05)
    async with signed_in() as socket:
        await socket.hello()
        socket.full = True
        runtime.registry.offer(of(runtime, alice.pk), 1, frame(1))
        await await_for(lambda: socket.is_done)
        [(code, bye)] = socket.cuts
        assert code == bye["code"] == 4001
        assert runtime.registry.users == {}


async def test_answers_wait_for_room_and_are_not_left_out(
    signed_in: SignedIn, runtime: Runtime, alice: Any
) -> None:
    async with signed_in() as socket:
        await socket.hello()
        socket.full = True
        runtime.registry.offer(of(runtime, alice.pk), 1, frame(1))
        for ref in range(5):
            socket.say({"action": "ack", "version": 0, "ref": ref})
        await socket.nothing()
        socket.full = False
        frames = await socket.frames(6)
        assert [one.get("ref") for one in frames] == [None, 0, 1, 2, 3, 4]


async def test_goodbye_reaches_every_socket_at_once(signed_in: SignedIn, runtime: Runtime) -> None:
    async with signed_in() as first, signed_in() as second, signed_in() as full:
        for socket in (first, second, full):
            await socket.hello()
        full.full = True
        runtime.registry.offer(of(runtime), 1, frame(1))
        await asyncio.sleep(0)
        first.sent.get_nowait()
        second.sent.get_nowait()
        runtime.say_goodbye()
        for socket in (first, second):
            bye = socket.sent.get_nowait()
            assert '"code":1012' in bye["text"]
            assert socket.sent.get_nowait() == {"type": "websocket.close", "code": 1012}
        assert full.cuts[0][0] == 1012
        async with signed_in() as late:
            await late.accepted()
            assert (await late.closed())[1] == 1012


async def test_nothing_is_left_of_a_socket_that_went(signed_in: SignedIn, runtime: Runtime) -> None:
    for _ in range(3):
        async with signed_in() as socket:
            await socket.hello()
    assert runtime.registry.users == {}
    assert runtime.registry.count == 0
    assert not runtime.heartbeat._turn_of
    assert not any(runtime.heartbeat._turns)


async def test_a_client_that_is_gone_at_once_leaves_nothing(
    signed_in: SignedIn, runtime: Runtime
) -> None:
    async with signed_in() as socket:
        await socket.accepted()
    await await_for(lambda: not runtime.registry.users)


class deaf:
    """While this lasts no message reaches the registry."""

    def __init__(self, runtime: Runtime) -> None:
        self.listener = runtime.listener

    def __enter__(self) -> None:
        self.handle = self.listener._handle
        self.listener._handle = lambda message: None

    def __exit__(self, *exception: object) -> None:
        # whatever is still on its way belongs to the time of silence
        listener, handle = self.listener, self.handle
        asyncio.get_running_loop().call_later(0.1, setattr, listener, "_handle", handle)
