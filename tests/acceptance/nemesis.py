"""The nemesis: faults at random, by a seed, against a steady mixed load; then the whole contract.

Run by `make test-slow [SECONDS=60] [SEED=n]`, not by `make test`. It prints a line per fault and a
summary; a failure shows the seed that repeats it.
"""

import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.client import Client
from tests.acceptance.conftest import Place
from tests.acceptance.database import PostgresDatabase, SqliteDatabase
from tests.acceptance.hub import Command, Hub, Load, Server
from tests.acceptance.mute import Mute
from tests.acceptance.proxy import Proxy
from tests.services import PostgresServer, RedisServer
from tests.waiting import wait_for

SECONDS = float(os.environ.get("HUB_TEST_SECONDS") or 60)
SEED = int(os.environ.get("HUB_TEST_SEED") or random.randrange(10**6))

USERS = tuple(f"user{number}" for number in range(12))
FICKLE = "user20"
MOST_CLIENTS = 40
WAYS = {
    "one": 12,
    "few": 5,
    "many": 2,
    "huge": 1,
    "everyone": 1,
    "mark": 4,
    "delete": 2,
    "filter": 1,
}
FAULT = (0.3, 2.0)  # seconds that a fault lasts
CALM = (0.2, 1.0)  # seconds between two
HEALED_WITHIN = 60.0  # seconds until the load goes on after a fault
HOUR = 3600

pytestmark = pytest.mark.timeout(0)


def say(text: str) -> None:
    sys.__stdout__.write(text + "\n")  # type: ignore[union-attr]
    sys.__stdout__.flush()  # type: ignore[union-attr]


