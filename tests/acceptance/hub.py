"""A whole hub under test: database, Redis, servers, workers, senders, clients, and the ledger.

After a fault `check()` holds everything against docs/guarantees.md.
"""

import json
import logging
import os
import random
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import httpx
import psutil
import redis

from tests import tether
from tests.acceptance.client import STATES, Client, Clients, Person
from tests.acceptance.database import Database, moment
from tests.acceptance.ledger import EVERYONE, Ledger, Sent
from tests.processes import ROOT, HubProcess, ServerProcess
from tests.waiting import wait_for

STORED_WITHIN = 10.0  # seconds: the contract, for small audiences
LIVE_WITHIN = 15.0  # seconds: the contract
LEFT_WITHIN = 15.0  # seconds until what a client held is given back
TRY_AGAIN = 0.2  # seconds
POOL = 16  # PostgreSQL connections of one process
SPARE_DESCRIPTORS = 30  # pool, Redis and files that come and go beside the sockets
AWAY = 25  # users without a client of whom a broadcast is followed up

P = TypeVar("P", bound=HubProcess)

logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for every request


class Command(HubProcess):
    """A `manage.py` command, or with faults the same through the runner."""

    def __init__(self, *arguments: str, faults: tuple[str, ...] = (), env: Mapping[str, str]):
        super().__init__(*arguments, env=env)
        self.faults = faults

    def start(self) -> Any:
        assert not self.is_running, f"{self} is running already"
        through = ["-m", "tests.acceptance.runner", *self.faults, "--"]
        by_itself = not self.faults and self.arguments[0] not in ("send", "people")
        program = [ROOT / "manage.py"] if by_itself else through
        self._process = tether.start(
            [sys.executable, *program, *self.arguments],
            log=self.folder / "log",
            cwd=ROOT,
            env=os.environ | {"PYTHONUNBUFFERED": "1"} | self._env,
        )
        return self


class Server(ServerProcess, Command):
    def __init__(
        self, *arguments: str, port: int | None, faults: tuple[str, ...], env: Mapping[str, str]
    ) -> None:
        ServerProcess.__init__(self, *arguments, port=port, env=env)
        self.faults = faults

    def numbers(self) -> dict[str, Any]:
        """What the process tells of itself."""
        answer = httpx.get(f"{self.url}/health/numbers", timeout=5, trust_env=False)
        found: dict[str, Any] = answer.raise_for_status().json()
        return found

    def descriptors(self) -> int:
        return psutil.Process(self.pid).num_fds()

    def connections(self) -> list[Any]:
        """Those of clients, in whatever state."""
        found = psutil.Process(self.pid).net_connections("tcp")
        return [it for it in found if it.raddr and it.laddr.port == self.port]


