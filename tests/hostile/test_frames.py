"""Frames that no client should send: each is answered as documented, and costs nobody else."""

import json
import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from notifications import send_notification, tokens
from tests.hostile.conftest import Memory
from tests.hostile.raw import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    TEXT,
    RawSocket,
    frame,
    handshake,
    status_of,
)
from tests.processes import ServerProcess
from tests.security.doors import is_open, next_frame, socket_to

HELLO = '{"action": "pong", "ref": 1}'
SEED = 20_261_122

#: What → (bytes, close code). None: the connection may end without one.
MALFORMED: dict[str, tuple[bytes, int]] = {
    "unmasked": (frame(TEXT, HELLO.encode(), mask=None), 1002),
    "reserved bit 1": (frame(TEXT, b"x", rsv=4), 1002),
    "reserved bit 2": (frame(TEXT, b"x", rsv=2), 1002),
    "reserved bit 3": (frame(PING, b"x", rsv=1), 1002),
    "reserved opcode 3": (frame(3, b"x"), 1002),
    "reserved opcode 7": (frame(7, b""), 1002),
    "reserved opcode 11": (frame(11, b""), 1002),
    "reserved opcode 15": (frame(15, b"x" * 200), 1002),
    "ping of 126 bytes": (frame(PING, b"x" * 126), 1002),
    "ping in fragments": (frame(PING, b"x", fin=False), 1002),
    "close in fragments": (frame(CLOSE, b"", fin=False), 1002),
    "close of 1 byte": (frame(CLOSE, b"\x03"), 1002),
    "close with a reserved code": (frame(CLOSE, (1005).to_bytes(2, "big")), 1002),
    "close with text that is none": (frame(CLOSE, b"\x03\xe8\xff\xff"), 1007),
    "continuation of nothing": (frame(CONT, b"x"), 1002),
    "a message within another": (frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"), 1002),
    "a length of 2^63": (frame(TEXT, b"", length=2**63), 1009),
    "a length of 2^62": (frame(TEXT, b"", length=2**62), 1009),
    "a length of 4 GB": (frame(BINARY, b"", length=2**32), 1009),
    "above 128 KiB": (frame(TEXT, b"x" * (128 * 1024 + 1)), 1009),
    "above 128 KiB in parts": (
        frame(TEXT, b"x" * 100_000, fin=False) + frame(CONT, b"x" * 100_000),
        1009,
    ),
    "above 64 KiB": (frame(TEXT, b"x" * (64 * 1024 + 1)), 4503),
    "above 64 KiB in parts": (
        frame(TEXT, b"x" * 40_000, fin=False) + frame(CONT, b"x" * 40_000),
        4503,
    ),
    "nested 100,000 deep": (frame(TEXT, b"[" * 100_000), 4503),
    "not UTF-8": (frame(TEXT, b"\xff\xfe"), 1007),
    "half of a character": (frame(TEXT, "é".encode()[:1]), 1007),
    "a surrogate": (frame(TEXT, b'"\xed\xa0\x80"'), 1007),
}


def test_malformed_frames_are_closed_with_their_code(server: ServerProcess, token: str) -> None:
    for what, (data, code) in MALFORMED.items():
        with RawSocket(server, token) as socket:
            socket.text()
            socket.send(data)
            assert socket.close_code() == code, what


def test_odd_frames_that_the_protocol_allows_are_answered(
    server: ServerProcess, token: str
) -> None:
    text = HELLO.encode()
    one_by_one = [frame(CONT, text[at : at + 1], fin=False) for at in range(1, len(text))]
    odd = {
        "one byte a frame": frame(TEXT, text[:1], fin=False) + b"".join(one_by_one) + frame(CONT),
        "empty fragments": frame(TEXT, b"", fin=False)
        + frame(CONT, b"", fin=False) * 500
        + frame(CONT, text),
        "pings in between": frame(TEXT, text[:5], fin=False)
        + frame(PING, b"p" * 125)
        + frame(PONG, b"unasked")
        + frame(CONT, text[5:]),
        "a mask of zeros": frame(TEXT, text, mask=bytes(4)),
        "a length in 8 bytes": frame(TEXT, text + b" " * 70_000)[:0] + frame(TEXT, text),
    }
    for what, data in odd.items():
        with RawSocket(server, token) as socket:
            socket.text()
            for at in range(0, len(data), 7):  # and in small pieces of TCP
                socket.send(data[at : at + 7])
            assert json.loads(socket.text())["action"] == "done", what
            socket.send(frame(CLOSE, (1000).to_bytes(2, "big")))
            assert socket.close_code() == 1000


def test_deep_nesting_within_the_limit_is_refused_and_the_socket_lives(
    server: ServerProcess, token: str
) -> None:
    with RawSocket(server, token) as socket:
        socket.text()
        for deep in (b"[" * 60_000, b'{"a":' * 13_000, b"[" * 30_000 + b"]" * 30_000):
            socket.send(frame(TEXT, deep))
            assert json.loads(socket.text())["code"] in ("parse_error", "invalid")
        socket.send(frame(TEXT, HELLO.encode()))
        assert json.loads(socket.text())["action"] == "done"


@pytest.mark.parametrize(
    ("request_line", "headers"),
    [
        ("GET /ws/notifications HTTP/1.1", {"Sec_WebSocket_Version": "12"}),
        ("GET /ws/notifications HTTP/1.1", {"Sec_WebSocket_Key": "short"}),
        ("POST /ws/notifications HTTP/1.1", {}),
        ("GET /ws/notifications HTTP/1.0", {}),
        ("GET /ws/other HTTP/1.1", {}),
        ("GET /ws/notifications/%2e%2e/ HTTP/1.1", {}),
        ("GET /ws/notifications?since=\xff HTTP/1.1", {}),
        ("GET /ws/notifications HTTP/1.1", {"Sec_WebSocket_Protocol": "a, , b,,"}),
        ("GET /ws/notifications HTTP/1.1", {"Sec_WebSocket_Protocol": "hub.v1, ticket.\xe9"}),
        (
            "GET /ws/notifications HTTP/1.1",
            {"Sec_WebSocket_Protocol": "hub.v1, ticket." + "a" * 6000},
        ),
        ("GET /ws/notifications HTTP/1.1", {"Sec_WebSocket_Extensions": 'x; y="'}),
        ("GET /ws/notifications HTTP/1.1", {"Cookie": "sessionid=\xff\xfe; =; ;;"}),
        ("GET /ws/notifications HTTP/1.1", {"Authorization": "Bearer \xff"}),
        ("GET /ws/notifications HTTP/1.1", {"Origin": "\xff"}),
    ],
)
def test_handshakes_that_are_wrong_get_an_answer_and_no_fault(
    server: ServerProcess, request_line: str, headers: dict[str, str]
) -> None:
    data = handshake(server.port, **headers)
    data = data.replace(b"GET /ws/notifications HTTP/1.1", request_line.encode("latin-1"), 1)
    status = status_of(server.port, data)
    assert status is None or status == 101 or 400 <= status < 500


def test_random_bytes_after_the_handshake(
    server: ServerProcess, token: str, memory: Memory
) -> None:
    """A thousand times something else, seeded: whole frames that were broken, and noise."""
    chance = random.Random(SEED)
    good = [HELLO.encode(), *(data[:300] for data, _ in MALFORMED.values())]
    for _ in range(1000 // 20):
        with RawSocket(server, token) as socket:
            for _ in range(20):
                if not socket.send(broken(chance, chance.choice(good))):
                    break
    assert memory.grown < 30


def broken(chance: random.Random, data: bytes) -> bytes:
    made = bytearray(
        frame(
            chance.choice([CONT, TEXT, TEXT, TEXT, BINARY, CLOSE, PING, PONG, 3, 11]),
            data,
            fin=chance.random() < 0.8,
            rsv=chance.choice([0, 0, 0, 0, 1, 4]),
            mask=chance.choice([None, chance.randbytes(4), chance.randbytes(4)]),
            length=chance.choice([None, None, None, chance.randrange(2**16), 2**40]),
        )
    )
    for _ in range(chance.choice([0, 0, 1, 5])):
        made[chance.randrange(len(made))] = chance.randrange(256)
    return bytes(made[: chance.choice([len(made), len(made), chance.randrange(len(made) + 1)])])


def test_random_json_within_good_frames(server: ServerProcess, token: str) -> None:
    """Whatever an action is given, it is answered; the socket is closed for errors at most."""
    chance = random.Random(SEED)
    answers: dict[str, int] = {}
    for _ in range(60):
        with RawSocket(server, token) as socket:
            socket.text()
            sent = [json.dumps(said(chance)).encode() for _ in range(9)]
            for data in sent:
                socket.send(frame(TEXT, data))
            socket.send(frame(TEXT, b'{"action": "pong", "ref": "the last"}'))
            while True:
                answer = json.loads(socket.text())
                answers[answer.get("code", answer["action"])] = 1
                assert answer.get("code") != "server_error", sent
                if answer.get("ref") == "the last":
                    break
    assert {"done", "invalid", "unknown_action"} <= set(answers)


def said(chance: random.Random) -> Any:
    values: list[Any] = [
        *(None, True, -1, 0, 1, 1.5, 10**30, 2**63, 2**53, "", "1", "é\u2028", "x" * 5000, [], {}),
        *([1, 2, 2], [10**20], ["1"], [[1]], {"a": 1}, "post_like", "read", "0.0", "1.1", "\x7f"),
    ]
    keys = ["since", "version", "state", "ids", "up_to", "type", "ref", "x", ""]
    action = chance.choice(["sync", "ack", "mark", "delete", "pong", "mark", "nonsense", None, 1])
    some = {key: chance.choice(values) for key in chance.sample(keys, chance.randrange(6))}
    return {"action": action, **some} if chance.random() < 0.95 else chance.choice(values)


class TestFloods:
    """What one client pours in neither stops the others nor stays in memory."""

    @pytest.fixture
    def bystander(self, server: ServerProcess, bob: Any) -> Any:
        with socket_to(server, token=tokens.make(bob)) as socket:
            next_frame(socket)
            yield socket
            began = time.monotonic()
            send_notification("post_like", users=bob, title="Still there")
            assert next_frame(socket)["action"] in ("new", "sync")
            assert time.monotonic() - began < 5
            assert is_open(socket)

    def test_10_000_frames_a_second(
        self, server: ServerProcess, token: str, bystander: Any, memory: Memory
    ) -> None:
        burst = frame(TEXT, b'{"action": "pong"}') * 1000
        with RawSocket(server, token) as socket:
            socket.text()
            began = time.monotonic()
            sent = 0
            while time.monotonic() - began < 3 and socket.send(burst):
                sent += 1000
            assert sent > 10_000 or time.monotonic() - began < 3
            assert socket.close_code() in (4002, None)
        assert memory.grown < 60

    def test_10_000_frames_a_second_on_twenty_sockets(
        self, server: ServerProcess, token: str, bystander: Any, memory: Memory
    ) -> None:
        burst = frame(TEXT, b'{"action": "sync", "since": 0}') * 1000

        def flood(_: int) -> None:
            with RawSocket(server, token) as socket:
                for _ in range(10):
                    if not socket.send(burst):
                        return

        with ThreadPoolExecutor(20) as pool:
            list(pool.map(flood, range(20)))
        assert memory.grown < 100

    def test_pings_whose_answers_are_not_read(
        self, server: ServerProcess, token: str, bystander: Any, memory: Memory
    ) -> None:
        """Each is answered by a pong: who does not take them must not fill our memory."""
        burst = frame(PING, b"p" * 125) * 5000
        with RawSocket(server, token, receive_buffer=4096) as socket:
            pour(socket, burst, seconds=8)
            assert memory.grown < 60

    @pytest.mark.parametrize(
        "piece",
        [
            pytest.param(frame(PING, b"p"), id="pings"),
            pytest.param(frame(PONG), id="pongs"),
            pytest.param(frame(CONT, fin=False), id="fragments"),
        ],
    )
    def test_control_frames_and_fragments_without_end(
        self, server: ServerProcess, token: str, bystander: Any, memory: Memory, piece: bytes
    ) -> None:
        """They make no message, so nothing else would ever stop them."""
        with RawSocket(server, token) as socket:
            socket.text()
            socket.send(frame(TEXT, b"", fin=False))
            assert pour(socket, piece * 10_000, seconds=5) < 5, "it is cut off before"
            assert memory.grown < 60

    def test_messages_of_very_many_fragments(
        self, server: ServerProcess, token: str, bystander: Any, memory: Memory
    ) -> None:
        data = frame(TEXT, b"x", fin=False) + frame(CONT, b"x", fin=False) * 100_000
        for _ in range(20):
            with RawSocket(server, token) as socket:
                socket.text()
                socket.send(data)
                assert socket.close_code() in (4002, None)
        assert memory.grown < 60

    def test_a_thousand_fragments_are_fine(self, server: ServerProcess, token: str) -> None:
        text = HELLO.encode() + b" " * 900
        with RawSocket(server, token) as socket:
            socket.text()
            socket.send(frame(TEXT, text[:1], fin=False))
            socket.send(b"".join(frame(CONT, bytes([one]), fin=False) for one in text[1:]))
            socket.send(frame(CONT))
            assert json.loads(socket.text())["action"] == "done"

    def test_who_goes_on_after_the_close(
        self, server: ServerProcess, token: str, bystander: Any, memory: Memory
    ) -> None:
        """The server waits ten seconds for the client's close, but not for its flood."""
        with RawSocket(server, token) as socket:
            socket.text()
            socket.send(frame(TEXT, b"x" * 70_000))
            assert socket.close_code() == 4503
            assert pour(socket, frame(CONT, b"", fin=False) * 10_000, seconds=5) < 5
        assert memory.grown < 60


def pour(socket: RawSocket, data: bytes, *, seconds: float) -> float:
    """Sends it over and over until the server ends that; the seconds it took."""
    socket.connection.settimeout(2)  # for one that neither reads nor closes
    began = time.monotonic()
    while time.monotonic() - began < seconds and socket.send(data):
        pass
    return time.monotonic() - began


@pytest.mark.production
def test_who_does_not_read_is_written_no_more_live_frames_than_the_buffers_hold(
    server: ServerProcess, token: str, alice: Any
) -> None:
    """What it missed it is told by a `sync`, or it is closed; nothing heaps up for it meanwhile."""
    sent = 500

    def send() -> None:
        send_notification("post_like", users=alice, data={"x": "x" * 16_000})

    with RawSocket(server, token, receive_buffer=4096) as socket:
        send()
        while json.loads(socket.text())["action"] != "new":
            send()  # the subscription to its group is young
        for _ in range(sent):
            send()
        live = 0
        while (found := socket.next()) is not None:
            action = json.loads(found.payload)["action"] if found.opcode == TEXT else ""
            if action in ("sync", "bye"):
                break
            live += action == "new"
            assert live < sent * 0.9, "it was written everything"
