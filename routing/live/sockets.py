"""One open socket: where it stands, and how a frame is written to it without waiting.

Its state is a few numbers. There is no queue: while the client does not take what was written,
nothing more is, and afterwards the socket reads what it missed from the database.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, Protocol

from routing.live.credentials import Credential
from routing.live.messages import Key
from routing.live.protocol import TOO_SLOW, bye_frame, payload_of, reset_frame
from routing.live.reading import Page

logger = logging.getLogger(__name__)

DRAIN_LIMIT = 10.0  # seconds in which a client takes what was written

Send = Callable[[dict[str, Any]], Coroutine[Any, Any, None]]


class Connection(Protocol):
    """What a server of ours gives beyond ASGI, as the scope's extension `hub.connection`."""

    def attach(self, socket: "Socket") -> Callable[[bytes], object]:
        """Returns what writes ready frames, at once and whole, and is harmless when it is closed.
        From now on the socket is told by `hold` when the buffer is full."""

    def cut(self, code: int, bye: str) -> None:
        """Ends a connection whose client takes nothing, with a last frame and a close code."""


class Socket:
    """Belongs to its event loop; all of its methods return at once unless they are coroutines."""

    __slots__ = (
        "_connection",
        "_deadline",
        "_due",
        "_ready",
        "_rest",
        "_send",
        "blocked",
        "checked",
        "closed",
        "credential",
        "cursor",
        "end",
        "epoch",
        "heard",
        "highest",
        "key",
        "live",
        "on_drain",
        "on_due",
        "sent",
        "stale",
    )

    def __init__(
        self, credential: Credential, *, send: Send, connection: Connection | None = None
    ) -> None:
        self.key: Key = credential.key
        self.credential = credential
        #: Where it stands, and the highest version at which it ever stood in this epoch.
        self.sent = 0
        self.highest = 0
        self.epoch = ""
        #: The rest of an unfinished answer: until it is sent no live frame comes in between.
        self.cursor: str | None = None
        #: Whether live frames and reads are for it now: hello is out, no answer is under way.
        self.live = False
        #: Reconcile found that it cannot be right; only a read tells.
        self.stale = False
        #: `sent` when the running reconcile began; None if it was not live then.
        self.checked: int | None = None
        #: A write that the server has not taken yet is under way.
        self.blocked = False
        self.closed = False
        self.heard = asyncio.get_running_loop().time()
        self.on_drain: Callable[[Socket], None] = _nothing
        #: Is told that frames are due; whoever it is calls `flush` before the loop waits again.
        self.on_due: Callable[[Socket], None] = Socket.flush
        #: Ends the application behind the socket, where the server cannot be told to.
        self.end: Callable[[], object] = _nothing
        self._send = send
        self._connection = connection
        #: Takes ready frames (`protocol.ready`); None: the server makes frames by itself.
        self._ready = None if connection is None else connection.attach(self)
        #: The ready frame that the transport does not have yet, or those.
        self._due: bytes | list[bytes] | None = None
        self._rest: asyncio.Task[None] | None = None
        self._deadline: asyncio.TimerHandle | None = None

    @property
    def ready(self) -> bool:
        """Whether a frame may be written to it now."""
        return self.live and not self.blocked and not self.closed

    @property
    def position(self) -> tuple[str, int | str]:
        """From where it goes on: epoch, and version or the cursor of the next page."""
        return self.epoch, self.sent if self.cursor is None else self.cursor

    def is_behind(self, known: int) -> bool:
        return self.stale or self.cursor is not None or self.sent < known

    def stand_at(self, version: int, *, epoch: str) -> None:
        if epoch != self.epoch:
            self.epoch, self.highest = epoch, 0
        self.sent = version
        self.highest = max(self.highest, version)

    def offer(self, version: int, frame: bytes) -> bool:
        """A live frame, ready, taken if it is the very next one. False: the socket is behind.
        What is taken in one turn of the loop is written together."""
        # the hottest lines of the hub: `ready` and `stand_at` are written out
        if not self.live or self.blocked or self.closed or self.cursor is not None:
            return False
        due = self.sent + 1
        if version != due:
            return version < due
        self.sent = due
        if due > self.highest:
            self.highest = due
        if self._due is None:
            if self._ready is None:
                self.write(payload_of(frame).decode())
            else:
                self._due = frame
                self.on_due(self)
        elif isinstance(self._due, list):
            self._due.append(frame)
        else:
            self._due = [self._due, frame]
        return True

    def flush(self) -> None:
        """Writes the frames that are due."""
        frames, self._due = self._due, None
        if frames is None or self._ready is None or self.closed:
            return
        try:
            self._ready(b"".join(frames) if isinstance(frames, list) else frames)
        except Exception:
            self.closed = True  # as in `_drive`; others are due behind it

    def hold(self, room: Callable[[], Awaitable[object]]) -> None:
        """The server's buffer is full: nothing more is written until `room` returns."""
        if not self.blocked and not self.closed:
            self._block(room)

    def answer(self, page: Page) -> None:
        """A page that was read from where the socket stands."""
        self.stale = False
        if page.reset:
            self.cursor = None
            self.highest = 0
            self.stand_at(page.version, epoch=page.epoch)
            self.write(reset_frame())
            return
        self.cursor = page.cursor
        self.stand_at(page.version, epoch=page.epoch)
        self.write(page.frame)

    def write(self, frame: str) -> None:
        """Hands a frame to the server, behind those that are due; not while it is blocked."""
        self.flush()
        if not self.closed:
            self._drive({"type": "websocket.send", "text": frame})

    async def put(self, frame: str) -> None:
        """Writes a frame that must not be left out, when there is room."""
        await self.drained()
        self.write(frame)

    async def drained(self) -> None:
        while self._rest is not None and not self._rest.done():
            await asyncio.wait([self._rest])

    def close(self, code: int) -> None:
        """Says bye and closes. A client that takes nothing cannot be told: it is cut off."""
        if self.closed:
            return
        bye = bye_frame(code)
        if not self.blocked:
            self.write(bye)
        self.closed = True
        if self.blocked:
            self._cut_off(code, bye)
        else:
            self._drive({"type": "websocket.close", "code": code})

    def leave(self) -> None:
        """The application behind it ends."""
        self.closed = True
        self.live = False
        self.on_drain = _nothing
        if self._rest is not None:
            self._rest.cancel()
        if self._deadline is not None:
            self._deadline.cancel()

    def _drive(self, message: dict[str, Any]) -> None:
        """Runs the server's `send` as far as it goes: usually to its end, without a task."""
        step = self._send(message)
        if not hasattr(step, "send"):
            step = _as_coroutine(step)
        try:
            waits_for = step.send(None)
        except StopIteration:
            return
        except Exception:
            # the client is gone; the server tells the application by itself
            self.closed = True
            return
        self._block(lambda: _Rest(step, waits_for))

    def _block(self, room: Callable[[], Awaitable[object]]) -> None:
        """Nothing more is written until the server has taken what it was given."""
        if self.blocked and self._rest is not None:
            self._rest.cancel()  # by the frames that were due before this one: for the same buffer
        self.blocked = True
        loop = asyncio.get_running_loop()
        self._rest = loop.create_task(self._unblock(room))
        if self._deadline is None:
            self._deadline = loop.call_later(DRAIN_LIMIT, self._too_slow)

    async def _unblock(self, room: Callable[[], Awaitable[object]]) -> None:
        try:
            await room()
        except Exception:
            self.closed = True
        self.blocked = False
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self.on_drain(self)

    def _too_slow(self) -> None:
        if not self.closed:
            logger.info("socket too_slow user=%s", self.key)
            self.closed = True
        self._cut_off(TOO_SLOW, bye_frame(TOO_SLOW))

    def _cut_off(self, code: int, bye: str) -> None:
        if self._connection is not None:
            self._connection.cut(code, bye)
        self.end()


class _Rest:
    """The rest of a coroutine that was driven by hand up to its first wait."""

    def __init__(self, step: Coroutine[Any, Any, None], waits_for: Any) -> None:
        self.step = step
        self.waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, None]:
        waits_for = self.waits_for
        while True:
            try:
                got = yield waits_for
            except BaseException as error:
                resume: Callable[[], Any] = _throwing(self.step, error)
            else:
                resume = _sending(self.step, got)
            try:
                waits_for = resume()
            except StopIteration:
                return


def _throwing(step: Coroutine[Any, Any, None], error: BaseException) -> Callable[[], Any]:
    return lambda: step.throw(error)


def _sending(step: Coroutine[Any, Any, None], got: Any) -> Callable[[], Any]:
    return lambda: step.send(got)


async def _as_coroutine(step: Any) -> None:
    await step


def _nothing(*_: object) -> None:
    pass
