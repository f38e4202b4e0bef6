"""Servers that are killed, restarted under load, or have the wrong time."""

from collections.abc import Callable

import pytest

from tests.acceptance.hub import Hub
from tests.acceptance.proxy import Proxy

USERS = ("user0", "user1", "user2", "user3")
HOUR = 3600


def test_a_server_killed_with_open_sockets_is_come_back_to(running: Hub) -> None:
    hub = running
    hub.come(*USERS, *USERS)
    with hub.load(*USERS) as load:
        load.until(20)
        server = hub.servers[0]
        server.kill()
        hub.gone(server)
        hub.serve(port=server.port)
        load.until(20)
    hub.check()


@pytest.mark.production
def test_a_rolling_restart_under_load_loses_nothing(
    running: Hub, make_proxy: Callable[..., Proxy]
) -> None:
    hub = running
    servers = [hub.servers[0], hub.serve()]
    proxy = make_proxy(*(server.port for server in servers))
    hub.port = proxy.port
    hub.come(*USERS, *USERS)
    with hub.load(*USERS) as load:
        for server in servers:
            load.until(20)
            proxy.targets = [it.port for it in servers if it is not server]
            hub.restart(server)
            proxy.targets = [it.port for it in servers]
        load.until(20)
    hub.check()


@pytest.mark.production
def test_a_thousand_sockets_that_come_back_at_once_are_served(hub: Hub) -> None:
    other = hub.serve()
    server = hub.serve()
    hub.worker()
    hub.port = other.port
    users = [f"user{number}" for number in range(250)]
    clients = [
        hub.client(name, port=server.port, patience=0.05) for name in users for _ in range(4)
    ]
    hub.await_clients(clients, 60)
    server.kill()
    hub.gone(server)
    for _ in range(5):
        hub.send(*users)
        hub.send(users[0])
    hub.serve(port=server.port)
    hub.send(*users)
    hub.check(leave=False)
    assert all(client.connects >= 2 for client in clients)
    hub.check()


def test_commits_that_race_with_resuming_clients_are_all_seen(
    running: Hub, make_proxy: Callable[..., Proxy]
) -> None:
    hub = running
    proxy = make_proxy(hub.servers[0].port)
    hub.come(*USERS, port=proxy.port, patience=0.02)
    polled = Poll(hub, "user0")
    ways = {"one": 2, "few": 3, "mark": 1}
    with hub.load(*USERS, threads=4, every=0.002, ways=ways) as load:
        for _ in range(15):
            load.until(10)
            proxy.drop()
            polled.go_on()
    hub.check(leave=False)
    polled.go_on()
    person = hub.people["user0"].id
    stored = hub.database.rows("SELECT user_id, event_id FROM hub_notification")
    assert polled.seen == {event_id for user_id, event_id in stored if user_id == person}
    assert not polled.resets
    hub.check()


class Poll:
    """A client without a socket, that asks `changes/` from where it stood."""

    def __init__(self, hub: Hub, name: str) -> None:
        self.hub, self.name = hub, name
        listed = self._ask("notifications/?limit=200&state=all")
        self.epoch, self.since = listed["epoch"], listed["version"]
        self.seen = {row["id"] for row in listed["results"]}
        self.resets = 0

    def go_on(self) -> None:
        more = True
        while more:
            page = self._ask(f"notifications/changes/?epoch={self.epoch}&since={self.since}")
            self.resets += page["reset"]
            self.seen |= {row["id"] for row in page["changes"]}
            more = page["more"]
            self.since = page["cursor"] if more else page["version"]

    def _ask(self, path: str):
        answer = self.hub.ask("GET", path, self.name)
        assert answer is not None and answer.status_code == 200
        return answer.json()


@pytest.mark.parametrize("hours", [1, -1])
def test_a_server_whose_clock_is_an_hour_off_serves_as_any_other(
    make_hub: Callable[..., Hub], hours: int
) -> None:
    hub = make_hub()
    off = hub.serve(f"clock={hours * HOUR}")
    right = off
    if hub.redis_url:
        right = hub.serve()
        hub.worker()
    hub.come(*USERS, port=off.port)
    hub.come(*USERS, port=right.port)
    for server in (off, right):
        hub.send(*USERS, port=server.port)
        hub.send(port=server.port)
        hub.send(*(f"user{number}" for number in range(1_100)), port=server.port)
        hub.change("user1", {"state": "read", "up_to": 100}, port=server.port)
    hub.check()
