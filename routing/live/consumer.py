"""The door of the live road: one socket from its handshake to its end.

A Channels consumer that takes no channel of its own, so that a dead layer refuses nobody, and
never waits for the one thread that Django's async functions share.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

from channels.consumer import AsyncConsumer
from channels.exceptions import StopConsumer

from routing.live import auth, commands, protocol
from routing.live.credentials import Credential
from routing.live.protocol import FrameError
from routing.live.reading import read_page, read_start
from routing.live.runtime import Runtime, running
from routing.live.sockets import Send, Socket

logger = logging.getLogger(__name__)

FRAMES, FRAMES_WITHIN = 100, 10.0  # frames, seconds
ERRORS, ERRORS_WITHIN = 10, 60.0  # errors, seconds
BACKLOG = 16  # commands of one socket that wait their turn; more are not taken from the server

Receive = Callable[[], Awaitable[dict[str, Any]]]


class LiveConsumer(AsyncConsumer):
    channel_layer_alias = None  # type: ignore[assignment] # none at all

    scope: Any
    to_client: Send
    runtime: Runtime
    socket: Socket | None = None

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:  # type: ignore[override]
        self.scope, self.to_client = scope, send
        self.runtime = running()
        self.frames: deque[float] = deque(maxlen=FRAMES)
        self.errors: deque[float] = deque(maxlen=ERRORS)
        self.waiting: deque[protocol.Command] = deque()
        self.working: asyncio.Task[None] | None = None
        try:
            while True:
                await self.dispatch(await receive())
        except StopConsumer:
            pass
        except asyncio.CancelledError:
            # the server ends, or this socket was cut off; either way there is nobody to tell
            pass
        except Exception:
            logger.exception("socket failed")
            if self.socket is not None:
                self.socket.close(protocol.UNAVAILABLE)
        finally:
            self._leave()

    async def dispatch(self, message: Any) -> None:
        kind = message["type"]
        if kind == "websocket.receive":
            await self.receive(message)
        elif kind == "websocket.connect":
            await self.connect()
        elif kind == "websocket.disconnect":
            raise StopConsumer

    async def connect(self) -> None:
        verdict = auth.origin_verdict(self.scope["headers"])
        if verdict is False:
            # before it was accepted: the server answers HTTP 403
            await self.to_client({"type": "websocket.close"})
            raise StopConsumer
        try:
            credential = await self.runtime.executor.run(
                auth.sign_in, self.scope, has_origin=verdict is not None
            )
        except Exception as error:
            logger.warning("sign_in failed error=%r", error)
            await self._accept()
            await self._refuse(protocol.UNAVAILABLE)
            return
        await self._accept()
        if credential is None:
            await self.to_client({"type": "websocket.close", "code": protocol.NOT_AUTHENTICATED})
            return
        await self._begin(credential)

    async def _accept(self) -> None:
        offered = self.scope.get("subprotocols") or []
        chosen = auth.SUBPROTOCOL if auth.SUBPROTOCOL in offered else None
        await self.to_client({"type": "websocket.accept", "subprotocol": chosen})

    async def _refuse(self, code: int) -> None:
        await self.to_client({"type": "websocket.send", "text": protocol.bye_frame(code)})
        await self.to_client({"type": "websocket.close", "code": code})

    async def _begin(self, credential: Credential) -> None:
        """Into the registry, then read, then live: whatever comes meanwhile is only noted."""
        connection = (self.scope.get("extensions") or {}).get("hub.connection")
        socket = self.socket = Socket(credential, send=self.to_client, connection=connection)
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        socket.end = task.cancel
        self.runtime.join(socket)
        epoch, since = _cursor(self.scope.get("query_string", b""))
        try:
            start = await self.runtime.executor.run(
                read_start, socket.key, epoch=epoch, since=since
            )
            socket.write(start.hello)
            socket.stand_at(start.version, epoch=start.epoch)
            if start.page is not None:
                socket.answer(start.page)
                await self.finish_answer(socket)
        except Exception as error:
            logger.warning("connect user=%s failed error=%r", socket.key, error)
            socket.close(protocol.UNAVAILABLE)
            return
        self.runtime.registry.settled(socket)

    async def finish_answer(self, socket: Socket) -> None:
        """Sends the remaining pages of an answer, each when the one before was taken."""
        while socket.cursor is not None and not socket.closed:
            await socket.drained()
            page = await self.runtime.executor.run(
                read_page, socket.key, epoch=socket.epoch, since=socket.cursor
            )
            await socket.drained()
            socket.answer(page)

    async def receive(self, message: dict[str, Any]) -> None:
        socket = self.socket
        if socket is None or socket.closed:
            return
        now = socket.heard = asyncio.get_running_loop().time()
        if len(self.frames) == FRAMES and now - self.frames[0] < FRAMES_WITHIN:
            socket.close(protocol.TOO_MANY_FRAMES)
            return
        self.frames.append(now)
        text = message.get("text")
        if _size(text, message.get("bytes")) > protocol.MAX_FRAME:
            socket.close(protocol.TOO_LARGE)
            return
        try:
            if text is None:
                raise FrameError("parse_error", "A frame is text, not binary.")
            command = protocol.parse(text)
        except FrameError as error:
            await self.refuse(error)
            return
        if isinstance(command, protocol.Pong) and command.ref is None:
            return
        self.waiting.append(command)
        if self.working is None or self.working.done():
            self.working = self.runtime.spawn(self._work(socket))
        if len(self.waiting) >= BACKLOG:
            await asyncio.wait([self.working])
            socket.heard = asyncio.get_running_loop().time()  # it was us who did not listen

    async def refuse(self, error: FrameError) -> None:
        socket = self.socket
        assert socket is not None  # noqa: S101
        await socket.put(protocol.error_frame(error))
        now = asyncio.get_running_loop().time()
        self.errors.append(now)
        if len(self.errors) == ERRORS and now - self.errors[0] < ERRORS_WITHIN:
            socket.close(protocol.TOO_MANY_ERRORS)

    async def _work(self, socket: Socket) -> None:
        """Does the socket's commands in order, one at a time, beside its pongs."""
        while self.waiting and not socket.closed:
            command = self.waiting.popleft()
            try:
                frame = await commands.do(command, socket=socket, consumer=self)
            except FrameError as error:
                error.ref = command.ref
                await self.refuse(error)
            else:
                if command.ref is not None:
                    await socket.put(frame)

    def _leave(self) -> None:
        if self.working is not None:
            self.working.cancel()
        if self.socket is not None:
            self.runtime.leave(self.socket)


def _cursor(query: bytes) -> tuple[str | None, str | None]:
    """`epoch` and `since` of the URL; of a repeated one the last counts."""
    found = parse_qs(query.decode("latin-1"), keep_blank_values=True)
    return found.get("epoch", [None])[-1], found.get("since", [None])[-1]


def _size(text: str | None, data: bytes | None) -> int:
    if text is None:
        return len(data or b"")
    # most frames are short: nothing is encoded only to be counted
    return len(text) if len(text) * 4 <= protocol.MAX_FRAME else len(text.encode())
