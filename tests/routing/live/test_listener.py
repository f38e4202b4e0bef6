"""The one subscription survives every fault of the layer, and knows when it is deaf."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from routing.live import listener as module
from routing.live import runtime as runtimes
from routing.live.intake import intake_for
from routing.live.layer import LocalChannelLayer
from routing.live.listener import Listener
from routing.live.messages import EVERYBODY, user_group
from routing.live.subscriptions import Subscriptions
from tests.routing.live.conftest import ORIGIN
from tests.routing.live.fakes import FakeServer
from tests.routing.live.test_consumer import send
from tests.waiting import await_for


class Moody:
    """A layer with faults: calls named in `broken` raise, those in `hanging` never return, and
    while `swallows` is set messages go nowhere."""

    def __init__(self) -> None:
        self.inner = LocalChannelLayer()
        self.broken: set[str] = set()
        self.hanging: set[str] = set()
        self.swallows = False
        self.flushed = 0
        self.calls: list[tuple[str, ...]] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)

        async def call(*args: Any) -> Any:
            self.calls.append((name, *args[:1]))
            if name in self.broken:
                raise ConnectionError(name)
            if name in self.hanging:
                await asyncio.sleep(3600)
            if name == "group_send" and self.swallows:
                return None
            if name == "flush":
                self.flushed += 1
            return await getattr(self.inner, name)(*args)

        return call


@pytest.fixture
def layer(monkeypatch: pytest.MonkeyPatch) -> Moody:
    moody = Moody()
    monkeypatch.setattr(module, "_open_layer", lambda: moody)
    for name, seconds in [
        ("CALL_LIMIT", 0.1),
        ("CANARY_EVERY", 0.05),
        ("CANARY_LIMIT", 0.1),
        ("FIRST_PAUSE", 0.01),
        ("LONGEST_PAUSE", 0.05),
    ]:
        monkeypatch.setattr(module, name, seconds)
    monkeypatch.setattr("routing.live.subscriptions.CALL_LIMIT", 0.1)
    monkeypatch.setattr("routing.live.subscriptions.LONGEST_PAUSE", 0.05)
    monkeypatch.setattr("routing.live.subscriptions.LINGER", 0.1)
    return moody


class Ear:
    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[Any]] = set()
        self.heard: list[Any] = []
        self.turns: list[bool] = []
        self.young: list[Any] = []
        self.subscriptions = Subscriptions(
            spawn=self.spawn, young=lambda key, delay: self.young.append((key, delay))
        )
        self.listener = Listener(
            handle=self.heard.append, subscriptions=self.subscriptions, turned=self.turns.append
        )

    def spawn(self, coroutine: Any) -> None:
        task = asyncio.ensure_future(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


@pytest.fixture
async def ear(layer: Moody) -> AsyncIterator[Ear]:
    made = Ear()
    made.spawn(made.listener.run())
    yield made
    made.subscriptions.stop()
    tasks = list(made.tasks)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def hears(layer: Moody, ear: Ear, group: str) -> None:
    """Sends until something comes."""
    before = len(ear.heard)

    async def came() -> bool:
        await layer.inner.group_send(group, {"type": "hub.probe"})
        return len(ear.heard) > before

    await await_for(came)


async def test_it_hears_everybody_and_wanted_users(layer: Moody, ear: Ear) -> None:
    ear.subscriptions.want(7)
    await await_for(lambda: ear.turns == [False])
    await hears(layer, ear, EVERYBODY)
    await hears(layer, ear, user_group(7))
    assert ear.young == [(7, 0.3), (7, 1.0)]


@pytest.mark.parametrize(
    ("fault", "call"),
    [
        ("broken", "new_channel"),
        ("broken", "group_add"),
        ("broken", "receive"),
        ("broken", "group_send"),
        ("hanging", "new_channel"),
        ("hanging", "group_add"),
        ("hanging", "group_send"),
    ],
)
async def test_it_comes_back_after_any_fault(layer: Moody, ear: Ear, fault: str, call: str) -> None:
    ear.subscriptions.want(7)
    await await_for(lambda: ear.turns == [False])
    getattr(layer, fault).add(call)
    layer.broken.add("receive")  # ends what goes on
    await layer.inner.group_send(EVERYBODY, {"type": "hub.probe"})
    await await_for(lambda: ear.listener.deaf)
    await await_for(lambda: len([one for one in layer.calls if one[0] == "flush"]) > 1)
    getattr(layer, fault).discard(call)
    layer.broken.discard("receive")
    await await_for(lambda: not ear.listener.deaf)
    await hears(layer, ear, user_group(7))
    assert layer.flushed > 0  # over a new connection


async def test_silence_is_noticed(layer: Moody, ear: Ear) -> None:
    """A half-open connection says nothing: neither an error nor a message."""
    await await_for(lambda: ear.turns == [False])
    layer.swallows = True
    await await_for(lambda: ear.turns == [False, True])
    await await_for(lambda: layer.flushed >= 2)
    layer.swallows = False
    await await_for(lambda: not ear.listener.deaf)
    await hears(layer, ear, EVERYBODY)


async def test_a_message_that_cannot_be_handled_costs_only_itself(layer: Moody, ear: Ear) -> None:
    await await_for(lambda: ear.turns == [False])

    def broken(message: Any) -> None:
        raise ZeroDivisionError

    handle, ear.listener._handle = ear.listener._handle, broken
    await layer.inner.group_send(EVERYBODY, {"type": "hub.probe"})
    await layer.inner.group_send(EVERYBODY, {"no": "type"})
    await asyncio.sleep(0.05)
    ear.listener._handle = handle
    await hears(layer, ear, EVERYBODY)
    assert ear.turns == [False]


async def test_memberships_follow_the_last_wish(layer: Moody, ear: Ear) -> None:
    await await_for(lambda: ear.turns == [False])
    group = user_group(7)
    for _ in range(20):
        ear.subscriptions.want(7)
        ear.subscriptions.unwant(7)
    await await_for(lambda: ear.subscriptions.is_joined(7))
    ear.subscriptions.want(7)
    await asyncio.sleep(0.2)  # longer than it lingers
    assert layer.inner._groups[group]
    ear.subscriptions.unwant(7)
    await await_for(lambda: group not in layer.inner._groups)
    assert ear.subscriptions._users == {}
    adds = [one for one in layer.calls if one == ("group_add", group)]
    assert len(adds) == 1


async def test_a_user_who_comes_back_while_the_membership_ends_is_in(
    layer: Moody, ear: Ear
) -> None:
    await await_for(lambda: ear.turns == [False])
    ear.subscriptions.want(7)
    await await_for(lambda: ear.subscriptions.is_joined(7))
    layer.broken.add("group_discard")
    ear.subscriptions.unwant(7)
    await await_for(lambda: ("group_discard", user_group(7)) in layer.calls)
    ear.subscriptions.want(7)
    layer.broken.clear()
    await hears(layer, ear, user_group(7))
    await asyncio.sleep(0.1)
    await hears(layer, ear, user_group(7))


def test_there_is_a_canary_on_every_shard() -> None:
    from channels_redis.pubsub import RedisPubSubChannelLayer

    async def look() -> set[int]:
        hosts = [f"redis://127.0.0.1:{port}" for port in range(1, 6)]
        layer = RedisPubSubChannelLayer(hosts=hosts)
        inner = layer._get_layer()
        groups = intake_for(layer).canary_groups("me")
        assert len(groups) == 5
        return {
            inner._shards.index(inner._get_shard(inner._get_group_channel_name(group)))
            for group in groups
        }

    assert asyncio.run(look()) == {0, 1, 2, 3, 4}


@pytest.mark.production
@pytest.mark.parametrize("fault", ["restart", "pause", "kill_connections"])
async def test_clients_stay_equal_whatever_redis_does(
    hub: Callable[..., None],
    transactional_db: None,
    settings: Any,
    redis_server: Any,
    token: str,
    alice: Any,
    fault: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {
                "hosts": [
                    {
                        "address": redis_server.url,
                        "socket_timeout": 0.5,
                        "socket_connect_timeout": 0.5,
                    }
                ]
            },
        }
    }
    monkeypatch.setattr(module, "CANARY_EVERY", 0.1)
    monkeypatch.setattr(module, "CANARY_LIMIT", 0.5)
    runtime = runtimes.running()
    headers = [(b"authorization", f"Bearer {token}".encode()), (b"origin", ORIGIN.encode())]
    try:
        await await_for(lambda: not runtime.listener.deaf)
        async with FakeServer(headers=headers) as socket:
            await socket.hello()
            await send(alice, "before")
            await up_to(socket, 1)
            await make(fault, redis_server)
            for _ in range(5):
                await send(alice, "meanwhile")
            # also while there is no Redis at all: by reconcile
            await up_to(socket, 6, within=6)
            if fault == "pause":
                redis_server.resume()
            await await_for(lambda: not runtime.listener.deaf, 15)
            await send(alice, "after")
            await up_to(socket, 7)
    finally:
        await runtimes.stop()


async def make(fault: str, redis_server: Any) -> None:
    import redis

    if fault == "restart":
        await asyncio.to_thread(redis_server.restart)
    elif fault == "pause":
        redis_server.pause()
    else:
        with redis.Redis.from_url(redis_server.url) as connection:
            connection.execute_command("CLIENT", "KILL", "TYPE", "pubsub")


async def up_to(socket: FakeServer, version: int, *, within: float = 5) -> None:
    async with asyncio.timeout(within):
        while (await socket.frame(within=within))["version"] < version:
            pass
