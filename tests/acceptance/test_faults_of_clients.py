"""Clients that take nothing, answer nothing, or vanish; and what lies between them and the hub."""

import json
from collections.abc import Callable

import psutil
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.acceptance.hub import Hub
from tests.acceptance.mute import Mute
from tests.acceptance.proxy import Proxy
from tests.waiting import wait_for

MUCH = {"data": "x" * 16_000}
MEMORY = 60 * 2**20  # bytes that a server may grow by while one client takes nothing


@pytest.mark.embedded
def test_a_client_that_never_reads_is_closed_and_loses_nothing(hub: Hub) -> None:
    server = hub.serve("routing.live.sockets.DRAIN_LIMIT=1", "routing.live.server.LINGER=1")
    hub.come("user0", "user1")
    before = psutil.Process(server.pid).memory_info().rss
    with Mute(hub.people["user0"], server.port) as mute:
        wait_for(lambda: server.numbers()["sockets"] == 3)

        def is_closed() -> bool:
            for _ in range(10):
                hub.send("user0", "user1", more=MUCH)
            return server.numbers()["sockets"] == 2

        wait_for(is_closed, 30, what="the socket to be closed")
        assert psutil.Process(server.pid).memory_info().rss < before + MEMORY
        hub.check(leave=False)
        mute.rest()
    hub.check()


@pytest.mark.embedded
def test_a_client_that_answers_no_pings_of_the_protocol_is_closed(hub: Hub) -> None:
    server = hub.serve("pings=1")
    hub.come("user0")
    with Mute(hub.people["user0"], server.port):
        wait_for(lambda: server.numbers()["sockets"] == 2)
        hub.send("user0")
        wait_for(lambda: server.numbers()["sockets"] == 1, 10, what="the socket to be closed")
    hub.check()


@pytest.mark.embedded
def test_a_client_that_answers_no_pings_of_the_hub_is_closed_with_4003(hub: Hub) -> None:
    server = hub.serve(
        "routing.live.heartbeat.PING_EVERY=1", "routing.live.heartbeat.HEARD_WITHIN=2"
    )
    hub.come("user0")
    frames = []
    headers = {"Authorization": f"Bearer {hub.people['user0'].token}"}
    with connect(server.ws_url, additional_headers=headers, proxy=None) as silent:
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                frames.append(json.loads(silent.recv(timeout=10)))
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 4003
    assert frames[-1] == {**frames[-1], "action": "bye", "code": 4003}
    # the reference client answers, and stays
    assert [client.connects for client in hub.clients.all] == [1]
    hub.check()


@pytest.mark.embedded
def test_a_client_behind_a_black_hole_is_given_up_and_comes_back_equal(
    hub: Hub, make_proxy: Callable[..., Proxy]
) -> None:
    server = hub.serve("pings=1")
    proxy = make_proxy(server.port)
    hub.come("user0", "user1", port=proxy.port, ping_interval=1)
    hub.come("user0")
    proxy.black_hole()
    for _ in range(5):
        hub.send("user0", "user1")
    wait_for(lambda: server.numbers()["sockets"] == 1, 15, what="the server to give them up")
    hub.send("user1")
    proxy.heal()
    hub.check()


@pytest.mark.embedded
def test_connections_that_are_slow_reset_or_half_closed_cost_nothing_but_time(
    hub: Hub, make_proxy: Callable[..., Proxy]
) -> None:
    server = hub.serve()
    proxy = make_proxy(server.port)
    hub.come("user0", "user1", port=proxy.port)
    proxy.latency = 0.05
    with hub.load("user0", "user1", ways={"one": 3, "few": 2, "mark": 1}) as load:
        load.until(20)
        proxy.reset()
        load.until(20)
        proxy.half_close()
        load.until(20)
        proxy.cut()
        load.until(10)
        proxy.heal()
    hub.check()


@pytest.mark.production
def test_of_users_who_have_left_no_group_is_left(hub: Hub) -> None:
    hub.serve("routing.live.subscriptions.LINGER=1")
    wait_for(lambda: len(hub.groups()) == 2, what="the group of everybody and the canary's")
    usual = hub.groups()
    clients = hub.come(*(f"user{number}" for number in range(50)))
    wait_for(lambda: len(hub.groups()) >= len(usual) + 50, what="the users' groups")
    hub.clients.leave(*clients)
    wait_for(lambda: len(hub.groups()) <= len(usual), 10, what="the groups to be left")
    numbers = hub.servers[0].numbers()
    assert (numbers["users"], numbers["subscriptions"]) == (0, 0)
    hub.check()
