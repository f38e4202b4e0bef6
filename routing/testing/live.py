"""A socket of the live road without a network: the hub's ASGI application, spoken to in process.

The runtime behind it works on the database where the test's own connection is, so it sees what a
`TestCase` has not committed.
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, ParamSpec, Self, TypeVar
from urllib.parse import urlencode

from asgiref.sync import sync_to_async
from django.test import override_settings

from notifications import tokens
from notifications.testing import settle
from notifications.testing.settling import listening
from routing.live import runtime as runtimes
from routing.live.consumer import LiveConsumer
from routing.live.executor import Executor
from routing.live.messages import key_of

P = ParamSpec("P")
T = TypeVar("T")

ANSWER = 5.0  # seconds
LOOK = 0.005  # seconds between two looks whether the road is ready
NUMBERED = ("new", "marked", "deleted")
LAYERS = {"default": {"BACKEND": "routing.live.layer.LocalChannelLayer"}}


class SocketClosed(Exception):
    """The hub closed the socket instead of sending a frame; `code` is in docs/protocol.md."""

    def __init__(self, code: int) -> None:
        super().__init__(f"the socket was closed with {code}")
        self.code = code


class LiveSocket:
    """A client of the user's, for `async` tests; `since` and `epoch` resume an earlier one.

        async with LiveSocket(alice) as socket:
            await asend_notification("post_comment", users=alice, title="Nice")
            frame = await socket.frame()
            assert frame["action"] == "new"

    `hello` is the first frame; pings are answered and not shown.
    """

    def __init__(
        self, user: Any, *, since: int | str | None = None, epoch: str | None = None
    ) -> None:
        self.user = user
        self.hello: dict[str, Any] = {}
        query = {"since": since, "epoch": epoch}
        self._query = {name: value for name, value in query.items() if value is not None}
        self._drop = self._double = 0
        self._early: deque[dict[str, Any]] = deque()
        self._frames: asyncio.Queue[dict[str, Any] | SocketClosed] = asyncio.Queue()
        self._inbound: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._road = _Road()

    async def __aenter__(self) -> Self:
        await self._road.enter()
        try:
            await sync_to_async(settle)()
            token = await sync_to_async(tokens.make)(self.user, name="test")
            scope = {
                "type": "websocket",
                "path": "/ws/notifications",
                "headers": [(b"authorization", f"Bearer {token}".encode())],
                "query_string": urlencode(self._query).encode(),
                "subprotocols": [],
            }
            self._inbound.put_nowait({"type": "websocket.connect"})
            serve: Any = LiveConsumer.as_asgi()
            self._task = asyncio.create_task(serve(scope, self._inbound.get, self._sent))
            self.hello = await self._next()
            await self._road.hears(self.user)
        except BaseException:
            await self.cut()
            raise
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.cut()

    async def cut(self) -> None:
        """The connection is lost without a word. Another socket resumes with `since`."""
        if self._task is not None:
            self._inbound.put_nowait({"type": "websocket.disconnect", "code": 1006})
            async with asyncio.timeout(ANSWER):
                await asyncio.wait([self._task])
            self._task = None
        await self._road.leave()

    def drop(self, count: int = 1) -> None:
        """The next `count` numbered frames (`new`, `marked`, `deleted`) get lost on the way."""
        self._drop += count

    def double(self, count: int = 1) -> None:
        """The next `count` numbered frames come twice."""
        self._double += count

    async def frame(self) -> dict[str, Any]:
        """The next frame, of what happened up to now. Raises `SocketClosed`, `TimeoutError`."""
        await sync_to_async(settle)()
        return await self._next()

    async def say(self, **frame: Any) -> None:
        """Sends a frame, e.g. `say(action="ack", version=3)`."""
        self._inbound.put_nowait({"type": "websocket.receive", "text": json.dumps(frame)})

    async def ask(self, **frame: Any) -> dict[str, Any]:
        """Sends a frame and returns its `done` or `error`; what comes before stays to be read."""
        ref = frame.setdefault("ref", "ask")
        await self.say(**frame)
        before = []
        while (answer := await self._next()).get("ref") != ref:
            before.append(answer)
        self._early.extend(before)
        return answer

    async def _next(self) -> dict[str, Any]:
        if self._early:
            return self._early.popleft()
        async with asyncio.timeout(ANSWER):
            found = await self._frames.get()
        if isinstance(found, SocketClosed):
            raise found
        return found

    async def _sent(self, message: dict[str, Any]) -> None:
        """What the hub sends; between it and the client frames may get lost or come twice."""
        if message["type"] == "websocket.close":
            self._frames.put_nowait(SocketClosed(message.get("code") or 1000))
            self._inbound.put_nowait({"type": "websocket.disconnect", "code": 1000})
        if message["type"] != "websocket.send":
            return
        frame = json.loads(message["text"])
        if frame["action"] == "ping":
            await self.say(action="pong")
            return
        if frame["action"] in NUMBERED and self._drop:
            self._drop -= 1
            return
        self._frames.put_nowait(frame)
        if frame["action"] in NUMBERED and self._double:
            self._double -= 1
            self._frames.put_nowait(frame)


class InTest(Executor):
    """Works where the test's connection is: on the thread of Django's own async functions."""

    def __init__(self) -> None:
        pass  # no threads of its own

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await sync_to_async(work, thread_sensitive=True)(*args, **kwargs)

    async def stop(self) -> None:
        pass

    def abandon(self) -> None:
        pass


class _Road:
    """The live road of the running event loop, from its first socket to its last."""

    _open: int = 0
    _around = ExitStack()

    def __init__(self) -> None:
        self._entered = False

    async def enter(self) -> None:
        self._entered = True
        _Road._open += 1
        if _Road._open == 1:
            # No Redis: whatever the project uses, this process is all there is.
            _Road._around.enter_context(override_settings(CHANNEL_LAYERS=LAYERS))
            _Road._around.enter_context(listening())
            runtimes.adopt(runtimes.Runtime(place=InTest())).start_parts()

    async def hears(self, user: Any) -> None:
        """Until what is announced reaches this process: a client would not know, a test shall."""
        runtime, key = runtimes.running(), key_of(user.pk)
        async with asyncio.timeout(ANSWER):
            # Neither tells of it by an event: only a test wants to know.
            while runtime.listener.deaf or not runtime.subscriptions.is_joined(key):  # noqa: ASYNC110
                await asyncio.sleep(LOOK)

    async def leave(self) -> None:
        if not self._entered:
            return
        self._entered = False
        _Road._open -= 1
        if _Road._open == 0:
            await runtimes.stop()
            _Road._around.close()
