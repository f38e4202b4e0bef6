"""Closes sockets whose session, token or user has ended: regularly, and at once on a hint."""

import asyncio
import logging
import random
from datetime import timedelta

from routing.live.credentials import ended
from routing.live.executor import Executor
from routing.live.messages import Key
from routing.live.protocol import NOT_AUTHENTICATED
from routing.live.registry import Registry
from routing.live.sockets import Socket

logger = logging.getLogger(__name__)

#: Seconds after a hint: word of a logout goes out before the session itself is gone.
AFTER_HINT = (0.1, 0.7, 3.0)
FAULT_PAUSE = 3.0  # seconds after a look that failed
CHUNK = 2_000  # sockets looked at in one go


class Verifier:
    def __init__(self, registry: Registry, executor: Executor, *, every: timedelta) -> None:
        self._registry = registry
        self._executor = executor
        self._every = every.total_seconds()
        self._hinted: set[Key] = set()
        self._wake = asyncio.Event()
        self._timers: set[asyncio.TimerHandle] = set()

    def hint(self, key: Key) -> None:
        """Something of this user's may have ended."""
        if key not in self._registry.users:
            return
        for delay in AFTER_HINT:
            self._later(key, delay)

    def _later(self, key: Key, delay: float) -> None:
        def due() -> None:
            self._timers.discard(timer)
            self._hinted.add(key)
            self._wake.set()

        timer = asyncio.get_running_loop().call_later(delay, due)
        self._timers.add(timer)

    def stop(self) -> None:
        for timer in self._timers:
            timer.cancel()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        next_round = loop.time() + self._pause()
        while True:
            try:
                async with asyncio.timeout_at(next_round):
                    await self._wake.wait()
                self._wake.clear()
                hinted, self._hinted = self._hinted, set()
                users = [self._registry.users[key] for key in hinted if key in self._registry.users]
                await self._verify([socket for user in users for socket in user.sockets])
            except TimeoutError:
                whole = await self._verify(self._registry.sockets())
                next_round = loop.time() + (self._pause() if whole else FAULT_PAUSE)

    def _pause(self) -> float:
        return self._every * random.uniform(0.75, 1.0)  # noqa: S311 - jitter

    async def _verify(self, sockets: list[Socket]) -> bool:
        """Whether all of them could be looked at."""
        try:
            for start in range(0, len(sockets), CHUNK):
                chunk = sockets[start : start + CHUNK]
                gone = await self._executor.run(ended, {socket.credential for socket in chunk})
                for socket in chunk:
                    if socket.credential in gone:
                        logger.info("socket ended user=%s", socket.key)
                        socket.close(NOT_AUTHENTICATED)
        except Exception as error:
            logger.warning("verification failed error=%r", error)
            return False
        return True
