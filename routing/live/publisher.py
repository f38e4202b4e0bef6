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
from routing.live.messages import Outgoing

logger = logging.getLogger(__name__)

BUFFER = 10_000  # messages that may wait; more are dropped
AT_ONCE = 8  # messages handed to the layer at the same time
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
            loop.close()

    async def _work(self) -> None:
        assert self._wake is not None  # noqa: S101
        while True:
            message = self._take()
            if message is None:
                self._wake.clear()
                # between the look and the clearing somebody may have put one in
                if not self._buffer:
                    await self._wake.wait()
                continue
            try:
                await self._send(*message)
            finally:
                with self._idle:
                    self._busy -= 1
                    self._idle.notify_all()

    def _take(self) -> Outgoing | None:
        with self._idle:
            if not self._buffer:
                return None
            self._busy += 1
            return self._buffer.popleft()

    async def _send(self, group: str, message: dict[str, Any]) -> None:
        try:
            layer = get_channel_layer()
            if layer is None:
                return  # a project without one: reported by the system checks
            async with asyncio.timeout(SEND_LIMIT):
                await layer.group_send(group, message)
            measures.MESSAGES.add("sent")
        except Exception as error:
            self.failed += 1
            measures.MESSAGES.add("failed")
            if time.monotonic() - self._logged >= LOG_EVERY:
                self._logged = time.monotonic()
                logger.warning(
                    "publish failed=%d dropped=%d error=%r", self.failed, self.dropped, error
                )


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
    """Returns at once and never raises."""
    try:
        publisher().publish(messages)
    except Exception:
        logger.exception("publish failed")


@atexit.register
def _at_exit() -> None:
    publisher().close()
