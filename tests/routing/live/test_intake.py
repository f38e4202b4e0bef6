"""What another process tells a group comes in, over every shard, whatever else comes with it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from channels_redis.pubsub import RedisPubSubChannelLayer

from routing.live.intake import Intake, LayerIntake, RedisIntake, intake_for
from routing.live.layer import LocalChannelLayer
from routing.live.messages import Message
from tests.waiting import await_for

pytestmark = pytest.mark.production

HINT = {"type": "hub.hint", "user": 7, "version": 3}


@contextlib.asynccontextmanager
async def reading(layer: Any) -> AsyncIterator[tuple[Intake, list[Message]]]:
    intake, heard = intake_for(layer), list[Message]()
    await intake.open()
    tasks = [asyncio.ensure_future(reader) for reader in intake.readers(heard.append)]
    try:
        yield intake, heard
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await intake.close()
        await layer.flush()


@pytest.mark.parametrize(
    ("options", "more"),
    [
        ("", {}),
        ("", {"symmetric_encryption_keys": ["a key"]}),
        ("", {"prefix": "another"}),
        ("?protocol=3", {}),
        ("?decode_responses=true", {"symmetric_encryption_keys": ["a key"]}),
    ],
)
async def test_every_group_of_every_shard_is_heard(
    redis_server: Any, options: str, more: Any
) -> None:
    def layer() -> RedisPubSubChannelLayer:
        return RedisPubSubChannelLayer(hosts=[redis_server.url + options] * 3, **more)

    sender = RedisPubSubChannelLayer(hosts=[redis_server.url] * 3, **more)
    async with reading(layer()) as (intake, heard):
        assert isinstance(intake, RedisIntake)
        groups = [*intake.canary_groups("me"), *(f"hub.user.i.{number}" for number in range(20))]
        for group in groups:
            await intake.add(group)

        async def all_heard() -> bool:
            heard.clear()
            for group in groups:
                await sender.group_send(group, {"type": "hub.probe", "group": group})
            await asyncio.sleep(0.05)
            return {one["group"] for one in heard} == set(groups)

        await await_for(all_heard)
        await intake.discard(groups[0])

        async def gone() -> bool:
            return not await all_heard() and {one["group"] for one in heard} == set(groups[1:])

        await await_for(gone)
    await sender.flush()


async def test_what_is_no_message_costs_only_itself(redis_server: Any) -> None:
    import redis

    async with reading(RedisPubSubChannelLayer(hosts=[redis_server.url])) as (intake, heard):
        await intake.add("hub.everybody")
        with redis.Redis.from_url(redis_server.url) as client:
            await await_for(lambda: client.pubsub_numsub("asgi__group__hub.everybody")[0][1] == 1)
            client.publish("asgi__group__hub.everybody", b"\xc1 this is not msgpack")
        layer = RedisPubSubChannelLayer(hosts=[redis_server.url])
        await layer.group_send("hub.everybody", HINT)
        await await_for(lambda: heard == [HINT])
        await layer.flush()


async def test_a_lost_connection_is_told_and_nothing_connects_again_by_itself(
    redis_server: Any,
) -> None:
    import redis

    intake = intake_for(RedisPubSubChannelLayer(hosts=[redis_server.url]))
    await intake.open()
    [reader] = [asyncio.ensure_future(one) for one in intake.readers(lambda message: None)]
    await intake.add("hub.everybody")
    with redis.Redis.from_url(redis_server.url) as client:
        await await_for(lambda: client.pubsub_numsub("asgi__group__hub.everybody")[0][1] == 1)
        client.client_kill_filter(_type="pubsub")
        with pytest.raises(redis.ConnectionError):
            await asyncio.wait_for(reader, 5)
        with pytest.raises(ConnectionError):
            await intake.add("hub.user.i.1")
        assert client.pubsub_channels("asgi__group__hub.*") == []
    await intake.close()


def test_any_other_layer_is_heard_by_its_own_interface() -> None:
    class Own(RedisPubSubChannelLayer):  # type: ignore[misc]
        async def receive(self, channel: str) -> Any:
            raise NotImplementedError

    assert isinstance(intake_for(LocalChannelLayer()), LayerIntake)
    assert isinstance(intake_for(Own()), LayerIntake)