class Nemesis:
    """One hub, its clients and its load; the faults are the methods that `faults` lists."""

    def __init__(self, hub: Hub, *, chance: random.Random, road: Proxy, doors: Proxy) -> None:
        self.hub, self.chance = hub, chance
        #: Through `road` come the clients, through `doors` the requests of the load.
        self.road, self.doors = road, doors
        hub.port = doors.port
        self.comings = 0
        self.bag: list[Callable[[], None]] = []
        self.done: Counter[str] = Counter()
        self.load = self._new_load()
        self.counts: Counter[str] = Counter()

    @property
    def faults(self) -> list[Callable[[], None]]:
        return [
            self.sender_killed_after_commit,
            self.sender_killed_before_publish,
            self.sender_killed_with_a_full_buffer,
            self.sender_rolls_back,
            self.sender_with_a_wrong_clock,
            self.server_killed,
            self.server_restarted,
            self.server_paused,
            self.client_takes_nothing,
            self.clients_in_a_black_hole,
            self.clients_reset,
            self.clients_half_closed,
            self.clients_cut_off,
            self.clients_slow,
            self.all_clients_at_once,
            self.backup_restored,
        ]

    def run(self, seconds: float) -> None:
        start = time.monotonic()
        self.clients_come(12)
        self.load.__enter__()
        try:
            while time.monotonic() - start < seconds:
                self.clients_go()
                self.clients_come(self.chance.randrange(1, 6))
                self.wait(*CALM)
                fault = self._next_fault()
                begun = time.monotonic()
                fault()
                self.load.until(1, HEALED_WITHIN)
                name = fault.__name__.replace("_", " ")
                self.done[name] += 1
                say(f"{begun - start:6.1f} s  {name} ({time.monotonic() - begun:.1f} s)")
                wrongs = self.hub.clients.wrongs()
                assert not wrongs, wrongs
        finally:
            self.load.stop()
        self.counts += self.load.counts
        self.heal()
        self.hub.check(leave=False)
        self.summary(time.monotonic() - start)
        self.hub.clients.leave(*self.hub.clients.all)
        for server in self.hub.servers:
            wait_for(
                lambda at=server: not at.numbers()["subscriptions"], 20, what="groups to be left"
            )
        self.hub.check()

    def _next_fault(self) -> Callable[[], None]:
        """At random, each kind once before any comes again."""
        if not self.bag:
            self.bag = self.faults
            self.chance.shuffle(self.bag)
        return self.bag.pop()

    def heal(self) -> None:
        self.road.heal()

    def summary(self, seconds: float) -> None:
        ledger, clients = self.hub.ledger, self.hub.clients.all
        stored = len(ledger.stored())
        work = ", ".join(f"{count} {way}" for way, count in sorted(self.counts.items()))
        say(f"{seconds:.0f} s, {self.done.total()} faults of {len(self.done)} kinds; {work}")
        say(
            f"{stored} of {len(ledger.sends)} sends acknowledged, {self.comings} clients came,"
            f" {len(clients)} are equal; {sum(it.frames for it in clients)} frames,"
            f" {sum(it.connects for it in clients)} connects, {sum(it.resets for it in clients)}"
            " resets; nothing lost, doubled or mixed up"
        )

    def wait(self, least: float, most: float) -> None:
        """The fault lasts, or there is none; the load goes on."""
        threading.Event().wait(self.chance.uniform(least, most))

    def _new_load(self) -> Load:
        return self.hub.load(
            *USERS, seed=self.chance.randrange(10**6), ways=WAYS, threads=3, fickle=FICKLE
        )

    def clients_come(self, count: int) -> list[Client]:
        self.comings += count
        names = self.chance.choices((*USERS, FICKLE), k=count)
        return [self.hub.client(it, port=self.road.port, ping_interval=2) for it in names]

    def clients_go(self) -> None:
        clients = self.hub.clients.all
        over = max(len(clients) - MOST_CLIENTS, 0)
        going = self.chance.sample(clients, max(over, min(len(clients) - 6, 2), 0))
        self.hub.clients.leave(*going)

    def _killed_sender(self, fault: str) -> None:
        sent = self.hub.ledger.begin(self.chance.sample(USERS, 3))
        self.hub.finish(self.hub.sender([(sent, "atomic")], fault), status=None)

    def sender_killed_after_commit(self) -> None:
        self._killed_sender("die-after-commit")

    def sender_killed_before_publish(self) -> None:
        self._killed_sender("die-before-publish")

    def sender_killed_with_a_full_buffer(self) -> None:
        self._killed_sender("die-before-handing-over")

    def sender_rolls_back(self) -> None:
        ways = ("rollback", "atomic", "rollback")
        to = self.chance.sample(USERS, 3)
        sends = [(self.hub.ledger.begin(to), way) for way in ways]
        self.hub.finish(self.hub.sender(sends), status=None)

    def sender_with_a_wrong_clock(self) -> None:
        to = self.chance.sample(USERS, 3)
        sends = [(self.hub.ledger.begin(to), way) for way in ("plain", "atomic")]
        hour = self.chance.choice([-HOUR, HOUR])
        self.hub.finish(self.hub.sender(sends, f"clock={hour}"), status=None)

    def _a_server(self) -> Server:
        return self.chance.choice(self.hub.servers)

    def server_killed(self) -> None:
        server = self._a_server()
        server.kill()
        self.hub.gone(server)
        self.wait(*FAULT)
        self.hub.serve(*server.faults, port=server.port)

    def server_restarted(self) -> None:
        self.hub.restart(self._a_server())

    def server_paused(self) -> None:
        server = self._a_server()
        server.pause()
        self.wait(*FAULT)
        server.resume()

    def client_takes_nothing(self) -> None:
        # through no proxy, which would read in its place
        with Mute(self.hub.people[self.chance.choice(USERS)], self._a_server().port):
            self.wait(*FAULT)

    def clients_in_a_black_hole(self) -> None:
        self.road.black_hole()
        self.wait(1.0, 6.0)
        self.road.heal()

    def clients_reset(self) -> None:
        self.road.reset()

    def clients_half_closed(self) -> None:
        self.road.half_close()

    def clients_cut_off(self) -> None:
        self.road.cut()
        self.wait(*FAULT)
        self.road.heal()

    def clients_slow(self) -> None:
        self.road.latency = self.chance.uniform(0.02, 0.3)
        self.wait(*FAULT)
        self.road.heal()

    def all_clients_at_once(self) -> None:
        self.road.drop()

    def backup_restored(self) -> None:
        """The one fault that needs a pause: what is acknowledged after the backup is forgotten."""
        hub = self.hub
        self.load.stop()
        self.counts += self.load.counts
        hub.check(leave=False)
        before = {sent.key for sent in hub.ledger.stored()}
        hub.database.back_up()
        for _ in range(3):
            hub.send(*self.chance.sample(USERS, 3))
        self._end_all()
        hub.database.restore()
        hub.run("new_epoch")
        hub.ledger.forget_after(before)
        self._begin_all()
        self.load = self._new_load()
        self.load.__enter__()

    def _end_all(self) -> None:
        self.ports = [(server.port, server.faults) for server in self.hub.servers]
        for server in list(self.hub.servers):
            server.stop()
            self.hub.gone(server)

    def _begin_all(self) -> None:
        for port, faults in self.ports:
            self.hub.serve(*faults, port=port)


class Embedded(Nemesis):
    def __init__(self, hub: Hub, *, full: Path, **rest: Any) -> None:
        super().__init__(hub, **rest)
        self.full = full
        assert isinstance(hub.database, SqliteDatabase)
        self.database = hub.database

    @property
    def faults(self) -> list[Callable[[], None]]:
        return [*super().faults, self.sqlite_locked, self.sqlite_full]

    def sqlite_locked(self) -> None:
        with self.database.locked():
            self.wait(*FAULT)

    def sqlite_full(self) -> None:
        self.full.touch()
        self.wait(*FAULT)
        self.full.unlink()


