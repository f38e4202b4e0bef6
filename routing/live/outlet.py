"""How messages leave this process for the layer."""

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from routing.live.messages import Outgoing
from routing.live.redis_layer import Shards, is_redis


class Outlet(Protocol):
    #: The layer that it leads to.
    layer: Any
    #: Messages that it takes at a time.
    most: int

    async def send(self, messages: Sequence[Outgoing]) -> None:
        """Returns when the layer has them; of a failure it is not known which it has."""

    async def close(self) -> None: ...


def outlet_for(layer: Any) -> Outlet:
    return RedisOutlet(layer) if is_redis(layer) else LayerOutlet(layer)


class LayerOutlet:
    most = 1

    def __init__(self, layer: Any) -> None:
        self.layer = layer

    async def send(self, messages: Sequence[Outgoing]) -> None:
        for group, message in messages:
            await self.layer.group_send(group, message)

    async def close(self) -> None:
        pass


class RedisOutlet:
    """One connection to each shard; what waits is sent together, and answered together."""

    most = 100

    def __init__(self, layer: Any) -> None:
        self.layer = layer
        self._shards = Shards(layer)
        self._pools = self._shards.pools()
        self._turn = asyncio.Lock()  # in order: a message that overtakes another looks like a gap

    async def send(self, messages: Sequence[Outgoing]) -> None:
        commands: dict[int, list[tuple[str, str, bytes]]] = {}
        for group, message in messages:
            shard, name = self._shards.locate(group)
            command = ("PUBLISH", name, self.layer.serialize(message))
            commands.setdefault(shard, []).append(command)
        async with self._turn:
            for shard, due in commands.items():
                await self._ask(self._pools[shard], due)

    async def _ask(self, pool: Any, commands: list[tuple[str, str, bytes]]) -> None:
        connection = await pool.get_connection()  # one that has broken meanwhile is made anew
        try:
            packed = connection.pack_commands(commands)
            await connection.send_packed_command(packed, check_health=False)
            for _ in commands:
                await connection.read_response()
        except BaseException:
            # answers that are still to come would be taken for those of the next commands
            await connection.disconnect(nowait=True)
            raise
        finally:
            await pool.release(connection)

    async def close(self) -> None:
        for pool in self._pools:
            await pool.disconnect()
