"""Hands messages to the layer without ever making a sender wait, or fail.

One thread with its own event loop per process keeps the connection open. What it carries are
hints: a full buffer, a dead Redis or a killed process loses them, and reconcile makes up for it.
"""

import asyncio
import atexit
import logging
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Iterable
from typing import Any

from channels.layers import get_channel_layer

from routing.live import measures
from routing.live.layer import LocalChannelLayer
from routing.live.messages import Outgoing
from routing.live.outlet import LayerOutlet, Outlet, outlet_for

logger = logging.getLogger(__name__)

BUFFER = 10_000  # messages that may wait; more are dropped
AT_ONCE = 8  # calls to the layer at the same time
SEND_LIMIT = 3.0  # seconds for one message: a paused Redis must not hold the others for ever
FLUSH_LIMIT = 1.0  # seconds a process that ends waits for its last messages
LOG_EVERY = 10.0  # seconds between two lines about failures


class Publisher:
    """Use `publish` of this module; this class is one process's thread and buffer."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        #: Messages that found the buffer full, and such that the layer did not take.
        self.dropped = 0
        self.failed = 0
        self._buffer: deque[Outgoing] = deque()
        self._busy = 0
        self._outlet: Outlet = LayerOutlet(None)
        self._idle = threading.Condition()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self._logged = -LOG_EVERY

    def publish(self, messages: Iterable[Outgoing]) -> None:
        with self._idle:
            if self._thread is None:
                self._start()
            for message in messages:
                if len(self._buffer) >= BUFFER:
                    self.dropped += 1
                    measures.MESSAGES.add("dropped")
                else:
                    self._buffer.append(message)
        assert self._loop is not None and self._wake is not None  # noqa: S101 - set by _start
        self._loop.call_soon_threadsafe(self._wake.set)

    def flush(self, limit: float = FLUSH_LIMIT) -> bool:
        """Waits until everything is handed over; False when `limit` seconds were not enough."""
        with self._idle:
            return self._idle.wait_for(lambda: not self._buffer and not self._busy, limit)

    def close(self) -> None:
        self.flush()
        if self._thread is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(FLUSH_LIMIT)

    def _start(self) -> None:
        self._loop = _Loop()
        self._wake = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="hub-publisher", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        loop = self._loop
        assert loop is not None  # noqa: S101
        asyncio.set_event_loop(loop)
        tasks = [loop.create_task(self._work()) for _ in range(AT_ONCE)]
        try:
            loop.run_forever()
        finally:
            for task in tasks:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            loop.run_until_complete(self._outlet.close())
            loop.close()

    async def _work(self) -> None:
        assert self._wake is not None  # noqa: S101
        while True:
            messages = self._take()
            if not messages:
                self._wake.clear()
                # between the look and the clearing somebody may have put one in
                if not self._buffer:
                    await self._wake.wait()
                continue
            try:
                await self._send(messages)
            finally:
                with self._idle:
                    self._busy -= len(messages)
                    self._idle.notify_all()

    def _take(self) -> list[Outgoing]:
        with self._idle:
            number = min(len(self._buffer), self._outlet.most)
            self._busy += number
            return [self._buffer.popleft() for _ in range(number)]

    async def _send(self, messages: list[Outgoing]) -> None:
        try:
            layer = get_channel_layer()
            if layer is None:
                return  # a project without one: reported by the system checks
            async with asyncio.timeout(SEND_LIMIT):
                await (await self._leading_to(layer)).send(messages)
            measures.MESSAGES.add("sent", by=len(messages))
        except Exception as error:
            self.failed += len(messages)
            measures.MESSAGES.add("failed", by=len(messages))
            if time.monotonic() - self._logged >= LOG_EVERY:
                self._logged = time.monotonic()
                logger.warning(
                    "publish failed=%d dropped=%d error=%r", self.failed, self.dropped, error
                )

    async def _leading_to(self, layer: Any) -> Outlet:
        outlet = self._outlet
        if outlet.layer is not layer:
            self._outlet = outlet_for(layer)
            await outlet.close()
        return self._outlet


class _Loop(asyncio.SelectorEventLoop):
    """Resolves names also while the interpreter ends, when no thread can be started any more:
    a command that sends one notification connects to Redis only then."""

    async def getaddrinfo(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return await super().getaddrinfo(*args, **kwargs)
        except RuntimeError:
            return socket.getaddrinfo(*args, **kwargs)


_publisher = Publisher()


def publisher() -> Publisher:
    """This process's own one: after a fork neither thread nor connection of the parent serve."""
    global _publisher
    if _publisher.pid != os.getpid():
        _publisher = Publisher()
    return _publisher


def publish(messages: Iterable[Outgoing]) -> None:
    """Returns at once and never raises. Where nobody could hear them they are not even made: the
    local layer reaches this process alone, and waking the thread costs a sender as much as asking
    the database."""
    try:
        layer: Any = get_channel_layer()
        if not isinstance(layer, LocalChannelLayer) or layer.has_members:
            publisher().publish(list(messages))
    except Exception:
        logger.exception("publish failed")


@atexit.register
def _at_exit() -> None:
    publisher().close()