class Production(Nemesis):
    def __init__(
        self, hub: Hub, *, postgres: PostgresServer, redis: RedisServer, wire: Proxy, **rest: Any
    ) -> None:
        super().__init__(hub, **rest)
        self.postgres, self.redis, self.wire = postgres, redis, wire
        assert isinstance(hub.database, PostgresDatabase)
        self.database = hub.database
        self.workers = [hub.worker(), hub.worker()]

    @property
    def faults(self) -> list[Callable[[], None]]:
        return [
            *super().faults,
            self.worker_killed,
            self.worker_paused,
            self.worker_killed_in_mid_chunk,
            self.worker_with_a_wrong_clock,
            self.redis_killed,
            self.redis_paused,
            self.redis_half_open,
            self.redis_reset,
            self.redis_cut_off,
            self.postgres_restarted,
            self.postgres_killed,
            self.postgres_paused,
            self.postgres_connections_terminated,
        ]

    def heal(self) -> None:
        super().heal()
        # Redis hears at last that the connections of `redis_half_open` were given up
        self.wire.heal()

    def _replaced(self, worker: Command) -> None:
        self.workers.remove(worker)
        self.workers.append(self.hub.worker())

    def worker_killed(self) -> None:
        worker = self.chance.choice(self.workers)
        worker.kill()
        self._replaced(worker)

    def worker_paused(self) -> None:
        worker = self.chance.choice(self.workers)
        worker.pause()
        self.wait(*FAULT)
        worker.resume()

    def worker_killed_in_mid_chunk(self) -> None:
        worker = self.hub.worker(f"die-in-chunk={self.chance.randrange(1, 4)}")
        self.wait(*FAULT)
        worker.kill()

    def worker_with_a_wrong_clock(self) -> None:
        worker = self.hub.worker(f"clock={self.chance.choice([-HOUR, HOUR])}")
        self.wait(*FAULT)
        worker.stop()

    def redis_killed(self) -> None:
        self.redis.kill()
        self.wait(*FAULT)
        self.redis.start()

    def redis_paused(self) -> None:
        self.redis.pause()
        self.wait(*FAULT)
        self.redis.resume()

    def redis_half_open(self) -> None:
        self.wire.freeze()
        self.wait(*FAULT)

    def redis_reset(self) -> None:
        self.wire.reset()

    def redis_cut_off(self) -> None:
        self.wire.cut()
        self.wait(*FAULT)
        self.wire.heal()

    def postgres_restarted(self) -> None:
        self.postgres.restart()

    def postgres_killed(self) -> None:
        self.postgres.kill()
        self.wait(*FAULT)
        self.postgres.start()

    def postgres_paused(self) -> None:
        self.postgres.pause()
        self.wait(*FAULT)
        self.postgres.resume()

    def postgres_connections_terminated(self) -> None:
        self.database.terminate_sessions()

    def _end_all(self) -> None:
        super()._end_all()
        for worker in self.workers:
            worker.stop()

    def _begin_all(self) -> None:
        super()._begin_all()
        self.workers = [self.hub.worker(), self.hub.worker()]


OF_SERVERS = ("pings=2", "routing.live.subscriptions.LINGER=2")


@pytest.fixture
def chance() -> Iterator[random.Random]:
    seconds = int(SECONDS) if SECONDS.is_integer() else SECONDS
    stack = os.environ.get("HUB_TEST_STACK", "embedded")
    say(f"nemesis: {stack}, {seconds} s, seed {SEED}")
    yield random.Random(f"{SEED}-{stack}")


@pytest.mark.embedded
def test_the_contract_holds_against_the_nemesis_embedded(
    hub: Hub, chance: random.Random, make_proxy: Callable[..., Proxy], tmp_path: Path
) -> None:
    full = tmp_path / "full"
    server = hub.serve(*OF_SERVERS, f"full={full}")
    road, doors = make_proxy(server.port), make_proxy(server.port)
    Embedded(hub, full=full, chance=chance, road=road, doors=doors).run(SECONDS)


@pytest.mark.production
def test_the_contract_holds_against_the_nemesis_in_production(
    make_hub: Callable[..., Hub],
    chance: random.Random,
    make_proxy: Callable[..., Proxy],
    own_redis: RedisServer,
    own_cluster: tuple[PostgresServer, Place],
    own_postgres: PostgresServer,
) -> None:
    wire = make_proxy(own_redis.port)
    hub = make_hub(database=own_cluster[1].make(), redis_url=f"redis://127.0.0.1:{wire.port}/0")
    ports = [hub.serve(*OF_SERVERS).port for _ in range(2)]
    nemesis = Production(
        hub,
        postgres=own_postgres,
        redis=own_redis,
        wire=wire,
        chance=chance,
        road=make_proxy(*ports),
        doors=make_proxy(*reversed(ports)),
    )
    try:
        nemesis.run(SECONDS)
    finally:
        own_redis.resume()
        own_postgres.resume()
        if not own_postgres.is_running:
            own_postgres.start()
