"""How the layer's messages come into this process: one subscription, however many sockets.

Any layer is heard through its own interface. That of channels_redis on pub/sub wakes two tasks and
takes a lock for every message; there the hub subscribes over connections of its own, which hand
over at once what Redis has sent together. Names, shards, bytes and settings stay channels_redis's:
whoever calls `group_send` is heard as before. Figures: docs/performance.md.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from channels_redis.pubsub import RedisPubSubChannelLayer
from channels_redis.utils import create_pool

from routing.live.messages import Message

logger = logging.getLogger(__name__)

SLICE = 0.01  # seconds of messages after which sockets get their turn

Take = Callable[[Message], None]


class Intake(Protocol):
    """Opened, used and closed once; after any error of it another one is made."""

    async def open(self) -> None: ...

    async def add(self, group: str) -> None: ...

    async def discard(self, group: str) -> None: ...

    def readers(self, take: Take) -> list[Coroutine[Any, Any, None]]:
        """To be run side by side; they never return, and raise what ends the subscription."""

    def canary_groups(self, name: str) -> list[str]:
        """Groups of this process alone, such that every connection carries one."""

    async def close(self) -> None: ...


def intake_for(layer: Any) -> Intake:
    # a subclass may receive in a way of its own
    if type(layer) is RedisPubSubChannelLayer:
        return RedisIntake(layer)
    return LayerIntake(layer)


class LayerIntake:
    def __init__(self, layer: Any) -> None:
        self._layer = layer
        self._channel = ""

    async def open(self) -> None:
        self._channel = await self._layer.new_channel()

    async def add(self, group: str) -> None:
        await self._layer.group_add(group, self._channel)

    async def discard(self, group: str) -> None:
        await self._layer.group_discard(group, self._channel)

    def readers(self, take: Take) -> list[Coroutine[Any, Any, None]]:
        return [self._read(take)]

    async def _read(self, take: Take) -> None:
        turn = time.monotonic()
        while True:
            take(await self._layer.receive(self._channel))
            turn = await _pause(turn)

    def canary_groups(self, name: str) -> list[str]:
        return [f"hub.canary.{name}.0"]

    async def close(self) -> None:
        """A layer forgets the channel by itself when its reader is cancelled."""


class RedisIntake:
    """Several shards are several connections; one that breaks ends them all."""

    def __init__(self, layer: Any) -> None:
        self._layer = layer
        self._inner = layer._get_layer()
        self._pools: list[Any] = []
        self._connections: list[Any] = []

    async def open(self) -> None:
        for shard in self._inner._shards:
            # with protocol 3 redis-py hands messages to a callback, one task switch each
            pool = create_pool({**shard.host, "protocol": 2})
            self._pools.append(pool)
            self._connections.append(await pool.get_connection())

    async def add(self, group: str) -> None:
        await self._command("SUBSCRIBE", group)

    async def discard(self, group: str) -> None:
        await self._command("UNSUBSCRIBE", group)

    async def _command(self, command: str, group: str) -> None:
        """Redis's answer comes to the readers, who need nothing of it."""
        name = self._inner._get_group_channel_name(group)
        connection = self._connections[self._shard(name)]
        if not connection.is_connected:
            raise ConnectionError("the subscription has ended")  # it would connect again by itself
        # a health check would read the answer that a reader waits for; canaries do better
        await connection.send_command(command, name, check_health=False)

    def _shard(self, name: str) -> int:
        shards: list[Any] = self._inner._shards
        return shards.index(self._inner._get_shard(name))

    def readers(self, take: Take) -> list[Coroutine[Any, Any, None]]:
        return [self._read(connection, take) for connection in self._connections]

    async def _read(self, connection: Any, take: Take) -> None:
        deserialize = self._layer.deserialize
        turn = time.monotonic()
        while True:
            # returns without a pause as long as it finds something in what has come together
            kind, _, data = await connection.read_response(disable_decoding=True, timeout=math.inf)
            if kind != b"message":
                continue
            try:
                message = deserialize(data)
            except Exception as error:
                logger.warning("message not understood error=%r", error)
                continue
            take(message)
            turn = await _pause(turn)

    def canary_groups(self, name: str) -> list[str]:
        found: dict[int, str] = {}
        shards = len(self._inner._shards)
        for number in range(100 * shards):
            group = f"hub.canary.{name}.{number}"
            found.setdefault(self._shard(self._inner._get_group_channel_name(group)), group)
            if len(found) == shards:
                break
        return list(found.values())

    async def close(self) -> None:
        pools, self._pools, self._connections = self._pools, [], []
        for pool in pools:
            await pool.disconnect()


async def _pause(turn: float) -> float:
    """Others need the loop too: messages that are there are answered without one. `turn` is when
    they last had it, by time.monotonic()."""
    now = time.monotonic()
    if now - turn <= SLICE:
        return turn
    await asyncio.sleep(0)
    return now
