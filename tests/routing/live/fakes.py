"""A socket without a network: the hub's ASGI application, spoken to as a server would."""

import asyncio
import json
from typing import Any, Self
from urllib.parse import urlencode

from routing.live.asgi import hub_application
from routing.live.protocol import PING, payload_of, ready

ANSWER = 5.0  # seconds


async def no_http(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("this is about sockets")


class FakeServer:
    """Takes what the application sends, by ASGI and as ready frames. While `full`, its `send` waits
    as a real one would, and ready frames stay in its buffer."""

    def __init__(self, *, application: Any = None, pings: bool = False, **scope: Any) -> None:
        self.application = application or hub_application(no_http)
        query = scope.pop("query", {})
        self.scope: dict[str, Any] = {
            "type": "websocket",
            "path": "/ws/notifications",
            "headers": [],
            "subprotocols": [],
            "query_string": urlencode(query).encode(),
            "extensions": {"hub.connection": self},
            **scope,
        }
        #: Whether a test wants to see them: they come when they come.
        self.pings = pings
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.room = asyncio.Event()
        self.room.set()
        self.cuts: list[tuple[int, dict[str, Any]]] = []
        #: How many times ready frames were handed over, several at a time or one.
        self.writes = 0
        self._buffer: list[bytes] = []
        self._inbound: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._inbound.put_nowait({"type": "websocket.connect"})
        self._task = asyncio.create_task(
            self.application(self.scope, self._inbound.get, self._send)
        )
        return self

    async def __aexit__(self, *exception: object) -> None:
        assert self._task is not None
        self.room.set()
        self._inbound.put_nowait({"type": "websocket.disconnect", "code": 1000})
        async with asyncio.timeout(ANSWER):
            await self._task

    @property
    def is_done(self) -> bool:
        return self._task is not None and self._task.done()

    @property
    def full(self) -> bool:
        return not self.room.is_set()

    @full.setter
    def full(self, value: bool) -> None:
        if value:
            self.room.clear()
        else:
            for frame in self._buffer:
                self._take(frame)
            self._buffer.clear()
            self.room.set()

    def attach(self, socket: Any) -> Any:
        self._socket = socket
        return self._write

    def _write(self, frames: bytes) -> None:
        self.writes += 1
        if self.full:
            self._buffer.append(frames)
            self._socket.hold(self.room.wait)
        else:
            self._take(frames)

    def _take(self, frames: bytes) -> None:
        while frames:
            short = {126: 4, 127: 10}.get(frames[1])
            length = int.from_bytes(frames[2:short]) if short else frames[1]
            frame, frames = frames[: (short or 2) + length], frames[(short or 2) + length :]
            payload = payload_of(frame)
            assert frame == ready(payload)
            self.sent.put_nowait({"type": "websocket.send", "text": payload.decode()})

    async def _send(self, message: dict[str, Any]) -> None:
        await self.room.wait()
        if self.pings or message.get("text") != PING:
            self.sent.put_nowait(message)
        if message["type"] == "websocket.close":
            self._inbound.put_nowait({"type": "websocket.disconnect", "code": message.get("code")})

    def cut(self, code: int, bye: str) -> None:
        self.cuts.append((code, json.loads(bye)))

    def say(self, frame: Any = None, *, text: str | None = None, data: bytes | None = None) -> None:
        message: dict[str, Any] = {"type": "websocket.receive", "text": None, "bytes": data}
        if data is None:
            message["text"] = json.dumps(frame) if text is None else text
        self._inbound.put_nowait(message)

    async def message(self, *, within: float = ANSWER) -> dict[str, Any]:
        async with asyncio.timeout(within):
            return await self.sent.get()

    async def frame(self, *, within: float = ANSWER) -> dict[str, Any]:
        """The next frame; asserts that the socket was not closed instead."""
        message = await self.message(within=within)
        assert message["type"] == "websocket.send", message
        frame: dict[str, Any] = json.loads(message["text"])
        return frame

    async def frames(self, count: int) -> list[dict[str, Any]]:
        return [await self.frame() for _ in range(count)]

    async def accepted(self) -> dict[str, Any]:
        message = await self.message()
        assert message["type"] == "websocket.accept", message
        return message

    async def hello(self) -> dict[str, Any]:
        await self.accepted()
        frame = await self.frame()
        assert frame["action"] == "hello", frame
        return frame

    async def ask(self, **frame: Any) -> dict[str, Any]:
        """Sends a frame and returns its answer; whatever else comes before is left out."""
        self.say({"ref": "ask", **frame})
        while True:
            answer = await self.frame()
            if answer.get("ref") == frame.get("ref", "ask"):
                return answer

    async def closed(self, *, within: float = ANSWER) -> tuple[list[dict[str, Any]], int | None]:
        """The frames until the close, and its code."""
        frames = []
        while True:
            message = await self.message(within=within)
            if message["type"] == "websocket.close":
                return frames, message.get("code")
            if message["type"] == "websocket.send":
                frames.append(json.loads(message["text"]))

    async def nothing(self, *, within: float = 0.15) -> None:
        """Nothing comes for that long."""
        await asyncio.sleep(within)
        assert self.sent.empty(), self.sent.get_nowait()
