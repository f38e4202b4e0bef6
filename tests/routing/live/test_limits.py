"""Bad frames are answered, abuse is closed with a documented code, and nothing kills a socket."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.routing.live.fakes import FakeServer
from tests.routing.live.test_consumer import assert_shaped_as, send

SignedIn = Callable[..., FakeServer]

IDS = list(range(1, 1002))

BAD = [
    ("not json", "parse_error"),
    ("", "parse_error"),
    ('{"action": "pong"', "parse_error"),
    ('{"action": "ack", "version": NaN}', "parse_error"),
    ('{"action": "ack", "version": Infinity}', "parse_error"),
    ("[" * 60_000, "parse_error"),
    ('{"a":' * 12_000, "parse_error"),
    ("[" * 900 + "]" * 900, "invalid"),
    ("[]", "invalid"),
    ('"text"', "invalid"),
    ("null", "invalid"),
    ("12", "invalid"),
    ("{}", "unknown_action"),
    ('{"action": null}', "unknown_action"),
    ('{"action": ["pong"]}', "unknown_action"),
    ('{"action": "new"}', "unknown_action"),
    ('{"action": "hub.broadcast", "type": "hub.broadcast"}', "unknown_action"),
    ('{"action": "pong", "note": "\\u0000"}', "invalid"),
    ('{"action": "pong", "n\\ud800": 1}', "invalid"),
    ('{"action": "pong", "deep": [[{"x": ["\\udfff"]}]]}', "invalid"),
    ('{"action": "pong", "ref": ""}', "invalid"),
    ('{"action": "pong", "ref": null}', "invalid"),
    ('{"action": "pong", "ref": true}', "invalid"),
    ('{"action": "pong", "ref": 1.5}', "invalid"),
    ('{"action": "pong", "ref": 9007199254740992}', "invalid"),
    ('{"action": "pong", "ref": "' + "r" * 65 + '"}', "invalid"),
    ('{"action": "pong", "ref": "\\ud800"}', "invalid"),
    ('{"action": "ack"}', "invalid"),
    ('{"action": "ack", "version": "1"}', "invalid"),
    ('{"action": "ack", "version": true}', "invalid"),
    ('{"action": "ack", "version": 1.0}', "invalid"),
    ('{"action": "ack", "version": -1}', "invalid"),
    ('{"action": "ack", "version": ' + "9" * 5000 + "}", "invalid_ack"),
    ('{"action": "mark"}', "invalid"),
    ('{"action": "mark", "state": "read"}', "invalid"),
    ('{"action": "mark", "state": "read", "ids": [1], "up_to": 1}', "invalid"),
    ('{"action": "mark", "state": "read", "ids": [1], "type": "post_like"}', "invalid"),
    ('{"action": "mark", "state": "expired", "ids": [1]}', "invalid"),
    ('{"action": "mark", "state": ["read"], "ids": [1]}', "invalid"),
    ('{"action": "mark", "state": {"read": 1}, "ids": [1]}', "invalid"),
    ('{"action": "mark", "state": "read", "ids": {}}', "invalid"),
    ('{"action": "mark", "state": "read", "ids": ["x"]}', "invalid"),
    ('{"action": "mark", "state": "read", "ids": [true]}', "invalid"),
    ('{"action": "mark", "state": "read", "ids": null}', "invalid"),
    ('{"action": "mark", "state": "read", "up_to": -1}', "invalid"),
    ('{"action": "mark", "state": "read", "up_to": null}', "invalid"),
    ('{"action": "mark", "state": "read", "up_to": 1, "type": 3}', "invalid"),
    ('{"action": "mark", "state": "read", "up_to": 1, "type": null}', "invalid"),
    (json.dumps({"action": "mark", "state": "read", "ids": IDS}), "invalid"),
    (json.dumps({"action": "delete", "ids": IDS}), "invalid"),
    ('{"action": "delete"}', "invalid"),
    ('{"action": "sync"}', "invalid"),
]


@pytest.mark.parametrize(("text", "code"), BAD, ids=[text[:40] for text, _ in BAD])
async def test_a_bad_frame_is_answered_and_the_socket_lives(
    signed_in: SignedIn, text: str, code: str
) -> None:
    async with signed_in() as socket:
        await socket.hello()
        socket.say(text=text)
        answer = await socket.frame()
        assert_shaped_as(answer, "frame_error_without_ref")
        assert answer["code"] == code
        assert (await socket.ask(action="pong"))["action"] == "done"


async def test_a_binary_frame_is_answered(signed_in: SignedIn) -> None:
    async with signed_in() as socket:
        await socket.hello()
        for data in (b"", b"\xff\xfe", b'{"action": "pong"}'):
            socket.say(data=data)
            assert (await socket.frame())["code"] == "parse_error"
        assert (await socket.ask(action="pong"))["action"] == "done"


async def test_huge_integers_are_ids_that_nobody_has(signed_in: SignedIn, alice: Any) -> None:
    await send(alice)
    async with signed_in() as socket:
        await socket.hello()
        for ids in ([10**18], [-(10**400)], [10**400, 2**63], []):
            answer = await socket.ask(action="mark", state="read", ids=ids)
            assert answer == {"action": "done", "ref": "ask", "changed": 0, "version": 1}
        # up to a number that no inbox reaches: all of them
        answer = await socket.ask(action="mark", state="seen", up_to=10**300)
        assert answer["changed"] == 1


async def test_the_ref_of_a_refused_frame_comes_back(signed_in: SignedIn) -> None:
    async with signed_in() as socket:
        await socket.hello()
        for ref in ("é" * 64, 0, -5, 2**53 - 1):
            assert (await socket.ask(action="nonsense", ref=ref))["code"] == "unknown_action"


async def test_a_frame_without_ref_is_answered_by_nothing(signed_in: SignedIn) -> None:
    async with signed_in() as socket:
        await socket.hello()
        socket.say({"action": "pong"})
        socket.say({"action": "ack", "version": 0})
        socket.say({"action": "delete", "ids": []})
        await socket.nothing()


async def test_ten_errors_in_a_minute_close(signed_in: SignedIn) -> None:
    async with signed_in() as socket:
        await socket.hello()
        for _ in range(10):
            socket.say(text="no")
        frames, code = await socket.closed()
        assert [frame["action"] for frame in frames] == ["error"] * 10 + ["bye"]
        assert_shaped_as(frames[-1], "frame_bye_final")
        assert code == 4500


async def test_errors_that_lie_further_apart_do_not(
    signed_in: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("routing.live.consumer.ERRORS_WITHIN", 0.0)
    async with signed_in() as socket:
        await socket.hello()
        for _ in range(30):
            socket.say(text="no")
            await socket.frame()
        assert (await socket.ask(action="pong"))["action"] == "done"


async def test_more_than_a_hundred_frames_in_ten_seconds_close(signed_in: SignedIn) -> None:
    async with signed_in() as socket:
        await socket.hello()
        for _ in range(99):
            socket.say({"action": "pong"})
        assert (await socket.ask(action="pong"))["action"] == "done"  # the hundredth
        socket.say({"action": "pong"})
        frames, code = await socket.closed()
        assert code == frames[-1]["code"] == 4002
        assert frames[-1]["retry_after"] > 0


@pytest.mark.parametrize("letter", ["x", "é"])
async def test_a_frame_above_64_kib_closes(signed_in: SignedIn, letter: str) -> None:
    def padded(size: int) -> str:
        head, tail = '{"action":"pong","ref":1,"pad":"', '"}'
        room = size - len(head) - len(tail)
        width = len(letter.encode())
        return head + letter * (room // width) + "x" * (room % width) + tail

    async with signed_in() as socket:
        await socket.hello()
        socket.say(text=padded(64 * 1024))
        assert (await socket.frame())["action"] == "done"
        socket.say(text=padded(64 * 1024 + 1))
        frames, code = await socket.closed()
        assert [frame["action"] for frame in frames] == ["bye"]
        assert code == 4503


async def test_a_large_binary_frame_closes(signed_in: SignedIn) -> None:
    async with signed_in() as socket:
        await socket.hello()
        socket.say(data=b"x" * (64 * 1024 + 1))
        assert (await socket.closed())[1] == 4503


async def test_one_socket_too_many_closes_the_oldest(
    hub: Callable[..., None], runtime: Any, signed_in: SignedIn
) -> None:
    runtime.registry._limit = 2
    async with signed_in() as first:
        await first.hello()
        async with signed_in() as second:
            await second.hello()
            async with signed_in() as third:
                await third.hello()
                frames, code = await first.closed()
                assert frames == [{"action": "bye", "code": 4502, "retry_after": None}]
                assert code == 4502
                assert (await second.ask(action="pong"))["action"] == "done"
                assert (await third.ask(action="pong"))["action"] == "done"


async def test_pings_come(signed_in: SignedIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("routing.live.heartbeat.TICK", 0.005)
    async with signed_in(pings=True) as socket:
        await socket.hello()
        assert_shaped_as(await socket.frame(), "frame_ping")
        assert_shaped_as(await socket.frame(), "frame_ping")


async def test_who_says_nothing_is_closed_in_time(
    signed_in: SignedIn, runtime: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("routing.live.heartbeat.TICK", 0.005)
    async with signed_in() as silent, signed_in() as alive:
        await silent.hello()
        await alive.hello()
        now = asyncio.get_running_loop().time()
        for socket in runtime.registry.sockets():
            socket.heard = now - 89.5
        await silent.nothing(within=0.3)
        assert (await alive.ask(action="pong"))["action"] == "done"
        frames, code = await silent.closed(within=1.5)
        assert (frames[-1]["action"], frames[-1]["code"], code) == ("bye", 4003, 4003)
        assert (await alive.ask(action="pong"))["action"] == "done"


async def test_a_slow_command_does_not_hold_up_pongs(
    signed_in: SignedIn, runtime: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    from notifications.inbox import Result
    from tests.waiting import await_for

    go_on = threading.Event()

    def slow(*_: Any, **__: Any) -> Result:
        go_on.wait(10)
        return Result(changed=0, version=0)

    monkeypatch.setattr("routing.live.commands.inbox.delete", slow)
    async with signed_in() as socket:
        await socket.hello()
        socket.say({"action": "delete", "ids": [], "ref": "slow"})
        [mine] = runtime.registry.sockets()
        heard = mine.heard
        socket.say({"action": "pong"})
        await await_for(lambda: mine.heard > heard)
        socket.say(text="no")
        assert (await socket.frame())["code"] == "parse_error"
        go_on.set()
        assert (await socket.frame())["ref"] == "slow"