class Hub:
    def __init__(
        self, *, database: Database, redis_url: str | None, people: Mapping[str, Person]
    ) -> None:
        self.database = database
        self.redis_url = redis_url
        self.people = people
        self.env = {"DATABASE_URL": database.url, "REDIS_URL": redis_url or ""}
        self.ledger = Ledger()
        self.clients = Clients(check=self.ledger.wrong_of_frame)
        self.servers: list[Server] = []
        self.processes: list[HubProcess] = []
        #: Where senders and clients go that are told nothing else.
        self.port = 0
        self._usual: tuple[int, int] | None = None  # tasks and descriptors of an idle server
        self._http = httpx.Client(timeout=20, trust_env=False)

    # processes

    def serve(self, *faults: str, port: int | None = None) -> Server:
        server = Server("serve", "--port", "{port}", port=port, faults=faults, env=self.env)
        self._begin(server)
        self.servers.append(server)
        self.port = self.port or server.port
        if self._usual is None:
            self._usual = self._look_at(server)
        return server

    def worker(self, *faults: str) -> Command:
        worker = self.begin_worker(*faults)
        self.await_worker(worker)
        return worker

    def begin_worker(self, *faults: str) -> Command:
        return self._begin(Command("worker", faults=faults, env=self.env))

    def await_worker(self, worker: Command) -> None:
        wait_for(lambda: "Working" in worker.log or not worker.is_running, 20, what="a worker")

    def run(self, *arguments: str) -> str:
        process = self._begin(Command(*arguments, env=self.env))
        assert process.wait() == 0, process.log
        return process.log

    def sender(self, sends: list[tuple[Sent, str]], *faults: str) -> Command:
        """A process that sends as an application's code does; `take` what it says afterwards."""
        wanted = [
            {"key": sent.key, "to": sent.to, "way": way, "message": self.ledger.words(sent)}
            for sent, way in sends
        ]
        return self._begin(Command("send", json.dumps(wanted), faults=faults, env=self.env))

    def finish(self, sender: Command, *, status: int | None = 0) -> None:
        """Waits for a sender's end and enters into the ledger what it said."""
        ended = sender.wait()
        assert status is None or ended == status, sender.log
        self.ledger.take_log(sender.log)

    def _begin(self, process: P) -> P:
        self.processes.append(process)
        process.start()
        return process

    def gone(self, server: Server) -> None:
        """It was killed or stopped, and is not to be asked any more."""
        self.servers.remove(server)

    def restart(self, server: Server) -> Server:
        """Asked to end, and another one at its port."""
        server.stop()
        self.gone(server)
        return self.serve(*server.faults, port=server.port)

    def _look_at(self, server: Server) -> tuple[int, int]:
        """What a server is like when nobody is there."""
        # the first request and the first socket open what stays open afterwards
        client = self.client("user299", port=server.port)
        self.await_clients([client])
        self.clients.leave(client)
        httpx.get(f"{server.url}/health/ready", trust_env=False)
        wait_for(lambda: not server.numbers()["sockets"], 5, what="the first socket to be gone")
        wait_for(lambda: not _others(server), 5, what="the first connections to be gone")
        return server.numbers()["tasks"], server.descriptors()

    # clients

    def client(self, name: str, *, port: int | None = None, **options: Any) -> Client:
        return self.clients.start(self.people[name], port=port or self.port, **options)

    def await_clients(self, clients: list[Client], timeout: float = LIVE_WITHIN) -> None:
        def all_settled() -> bool:
            return all(copy.settled for client, copy in self.clients.copies() if client in clients)

        wait_for(all_settled, timeout, every=0.05, what="clients to be connected")

    def come(self, *names: str, port: int | None = None, **options: Any) -> list[Client]:
        """Clients of these users, connected."""
        found = [self.client(name, port=port, **options) for name in names]
        self.await_clients(found)
        return found

    # sending and changing

    def send(
        self,
        *names: str,
        port: int | None = None,
        key: bool = True,
        insist: bool = True,
        optional: set[str] | None = None,
        timeout: float = 30.0,
        more: Mapping[str, Any] | None = None,
    ) -> Sent:
        """By REST, to `names` or to everybody. With an idempotency key it is repeated until it is
        acknowledged; without, whatever goes wrong leaves it open whether it was stored."""
        sent = self.ledger.begin(list(names) or EVERYONE, optional=optional)
        body = {
            "type": "post_comment",
            "users": sent.to,
            "title": sent.key,
            "message": self.ledger.words(sent),
            **(more or {}),
        }
        headers = {"Idempotency-Key": sent.key} if key else {}
        end = time.monotonic() + timeout
        while True:
            answer = self.ask("POST", "events/", "sender", port=port, headers=headers, json=body)
            if answer is not None and answer.status_code in (200, 201):
                self.ledger.acknowledge(sent.key, answer.json()["id"])
                return sent
            if answer is not None:
                assert answer.status_code == 503, f"{answer.status_code} {answer.text}"
            if not key or not insist or time.monotonic() > end:
                return sent
            time.sleep(TRY_AGAIN)

    def ask(
        self,
        method: str,
        path: str,
        name: str,
        *,
        port: int | None = None,
        http: httpx.Client | None = None,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> httpx.Response | None:
        """A request of this user; None where no answer came."""
        try:
            return (http or self._http).request(
                method,
                f"http://127.0.0.1:{port or self.port}/api/{path}",
                headers={
                    "Authorization": f"Bearer {self.people[name].token}",
                    "Connection": "close",
                    **(headers or {}),
                },
                **options,
            )
        except httpx.HTTPError:
            return None

    def change(self, name: str, body: Mapping[str, Any], *, port: int | None = None) -> None:
        """A mark by REST; the ledger hears which number it took."""
        answer = self.ask("POST", "notifications/mark/", name, port=port, json=body)
        self.note_change(name, answer)

    def note_change(self, name: str, answer: httpx.Response | None) -> None:
        if answer is None or answer.status_code >= 500:
            self.ledger.changed(name, None)
            return
        assert answer.status_code == 200, f"{answer.status_code} {answer.text}"
        if answer.json()["changed"]:
            self.ledger.changed(name, answer.json()["version"])

    def load(self, *names: str, **options: Any) -> "Load":
        return Load(self, names, **options)

    # the check

    def check(self, *, stored_within: float = STORED_WITHIN, leave: bool = True) -> None:
        """The fault is over: everything the hub promises holds, in the time that it promises."""
        start = time.monotonic()
        try:
            self._take_in()
            _await_nothing(self.missing, stored_within, "acknowledged and not in the inbox")
            left = max(LIVE_WITHIN - (time.monotonic() - start), 1.0)
            _await_nothing(self.unequal, left, "clients that do not equal the database")
            assert not (wrongs := self.clients.wrongs()), wrongs
            assert not (wrongs := self.wrongs_of_database()), wrongs
            if leave:
                self.check_nothing_is_left()
        except AssertionError as problem:
            logs = [f"{it}: {it.log[-4000:]}" for it in self.processes]
            raise AssertionError("\n\n".join([str(problem), *logs])) from None

    def _take_in(self) -> None:
        """A broadcast is in an inbox when its user comes back; some of those who were away do."""
        if any(sent.to == EVERYONE for sent in self.ledger.stored()):
            for name in self._watched():
                self.ask("GET", "notifications/summary/", name)

    def _watched(self) -> set[str]:
        away = list(self.people)[1 : AWAY + 1]
        return {client.person.name for client in self.clients.all} | set(away)

    def missing(self) -> list[str]:
        """What a sender was promised and a recipient does not have."""
        events = {title: event_id for event_id, title in self._events()}
        rows = self.database.rows("SELECT user_id, event_id FROM hub_notification")
        has = {(user_id, event_id) for user_id, event_id in rows}
        watched = self._watched()
        found = []
        for sent in self.ledger.stored():
            event_id = sent.event_id or events.get(sent.key)
            names = watched if sent.to == EVERYONE else sent.to
            lacking = [
                name
                for name in names
                if name not in sent.optional and (self.people[name].id, event_id) not in has
            ]
            if lacking:
                found.append(f"{sent.key} (event {event_id}): {', '.join(lacking[:5])}")
        return found

    def _events(self) -> list[tuple[int, str]]:
        return self.database.rows("SELECT id, title FROM hub_event")

    def unequal(self) -> list[str]:
        """Clients whose copy is not the database's, with what differs."""
        inboxes = {
            user_id: stand
            for user_id, *stand in self.database.rows(
                "SELECT user_id, version, unread, unseen FROM hub_inbox"
            )
        }
        rows: dict[int, dict[int, Any]] = defaultdict(dict)
        wanted = {client.person.id for client in self.clients.all}
        for user_id, event_id, *facts in self.database.rows(
            "SELECT user_id, event_id, arrived, version, seen_at, read_at, archived_at, expired_at"
            " FROM hub_notification WHERE deleted_at IS NULL"
        ):
            if user_id not in wanted:
                continue
            rows[user_id][event_id] = (*facts[:2], *map(moment, facts[2:]))
        found = []
        for client, copy in self.clients.copies():
            if client.ended is not None:
                continue
            version, *counters = inboxes[client.person.id]
            held = {
                key: (row["arrived"], row["version"], *(moment(row[it]) for it in STATES))
                for key, row in copy.rows.items()
            }
            real = rows[client.person.id]
            if not copy.settled:
                found.append(f"{client.person.name} is not connected")
            elif (copy.version, *copy.counters) != (version, *counters):
                stands = (copy.version, *copy.counters)
                found.append(f"{client.person.name} stands at {stands}, is {version, *counters}")
            elif held != real:
                lacks = sorted(real.keys() - held.keys())[:5]
                over = sorted(held.keys() - real.keys())[:5]
                other = [key for key in held.keys() & real.keys() if held[key] != real[key]][:5]
                found.append(f"{client.person.name}: lacks {lacks}, over {over}, other {other}")
        return found

    def wrongs_of_database(self) -> list[str]:
        return [
            *self._wrong_events(),
            *self._wrong_recipients(),
            *self._wrong_numbers(),
            *(
                f"audience left: {row}"
                for row in self.database.rows("SELECT id, event_id, state FROM hub_audience")
            ),
        ]

    def _wrong_events(self) -> list[str]:
        found = []
        ids = {sent.key: sent.event_id for sent in self.ledger.sends.values()}
        counts = Counter(title for _, title in self._events())
        for key, sent in self.ledger.sends.items():
            if counts[key] > 1:
                found.append(f"{key} is there {counts[key]} times")
            if sent.forbidden and counts[key]:
                found.append(f"{key} was rolled back, and is there")
        for event_id, title in self._events():
            if title not in ids:
                found.append(f"event {event_id} {title!r} was sent by nobody")
            elif ids[title] not in (None, event_id):
                found.append(f"{title} was acknowledged as {ids[title]}, and is {event_id}")
        return found

    def _wrong_recipients(self) -> list[str]:
        titles = dict(self._events())
        names = {person.id: name for name, person in self.people.items()}
        return [
            f"{names[user_id]} has {titles.get(event_id)!r}, which is not theirs"
            for user_id, event_id in self.database.rows(
                "SELECT user_id, event_id FROM hub_notification"
            )
            if titles.get(event_id) in self.ledger.sends
            and not self.ledger.sends[titles[event_id]].concerns(names[user_id])
        ]

    def _wrong_numbers(self) -> list[str]:
        """Every number up to the inbox's was taken by something, and the counters count."""
        taken: dict[int, set[int]] = defaultdict(set)
        arrivals: dict[int, list[int]] = defaultdict(list)
        counts: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0])
        for user_id, arrived, version, seen, read, gone in self.database.rows(
            "SELECT user_id, arrived, version, seen_at, read_at,"
            " COALESCE(archived_at, expired_at, deleted_at) FROM hub_notification"
        ):
            taken[user_id] |= {arrived, version}
            arrivals[user_id].append(arrived)
            if gone is None:
                counts[user_id][0] += read is None
                counts[user_id][1] += seen is None
                counts[user_id][2] += 1
        names = {person.id: name for name, person in self.people.items()}
        found = []
        for user_id, version, *counters in self.database.rows(
            "SELECT user_id, version, unread, unseen, total FROM hub_inbox WHERE version > 0"
        ):
            name = names[user_id]
            numbers = taken[user_id] | self.ledger.changes[name]
            holes = set(range(1, version + 1)) - numbers
            if len(holes) > self.ledger.unsure[name]:
                found.append(f"{name}: numbers {sorted(holes)[:10]} were taken by nothing")
            if numbers and max(numbers) > version:
                found.append(f"{name}: at {version}, but {max(numbers)} was taken")
            if len(set(arrivals[user_id])) < len(arrivals[user_id]):
                found.append(f"{name}: two notifications arrived under one number")
            if counters != counts[user_id]:
                found.append(f"{name}: counters {counters}, rows {counts[user_id]}")
        return found

    def check_nothing_is_left(self) -> None:
        """All clients leave: what they held is given back. Then all processes end."""
        self.clients.leave(*self.clients.all)
        for server in self.servers:
            assert self._usual is not None
            look = partial(_leftovers, server, *self._usual)
            _await_nothing(look, LEFT_WITHIN, "left")
        processes = [it for it in self.processes if it.is_running]
        sessions = self.database.sessions()
        assert sessions <= POOL * len(processes), f"{sessions} connections to the database"
        wait_for(lambda: not self.database.idle_in_transaction(), what="open transactions to end")
        for process in processes:
            process.stop()
        for process in self.processes:
            assert process.is_gone, f"{process} left processes behind"
        self.servers.clear()
        wait_for(lambda: not self.database.sessions(), what="sessions of the database to end")
        wait_for(lambda: not self.groups(), what="groups in Redis to be left")

    def groups(self) -> dict[str, int]:
        """The hub's channels in Redis, with how many listen."""
        if not self.redis_url:
            return {}
        with redis.Redis.from_url(self.redis_url, socket_timeout=5) as connection:
            names = connection.pubsub_channels("hub*")
            found = connection.pubsub_numsub(*names) if names else []
            return {name.decode(): count for name, count in found}

    def close(self) -> None:
        self.clients.close()
        self._http.close()
        while self.processes:
            self.processes.pop().close()


