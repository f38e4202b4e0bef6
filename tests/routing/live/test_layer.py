"""The local layer: between threads and loops of one process, bounded, and linear."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from channels.exceptions import ChannelFull

from routing.live.layer import LocalChannelLayer
from tests.waiting import await_for

pytestmark = pytest.mark.embedded


@pytest.fixture
def layer() -> LocalChannelLayer:
    return LocalChannelLayer()


@pytest.fixture
def other_loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


async def elsewhere(loop: asyncio.AbstractEventLoop, coroutine: Any) -> Any:
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, loop))


async def test_a_group_reaches_every_member_once(layer: LocalChannelLayer) -> None:
    channels = [await layer.new_channel() for _ in range(3)]
    for channel in channels:
        await layer.group_add("g", channel)
        await layer.group_add("g", channel)
    await layer.group_discard("g", channels[2])
    await layer.group_send("g", {"n": 1})
    assert [await layer.receive(channel) for channel in channels[:2]] == [{"n": 1}] * 2
    await layer.send(channels[2], {"n": 2})
    assert await layer.receive(channels[2]) == {"n": 2}


async def test_a_message_from_another_loop_arrives_at_once(
    layer: LocalChannelLayer, other_loop: asyncio.AbstractEventLoop
) -> None:
    channel = await layer.new_channel()
    await layer.group_add("g", channel)
    receiving = asyncio.create_task(layer.receive(channel))
    await asyncio.sleep(0)
    loop = asyncio.get_running_loop()
    started = loop.time()
    await elsewhere(other_loop, layer.group_send("g", {"n": 1}))
    assert await receiving == {"n": 1}
    assert loop.time() - started < 0.5


async def test_order_is_kept(
    layer: LocalChannelLayer, other_loop: asyncio.AbstractEventLoop
) -> None:
    channel = await layer.new_channel()
    await layer.group_add("g", channel)

    async def send_many() -> None:
        for number in range(500):
            await layer.group_send("g", {"n": number})

    sending = asyncio.create_task(elsewhere(other_loop, send_many()))
    got = [(await layer.receive(channel))["n"] for _ in range(500)]
    await sending
    assert got == list(range(500))


async def test_a_slow_reader_misses_what_finds_no_room_and_is_not_forgotten() -> None:
    layer = LocalChannelLayer(capacity=3)
    channel = await layer.new_channel()
    await layer.group_add("g", channel)
    for number in range(5):
        await layer.group_send("g", {"n": number})
    assert layer.dropped == 2
    with pytest.raises(ChannelFull):
        await layer.send(channel, {"n": 9})
    assert [(await layer.receive(channel))["n"] for _ in range(3)] == [0, 1, 2]
    await layer.group_send("g", {"n": 5})
    assert await layer.receive(channel) == {"n": 5}


async def test_a_reader_who_is_cancelled_is_gone(layer: LocalChannelLayer) -> None:
    channel = await layer.new_channel()
    await layer.group_add("g", channel)
    receiving = asyncio.create_task(layer.receive(channel))
    await asyncio.sleep(0)
    receiving.cancel()
    await asyncio.wait([receiving])
    assert layer._mailboxes == {}
    assert layer._groups == {}


async def test_a_reader_whose_loop_ended_harms_nobody(layer: LocalChannelLayer) -> None:
    async def read_never() -> None:
        channel = await layer.new_channel()
        await layer.group_add("g", channel)
        asyncio.get_running_loop().create_task(layer.receive(channel))
        await asyncio.sleep(0)

    def run() -> None:
        loop = asyncio.new_event_loop()
        loop.run_until_complete(read_never())
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()

    await asyncio.to_thread(run)
    mine = await layer.new_channel()
    await layer.group_add("g", mine)
    await layer.group_send("g", {"n": 1})
    assert await layer.receive(mine) == {"n": 1}


async def test_a_group_of_many_costs_the_same_for_each(layer: LocalChannelLayer) -> None:
    """No member is looked for by walking over the others."""

    async def seconds_for(members: int) -> float:
        layer = LocalChannelLayer()
        for _ in range(members):
            await layer.group_add("g", await layer.new_channel())
        loop = asyncio.get_running_loop()
        best = 1e9
        for _ in range(5):
            started = loop.time()
            await layer.group_send("g", {"n": 1})
            best = min(best, loop.time() - started)
        return best

    small, large = await seconds_for(200), await seconds_for(4000)
    assert large / small < 20 * 6  # twenty times the members; a square would be 400


async def test_readers_share_a_channel(layer: LocalChannelLayer) -> None:
    readers = [asyncio.create_task(layer.receive("work")) for _ in range(2)]
    await asyncio.sleep(0)
    await layer.send("work", {"n": 1})
    await layer.send("work", {"n": 2})
    await await_for(lambda: all(reader.done() for reader in readers))
    assert sorted(reader.result()["n"] for reader in readers) == [1, 2]


async def test_flush_empties_it(layer: LocalChannelLayer) -> None:
    channel = await layer.new_channel()
    await layer.group_add("g", channel)
    await layer.group_send("g", {"n": 1})
    await layer.flush()
    assert layer._groups == {}
    await layer.group_send("g", {"n": 2})
    assert layer._mailboxes == {}
