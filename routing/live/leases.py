"""Writes who looks and what they acknowledged, in batches: never in a connect itself."""

import asyncio
import logging

from routing import presence
from routing.live.executor import Executor
from routing.live.messages import Key
from routing.live.registry import Registry, UserSockets

logger = logging.getLogger(__name__)

EVERY = 0.5  # seconds between two looks at who has news
RENEW = 20.0  # seconds after which a lease is written again
CHUNK = 200  # users per statement
FAULT_PAUSE = 2.0  # seconds after a write that failed


class Leases:
    def __init__(self, registry: Registry, executor: Executor) -> None:
        self._registry = registry
        self._executor = executor

    def acknowledge(self, key: Key, *, version: int, epoch: str) -> None:
        user = self._registry.users.get(key)
        if user is None:
            return
        if user.acked_epoch != epoch:
            user.acked_epoch, user.acked = epoch, version
        elif version > user.acked:
            user.acked = version
        else:
            return
        user.leased = None

    async def run(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            now = asyncio.get_running_loop().time()
            due = [
                user
                for user in self._registry.users.values()
                if user.leased is None or now - user.leased >= RENEW
            ]
            due.sort(key=lambda user: user.key)
            for start in range(0, len(due), CHUNK):
                await self._write(due[start : start + CHUNK], now)

    async def _write(self, users: list[UserSockets], now: float) -> None:
        rows = [(user.key, user.acked_epoch, user.acked) for user in users]
        for user in users:
            user.leased = now
        try:
            await self._executor.run(presence.hold, rows)
        except Exception as error:
            logger.warning("presence failed users=%d error=%r", len(users), error)
            for user in users:
                user.leased = None
            await asyncio.sleep(FAULT_PAUSE)