def _others(server: Server) -> list[Any]:
    """Connections that clients still have."""
    return [it for it in server.connections() if it.status != psutil.CONN_TIME_WAIT]


def _leftovers(server: Server, tasks: int, descriptors: int) -> list[str]:
    found = [f"connection {it.raddr} {it.status}" for it in _others(server)]
    numbers = server.numbers()
    if numbers["sockets"] or numbers["users"]:
        found.append(f"registry {numbers}")
    if numbers["tasks"] > tasks:
        found.append(f"{numbers['tasks']} tasks, {tasks} before")
    if server.descriptors() > descriptors + SPARE_DESCRIPTORS:
        found.append(f"{server.descriptors()} descriptors, {descriptors} before")
    return found


def _await_nothing(look: Callable[[], list[str]], timeout: float, what: str) -> None:
    """Until `look` finds nothing; says what it still found if that takes too long."""
    last: list[str] = []

    def nothing() -> bool:
        nonlocal last
        last = look()
        return not last

    try:
        wait_for(nothing, timeout, every=0.1)
    except AssertionError:
        raise AssertionError(f"after {timeout:.0f} s {what}: {last[:10]}") from None


class Load:
    """A steady mix of sends and marks in threads, until it is told to stop.

    `with hub.load("user0", "user1"):` break something meanwhile.
    """

    def __init__(
        self,
        hub: Hub,
        names: tuple[str, ...],
        *,
        seed: int = 0,
        threads: int = 2,
        every: float = 0.03,
        ways: Mapping[str, int] | None = None,
        port: int | None = None,
        fickle: str = "",
    ) -> None:
        #: Switches its filter on and off: what is sent to it meanwhile may arrive or not.
        self.fickle = fickle
        self.counts: Counter[str] = Counter()
        self.hub, self.names, self.every, self.port = hub, names, every, port
        self.ways = dict(ways or {"one": 6, "few": 3, "many": 1, "mark": 2, "delete": 1})
        self._stopped = threading.Event()
        self._failed: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._run, args=(random.Random(f"{seed}-{number}"),))
            for number in range(threads)
        ]
        self.done = 0

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        if self._failed:
            raise self._failed[0]

    def until(self, more: int, timeout: float = 30.0) -> None:
        """So many more operations are done."""
        goal = self.done + more
        wait_for(lambda: self.done >= goal or self._failed, timeout, what="the load to go on")

    def _run(self, chance: random.Random) -> None:
        ways = list(self.ways)
        try:
            while not self._stopped.wait(self.every * chance.uniform(0.5, 1.5)):
                way = chance.choices(ways, list(self.ways.values()))[0]
                getattr(self, f"_{way}")(chance)
                self.counts[way] += 1
                self.done += 1
        except BaseException as failure:
            self._failed.append(failure)

    def _send(self, chance: random.Random, *names: str) -> None:
        # without a key goes the shortest way; with one it is repeated until it is acknowledged
        self.hub.send(*names, port=self.port, key=chance.random() < 0.5, optional={self.fickle})

    def _one(self, chance: random.Random) -> None:
        self._send(chance, chance.choice(self.names))

    def _few(self, chance: random.Random) -> None:
        self._send(chance, *chance.sample(self.names, min(len(self.names), 5)))

    def _many(self, chance: random.Random) -> None:
        everybody = [name for name in self.hub.people if name != "sender"]
        self._send(chance, *chance.sample(everybody, min(len(everybody), 200)))

    def _huge(self, chance: random.Random) -> None:
        everybody = [name for name in self.hub.people if name != "sender"]
        self._send(chance, *chance.sample(everybody, min(len(everybody), 700)))

    def _filter(self, chance: random.Random) -> None:
        channel = chance.choice(["inbox", "live"])
        name = self.fickle if channel == "inbox" else chance.choice(self.names)
        choice = {"types": {"post_comment": {channel: chance.random() < 0.5}}}
        self.hub.ask("PATCH", "notifications/filter/", name, port=self.port, json=choice)

    def _everyone(self, chance: random.Random) -> None:
        self._send(chance)

    def _mark(self, chance: random.Random) -> None:
        state = chance.choice(["seen", "read", "unread", "archived", "unarchived"])
        name = chance.choice(self.names)
        self.hub.change(name, {"state": state, "up_to": 2**40}, port=self.port)

    def _delete(self, chance: random.Random) -> None:
        name = chance.choice(self.names)
        listed = self.hub.ask("GET", "notifications/?limit=5", name, port=self.port)
        if listed is None or listed.status_code != 200 or not listed.json()["results"]:
            return
        row = chance.choice(listed.json()["results"])
        # the answer to a deletion names no number, so it stays open which one it was; the
        # tombstone has it until the next change
        self.hub.ask("DELETE", f"notifications/{row['id']}/", name, port=self.port)
