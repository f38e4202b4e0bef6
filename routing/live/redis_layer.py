"""What the hub uses of channels_redis on pub/sub: its settings, shards, names and serializer.

Over its interface every message that comes in wakes two tasks, and every one that goes out is a
round trip of its own. `intake.py` and `outlet.py` speak to the same Redis in bulk; whoever uses
the layer itself hears them and is heard. Figures: docs/performance.md.
"""

import sys
from typing import Any


def is_redis(layer: Any) -> bool:
    # whoever has such a layer has imported it; a subclass may send and receive in a way of its own
    module = sys.modules.get("channels_redis.pubsub")
    return module is not None and type(layer) is module.RedisPubSubChannelLayer


class Shards:
    """The Redis servers of a layer; belongs to the event loop that it was made in."""

    def __init__(self, layer: Any) -> None:
        self._inner = layer._get_layer()
        self._shards: list[Any] = self._inner._shards

    def __len__(self) -> int:
        return len(self._shards)

    def pools(self) -> list[Any]:
        """A pool of connections to each, of redis-py, not connected yet."""
        from channels_redis.utils import create_pool  # late: with it comes all of redis-py

        # with protocol 3 redis-py hands messages to a callback, each by a task switch
        return [create_pool({**shard.host, "protocol": 2}) for shard in self._shards]

    def locate(self, group: str) -> tuple[int, str]:
        """Which of them carries the group, and under which name."""
        name: str = self._inner._get_group_channel_name(group)
        return self._shards.index(self._inner._get_shard(name)), name
