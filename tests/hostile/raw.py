"""A WebSocket client that sends whatever bytes a test wants: a library would refuse to."""

import base64
import os
import socket
import struct
import time
from dataclasses import dataclass
from typing import Self

from tests.processes import ServerProcess

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
ANSWER = 10.0  # seconds


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = b"\x01\x02\x03\x04",
    length: int | None = None,
    wide: int = 0,
) -> bytes:
    """One frame. `mask=None` leaves it unmasked, `length` says another length than it has, and
    `wide` (2 or 8) writes it in more bytes than it needs."""
    size = len(payload) if length is None else length
    head = bytes([(fin << 7) | (rsv << 4) | opcode])
    bit = 0x80 if mask is not None else 0
    if wide == 8 or size >= 2**16:
        head += bytes([bit | 127]) + struct.pack("!Q", size)
    elif wide == 2 or size >= 126:
        head += bytes([bit | 126]) + struct.pack("!H", size)
    else:
        head += bytes([bit | size])
    return head + (mask + masked(payload, mask) if mask is not None else payload)


def masked(payload: bytes, mask: bytes) -> bytes:
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


@dataclass(frozen=True)
class Received:
    opcode: int
    payload: bytes

    @property
    def close_code(self) -> int:
        return struct.unpack("!H", self.payload[:2])[0] if len(self.payload) >= 2 else 1005


class RawSocket:
    """A connection after its handshake."""

    def __init__(
        self, server: ServerProcess, token: str, *, receive_buffer: int | None = None
    ) -> None:
        self.connection = socket.socket()
        if receive_buffer is not None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.connection.settimeout(ANSWER)
        self.connection.connect(("127.0.0.1", server.port))
        self.connection.sendall(handshake(server.port, Authorization=f"Bearer {token}"))
        self.received = b""
        while b"\r\n\r\n" not in self.received:
            self._more()
        head, _, self.received = self.received.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101"), head

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.connection.close()

    def send(self, data: bytes) -> bool:
        """False where the server has closed."""
        try:
            self.connection.sendall(data)
        except (ConnectionError, TimeoutError):
            return False
        return True

    def next(self) -> Received | None:
        """The next frame; None where the connection has ended."""
        try:
            while (found := self._frame()) is None:
                self._more()
        except (ConnectionError, EOFError):
            return None
        return found

    def close_code(self, *, within: float = ANSWER) -> int | None:
        """The code that the server closes with; None where it ends without one."""
        end = time.monotonic() + within
        while (found := self.next()) is not None:
            if found.opcode == CLOSE:
                return found.close_code
            assert time.monotonic() < end, "it stays open"
        return None

    def text(self) -> str:
        """The next text frame."""
        while (found := self.next()) is not None:
            if found.opcode == TEXT:
                return found.payload.decode()
        raise AssertionError("the connection ended")

    def _more(self) -> None:
        data = self.connection.recv(65536)
        if not data:
            raise EOFError
        self.received += data

    def _frame(self) -> Received | None:
        """A whole frame of what was received; a server does not mask."""
        if len(self.received) < 2:
            return None
        size, start = self.received[1] & 0x7F, 2
        if size == 126:
            size, start = int.from_bytes(self.received[2:4], "big"), 4
        elif size == 127:
            size, start = int.from_bytes(self.received[2:10], "big"), 10
        if len(self.received) < start + size:
            return None
        found = Received(self.received[0] & 0x0F, self.received[start : start + size])
        self.received = self.received[start + size :]
        return found


def handshake(port: int, **headers: str) -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [
        "GET /ws/notifications HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def status_of(port: int, request: bytes, *, timeout: float = ANSWER) -> int | None:
    """The status of the answer to these bytes; None where the server only hangs up."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        try:
            connection.sendall(request)
        except ConnectionError:
            pass  # it may have answered before it had read everything
        try:
            answer = connection.recv(65536)
        except ConnectionError:
            return None
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else None
