"""How the layer's messages come into this process: one subscription, however many sockets."""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from routing.live.messages import Message
from routing.live.redis_layer import Shards, is_redis

logger = logging.getLogger(__name__)

SLICE = 0.01  # seconds of messages after which sockets get their turn
WAITED = 0.0005  # seconds between two messages that mean that the reader had to wait

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
    return RedisIntake(layer) if is_redis(layer) else LayerIntake(layer)


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
        turn = Turn()
        while True:
            message = await self._layer.receive(self._channel)
            turn.go_on()
            take(message)
            await turn.pause()

    def canary_groups(self, name: str) -> list[str]:
        return [f"hub.canary.{name}.0"]

    async def close(self) -> None:
        """A layer forgets the channel by itself when its reader is cancelled."""


class RedisIntake:
    """A connection to each shard; one that breaks ends them all."""

    def __init__(self, layer: Any) -> None:
        self._layer = layer
        self._shards = Shards(layer)
        self._pools = self._shards.pools()
        self._connections: list[Any] = []

    async def open(self) -> None:
        for pool in self._pools:
            self._connections.append(await pool.get_connection())

    async def add(self, group: str) -> None:
        await self._command("SUBSCRIBE", group)

    async def discard(self, group: str) -> None:
        await self._command("UNSUBSCRIBE", group)

    async def _command(self, command: str, group: str) -> None:
        """Redis's answer comes to the readers, who need nothing of it."""
        shard, name = self._shards.locate(group)
        connection = self._connections[shard]
        if not connection.is_connected:
            raise ConnectionError("the subscription has ended")  # it would connect again by itself
        # a health check would read the answer that a reader waits for; canaries do better
        await connection.send_command(command, name, check_health=False)

    def readers(self, take: Take) -> list[Coroutine[Any, Any, None]]:
        return [self._read(connection, take) for connection in self._connections]

    async def _read(self, connection: Any, take: Take) -> None:
        deserialize = self._layer.deserialize
        turn = Turn()
        while True:
            # returns without a pause as long as it finds something in what has come together
            # (with protocol 3, which a URL may ask for, messages are pushes)
            kind, _, data = await connection.read_response(
                disable_decoding=True, timeout=math.inf, push_request=True
            )
            if kind != b"message":
                continue
            try:
                message = deserialize(data)
            except Exception as error:
                logger.warning("message not understood error=%r", error)
                continue
            turn.go_on()
            take(message)
            await turn.pause()

    def canary_groups(self, name: str) -> list[str]:
        found: dict[int, str] = {}
        for number in range(100 * len(self._shards)):
            group = f"hub.canary.{name}.{number}"
            found.setdefault(self._shards.locate(group)[0], group)
            if len(found) == len(self._shards):
                break
        return list(found.values())

    async def close(self) -> None:
        for pool in self._pools:
            await pool.disconnect()


class Turn:
    """A reader's turn of the event loop: it ends where the reader has to wait, or after a slice."""

    __slots__ = ("_began", "_done")

    def __init__(self) -> None:
        self._began = self._done = 0.0

    def go_on(self) -> None:
        """Before a message is handled."""
        now = time.monotonic()
        if now - self._done > WAITED:
            self._began = now

    async def pause(self) -> None:
        """After it: messages that are there are answered without a wait, and others need the loop
        too."""
        self._done = time.monotonic()
        if self._done - self._began > SLICE:
            await asyncio.sleep(0)
            # what was due has been written meanwhile, which is none of the next slice
            self._began = self._done = time.monotonic()
