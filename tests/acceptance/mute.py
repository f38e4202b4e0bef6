"""A client that takes nothing and answers nothing, which no library would let it be."""

import base64
import os
import socket
from typing import Self

from tests.acceptance.client import Person


class Mute:
    """Shakes hands, and then neither reads nor says anything."""

    def __init__(self, person: Person, port: int) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(5)
        self.socket.connect(("127.0.0.1", port))
        lines = [
            "GET /ws/notifications HTTP/1.1",
            f"Host: 127.0.0.1:{port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
            "Sec-WebSocket-Version: 13",
            f"Authorization: Bearer {person.token}",
        ]
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        assert self.socket.recv(12) == b"HTTP/1.1 101"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.socket.close()

    def rest(self) -> bytes:
        """Whatever the server still had written, up to its end."""
        found = b""
        try:
            while data := self.socket.recv(2**16):
                found = found[-1000:] + data
        except OSError:
            pass
        return found
