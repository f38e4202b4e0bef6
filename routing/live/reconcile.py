"""Compares what connected users were sent with their inboxes: the bound on every lost hint.

One query per process and round. It finds lost messages, changes that other processes made, new
epochs, broadcasts to take in and what is due to expire.
"""

import asyncio
import logging
import random
import time
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from notifications import inbox
from routing.live.executor import Executor
from routing.live.messages import Key, key_of
from routing.live.registry import Registry

logger = logging.getLogger(__name__)

CHUNK = 1_000  # users per query
WRITE_CHUNK = 500  # users per transaction of a take-in
WRITE_PAUSE = 0.005  # seconds between two of them, for other writers
DEAF_EVERY = 1.0  # seconds between rounds while the layer is deaf
LEAST_PAUSE = 0.2  # seconds between any two rounds


class Reconciler:
    def __init__(self, registry: Registry, executor: Executor, *, every: timedelta) -> None:
        self.deaf = True
        #: When all connected users were last compared with the database, of time.monotonic().
        self.compared_at = time.monotonic()
        self._registry = registry
        self._executor = executor
        self._every = every.total_seconds()
        self._wake = asyncio.Event()
        self._all = False
        self._soon: set[Key] = set()
        self._broadcast = 0
        self._timers: set[asyncio.TimerHandle] = set()

    def now(self) -> None:
        """Something has changed somewhere: a round over all connected users."""
        self._all = True
        self._wake.set()

    def soon(self, key: Key, delay: float) -> None:
        """This user in `delay` seconds."""
        loop = asyncio.get_running_loop()

        def due() -> None:
            self._timers.discard(timer)
            self._soon.add(key)
            self._wake.set()

        timer = loop.call_later(delay, due)
        self._timers.add(timer)

    def turned(self, deaf: bool) -> None:
        """The layer was lost or is back: either way something may have passed unheard."""
        self.deaf = deaf
        self.now()

    def heard_broadcast(self, number: int) -> None:
        self._broadcast = max(self._broadcast, number)
        self._wake.set()

    def stop(self) -> None:
        for timer in self._timers:
            timer.cancel()

    async def run(self) -> None:
        taken = 0
        while True:
            try:
                async with asyncio.timeout(self._pause()):
                    await self._wake.wait()
            except TimeoutError:
                self._all = True
            self._wake.clear()
            everybody, self._all = self._all, False
            soon, self._soon = self._soon, set()
            try:
                if taken < self._broadcast:
                    number = self._broadcast
                    await self._take_in(list(self._registry.users))
                    taken = number
                await self._compare(list(self._registry.users) if everybody else soon)
                if everybody:
                    self.compared_at = time.monotonic()
            except Exception as error:
                logger.warning("reconcile failed error=%r", error)
                self._all = True
                self._wake.set()
                await asyncio.sleep(DEAF_EVERY)
            await asyncio.sleep(LEAST_PAUSE)

    def _pause(self) -> float:
        every = min(self._every, DEAF_EVERY) if self.deaf else self._every
        return every * random.uniform(0.75, 1.25)  # noqa: S311 - jitter

    async def _compare(self, keys: Iterable[Key]) -> None:
        wanted = sorted(key for key in keys if key in self._registry.users)
        for start in range(0, len(wanted), CHUNK):
            chunk = wanted[start : start + CHUNK]
            for key in chunk:
                user = self._registry.users.get(key)
                for socket in user.sockets if user else ():
                    # what is sent later may be newer than what the query sees
                    socket.checked = socket.sent if socket.live else None
            positions = await self._executor.run(inbox.positions, chunk)
            await self._judge(chunk, positions)

    async def _judge(self, keys: list[Key], positions: inbox.Positions) -> None:
        stands = {key_of(user_id): stand for user_id, stand in positions.inboxes.items()}
        behind, over = [], []
        for key in keys:
            stand = stands.get(key)
            if stand is None:
                continue  # no such user any more
            self._look(key, stand, epoch=positions.epoch)
            if stand.broadcast < positions.broadcast:
                behind.append(key)
            if stand.expiry_due:
                over.append(key)
        if behind:
            await self._take_in(behind)
        if over:
            await self._executor.run(inbox.expire, over)

    def _look(self, key: Key, stand: Any, *, epoch: str) -> None:
        user = self._registry.users.get(key)
        if user is None:
            return
        for socket in user.sockets:
            if socket.checked is None:
                continue
            if socket.epoch != epoch or stand.version < socket.checked:
                # a read from where it stands answers `reset`
                socket.stale = True
        self._registry.hint(key, version=stand.version)

    async def _take_in(self, keys: list[Key]) -> None:
        wanted = sorted(keys)
        for start in range(0, len(wanted), WRITE_CHUNK):
            await self._executor.run(inbox.take_in, wanted[start : start + WRITE_CHUNK])
            await asyncio.sleep(WRITE_PAUSE)
