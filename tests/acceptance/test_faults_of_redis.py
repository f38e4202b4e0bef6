"""Redis killed, restarted empty, paused, and cut off without a word. It only carries hints."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.acceptance.hub import Hub, Server
from tests.acceptance.proxy import Proxy
from tests.services import RedisServer
from tests.waiting import wait_for

pytestmark = pytest.mark.production

USERS = ("user0", "user1", "user2")
PAUSE = 6.0  # seconds
HEARS_AGAIN = 20.0  # seconds


@dataclass
class Setting:
    hub: Hub
    server: Server
    proxy: Proxy


@pytest.fixture
def setting(
    make_hub: Callable[..., Hub], own_redis: RedisServer, make_proxy: Callable[..., Proxy]
) -> Setting:
    """A hub that reaches a Redis of its own through a proxy."""
    proxy = make_proxy(own_redis.port)
    hub = make_hub(redis_url=f"redis://127.0.0.1:{proxy.port}/0")
    worker = hub.begin_worker()
    server = hub.serve()
    hub.await_worker(worker)
    hub.come(*USERS)
    hears(server)
    return Setting(hub, server, proxy)


def layer(server: Server) -> str:
    return str(server.numbers()["layer"])


def hears(server: Server) -> None:
    wait_for(lambda: layer(server) == "ok", HEARS_AGAIN, what="the layer to be heard")


def test_without_redis_everything_arrives_and_a_new_empty_one_is_taken_into_use(
    setting: Setting, own_redis: RedisServer
) -> None:
    hub = setting.hub
    with hub.load(*USERS) as load:
        load.until(10)
        own_redis.kill()
        load.until(20)
        hub.come("user3")
    hub.check(leave=False)
    own_redis.start()
    hears(setting.server)
    with hub.load(*USERS) as load:
        load.until(10)
    hub.check()


def test_a_redis_that_is_restarted_empty_is_taken_into_use(
    setting: Setting, own_redis: RedisServer
) -> None:
    with setting.hub.load(*USERS) as load:
        load.until(10)
        own_redis.restart()
        load.until(20)
    setting.hub.check(leave=False)
    hears(setting.server)
    setting.hub.check()


def test_while_redis_is_paused_sends_and_connects_go_on(
    setting: Setting, own_redis: RedisServer
) -> None:
    hub = setting.hub
    own_redis.pause()
    with hub.load(*USERS) as load:
        load.until(20)
        hub.come("user3")
        threading.Event().wait(PAUSE)
    hub.check(leave=False)
    own_redis.resume()
    hears(setting.server)
    hub.send(*USERS)
    hub.check()


def test_a_half_open_connection_to_redis_is_noticed_and_replaced(setting: Setting) -> None:
    hub = setting.hub
    setting.proxy.freeze()
    for _ in range(3):
        hub.send(*USERS)
    hub.check(leave=False)
    wait_for(
        lambda: setting.server.numbers()["layer"] == "deaf", HEARS_AGAIN, what="it to be noticed"
    )
    hears(setting.server)
    hub.send(*USERS)
    # otherwise Redis itself never hears that the dead connections are given up
    setting.proxy.heal()
    hub.check()


def test_connections_to_redis_that_are_reset_again_and_again_lose_nothing(setting: Setting) -> None:
    hub = setting.hub
    with hub.load(*USERS) as load:
        for _ in range(5):
            load.until(5)
            setting.proxy.reset()
    setting.proxy.cut()
    hub.send(*USERS)
    hub.check(leave=False)
    setting.proxy.heal()
    hears(setting.server)
    hub.check()
