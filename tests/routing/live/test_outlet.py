"""What leaves over connections of our own is heard as if the layer had been told, and in order."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from channels_redis.pubsub import RedisPubSubChannelLayer

from routing.live.layer import LocalChannelLayer
from routing.live.outlet import LayerOutlet, Outlet, outlet_for
from tests.waiting import await_for

pytestmark = pytest.mark.production

GROUPS = [f"hub.user.i.{number}" for number in range(12)]


@pytest.fixture
async def layer(redis_server: Any) -> AsyncIterator[RedisPubSubChannelLayer]:
    """On three shards, which are the same server here."""
    made = RedisPubSubChannelLayer(
        hosts=[redis_server.url] * 3, symmetric_encryption_keys=["a key"]
    )
    yield made
    await made.flush()


@pytest.fixture
async def outlet(layer: Any) -> AsyncIterator[Outlet]:
    made = outlet_for(layer)
    yield made
    await made.close()


async def listening(layer: Any, redis_server: Any) -> str:
    """A channel of the layer in all groups."""
    import redis

    channel: str = await layer.new_channel()
    for group in GROUPS:
        await layer.group_add(group, channel)
    names = [f"asgi__group__{group}" for group in GROUPS]
    with redis.Redis.from_url(redis_server.url) as client:
        await await_for(lambda: all(count for _, count in client.pubsub_numsub(*names)))
    return channel


def numbered(begin: int, end: int) -> list[tuple[str, dict[str, Any]]]:
    return [
        (GROUPS[number % len(GROUPS)], {"type": "hub.probe", "number": number})
        for number in range(begin, end)
    ]


async def take(layer: Any, channel: str, number: int) -> list[int]:
    async with asyncio.timeout(10):
        return [(await layer.receive(channel))["number"] for _ in range(number)]


async def test_every_message_is_heard_and_those_of_a_group_in_order(
    layer: Any, outlet: Outlet, redis_server: Any
) -> None:
    channel = await listening(layer, redis_server)
    # side by side, as the publisher's workers call it
    await asyncio.gather(*(outlet.send(numbered(at, at + 100)) for at in range(0, 600, 100)))
    heard = await take(layer, channel, 600)
    assert sorted(heard) == list(range(600))
    for group in range(len(GROUPS)):
        of_group = [number for number in heard if number % len(GROUPS) == group]
        assert of_group == sorted(of_group)


async def test_connections_that_broke_meanwhile_lose_nothing(
    layer: Any, outlet: Outlet, redis_server: Any
) -> None:
    import redis

    await outlet.send(numbered(0, 12))
    with redis.Redis.from_url(redis_server.url) as client:
        client.client_kill_filter(_type="normal", skipme=True)
    channel = await listening(layer, redis_server)
    await outlet.send(numbered(12, 24))
    assert sorted(await take(layer, channel, 12)) == list(range(12, 24))


async def test_after_an_error_the_next_answers_are_not_taken_for_the_old_ones(
    layer: Any, outlet: Outlet, redis_server: Any
) -> None:
    import redis

    channel = await listening(layer, redis_server)
    with redis.Redis.from_url(redis_server.url) as client:
        client.execute_command("ACL", "SETUSER", "default", "-publish")
        with pytest.raises(redis.ResponseError):
            await outlet.send(numbered(0, 50))
        client.execute_command("ACL", "SETUSER", "default", "+publish")
    await outlet.send(numbered(50, 100))
    assert sorted(await take(layer, channel, 50)) == list(range(50, 100))


async def test_a_redis_that_hangs_is_not_waited_for_and_leaves_no_answers_behind(
    layer: Any, outlet: Outlet, redis_server: Any
) -> None:
    channel = await listening(layer, redis_server)
    await outlet.send(numbered(0, 12))
    await take(layer, channel, 12)
    redis_server.pause()
    try:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await outlet.send(numbered(0, 12))
    finally:
        redis_server.resume()
    await outlet.send(numbered(100, 112))
    heard: list[int] = []
    while not set(range(100, 112)) <= set(heard):
        heard += await take(layer, channel, 1)


def test_any_other_layer_is_told_by_its_own_interface() -> None:
    assert isinstance(outlet_for(LocalChannelLayer()), LayerOutlet)
