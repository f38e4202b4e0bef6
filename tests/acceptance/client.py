"""The reference client: docs/protocol.md to the letter, with a note of all that the hub breaks.

It holds a copy of the inbox that is to equal the database. `faults` is what a correct hub never
gives it cause for: a hole in the live frames, a number twice, somebody else's words.
"""

import asyncio
import itertools
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from tests.acceptance.loops import LoopThread
from tests.sockets import open_socket

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0  # seconds before coming back, section 6.7
FINAL = {4500, 4501, 4502, 4503, 1009}  # close codes after which a client does not come back
OPEN_LIMIT = 10.0  # seconds a handshake may take
LIVE = ("new", "marked", "deleted")
STATES = ("seen_at", "read_at", "archived_at", "expired_at")


@dataclass(frozen=True, slots=True)
class Person:
    name: str
    id: int
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """What a client holds at one moment."""

    epoch: str
    version: int
    counters: tuple[int, int]
    rows: dict[int, dict[str, Any]]
    settled: bool


class Client:
    """Lives on the loop of its `Clients`. `port` may be changed: it is used at the next connect."""

    def __init__(
        self,
        person: Person,
        *,
        port: int,
        http: httpx.AsyncClient,
        check: Callable[[str, str], str | None],
        patience: float,
        ping_interval: float,
    ) -> None:
        self.person = person
        self.port = port
        #: What its waits are multiplied by: tests have less time than people.
        self.patience = patience
        self.rows: dict[int, dict[str, Any]] = {}
        self.counters = (0, 0)
        self.epoch = ""
        self.version = -1
        self.cursor: str | None = None  # of an unfinished answer
        self.faults: list[str] = []
        self.resets = 0
        self.connects = 0
        self.frames = 0
        #: (code, text) of the last closes, for tests that look at them.
        self.closes: list[int] = []
        self.ended: int | None = None
        self.connected = False
        self.took: list[tuple[float, int]] = []  # when each live version was applied
        self._http = http
        self._check = check
        self._ping_interval = ping_interval
        self._socket: Any = None
        self._live = False  # whether frames may come: the answer to our cursor is there
        self._asked: set[str] = set()  # refs of our `sync`s that are not answered yet
        self._refs = itertools.count()
        self._socket_epoch = ""  # of the socket's last hello or sync
        self._loaded = False
        self._again: float | None = None  # what the last `bye` said
        self._removed: dict[int, int] | None = None  # rows deleted while a list is loaded
        self._tasks: set[asyncio.Task[None]] = set()
        self.refs: dict[str, dict[str, Any]] = {}

    def copy(self) -> Copy:
        return Copy(
            epoch=self.epoch,
            version=self.version,
            counters=self.counters,
            rows={key: dict(row) for key, row in self.rows.items()},
            settled=self.connected and self._live and not self._asked,
        )

    async def run(self) -> None:
        """Until it is cancelled, or told not to come back."""
        pause = FIRST_PAUSE
        try:
            while self.ended is None:
                before = self.connects
                self._again = None
                await self._once()
                if self.connects > before:
                    pause = FIRST_PAUSE
                wait = pause * random.uniform(0.5, 1.0) if self._again is None else self._again
                pause = min(pause * 2, LONGEST_PAUSE)
                await asyncio.sleep(min(wait, LONGEST_PAUSE) * self.patience)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _once(self) -> None:
        """One connection from its beginning to its end."""
        try:
            if not self._loaded:
                await self._load()
            async with open_socket(
                f"ws://127.0.0.1:{self.port}/ws/notifications",
                token=self.person.token,
                since=self.version if self.cursor is None else self.cursor,
                epoch=self.epoch,
                open_timeout=OPEN_LIMIT,
                close_timeout=0.5,
                ping_interval=self._ping_interval,
                ping_timeout=self._ping_interval,
            ) as socket:
                await self._listen(socket)
        except InvalidStatus as refused:
            if refused.response.status_code == 403:
                self.ended = 403
        except (OSError, InvalidHandshake, ConnectionClosed, TimeoutError, EOFError):
            pass
        except httpx.HTTPError:
            pass

    async def _listen(self, socket: Any) -> None:
        self._socket, self._live, self._asked = socket, False, set()
        first = True
        try:
            async for text in socket:
                self.frames += 1
                frame = json.loads(text)
                wrong = self._check(self.person.name, text)
                if wrong:
                    self.faults.append(wrong)
                if first and frame["action"] not in ("hello", "bye"):
                    self.faults.append(f"first frame is {frame['action']}")
                first = False
                await self._take(frame)
        finally:
            self.connected = False
            self._socket = None
            code = socket.close_code
            self.closes.append(code or 1006)
            if code in FINAL:
                self.ended = code

    async def say(self, **frame: Any) -> None:
        if self._socket is None:
            raise ConnectionError("not connected")
        await self._socket.send(json.dumps(frame))

    async def ask(self, *, ref: str, **frame: Any) -> dict[str, Any]:
        """The `done` or `error` frame of what was asked; ConnectionError if none can come."""
        socket = self._socket
        try:
            await self.say(ref=ref, **frame)
        except ConnectionClosed:
            raise ConnectionError("closed") from None
        for _ in range(1000):
            if ref in self.refs:
                return self.refs.pop(ref)
            if self._socket is not socket:
                break
            await asyncio.sleep(0.01)
        raise ConnectionError("no answer")

    # what comes in

    async def _take(self, frame: dict[str, Any]) -> None:
        match frame["action"]:
            case "hello":
                self.connects += 1
                self.connected = True
                self._socket_epoch = frame["epoch"]
            case "sync":
                self._sync(frame)
            case "new" | "marked" | "deleted":
                await self._live_frame(frame)
            case "reset":
                self._reset(frame)
            case "ping":
                await self.say(action="pong")
            case "bye":
                self._again = frame["retry_after"]
            case "done":
                await self._answered(frame)
            case "error":
                if "ref" in frame:
                    await self._answered(frame)
                else:
                    self.faults.append(f"error {frame['code']}")

    def _sync(self, frame: dict[str, Any]) -> None:
        self._socket_epoch = frame["epoch"]
        if not self._loaded:
            return  # after a reset: the list that is on its way is newer
        if self._live and not self._asked and frame["version"] < self.version:
            self.faults.append(f"sync went back from {self.version} to {frame['version']}")
        for change in frame["changes"]:
            self._set(change)
        self.epoch, self.version = frame["epoch"], frame["version"]
        self.cursor = frame["cursor"] if frame["more"] else None
        self._count(frame)
        if not frame["more"]:
            self._live = True

    async def _live_frame(self, frame: dict[str, Any]) -> None:
        if not self._loaded:
            return  # after a reset, until the list is there
        expected = self.version + 1
        if frame["version"] != expected:
            if not self._asked:
                kind = "twice" if frame["version"] < expected else "a hole"
                self.faults.append(f"{kind}: stood at {self.version}, got {frame['version']}")
                if frame["version"] > expected:
                    await self._ask_again()
            return  # until our `sync` is answered
        self.version = expected
        self.took.append((time.monotonic(), expected))
        self._count(frame)
        if frame["action"] == "new":
            self._set(frame["notification"])
        elif frame["action"] == "deleted":
            for row_id in frame["ids"]:
                self._remove(row_id, frame["version"])
        else:
            self._mark(frame)

    async def _ask_again(self) -> None:
        ref = f"sync-{next(self._refs)}"
        self._asked.add(ref)
        await self.say(action="sync", since=self.version, ref=ref)

    async def _answered(self, frame: dict[str, Any]) -> None:
        ref = frame["ref"]
        if ref not in self._asked:
            self.refs[ref] = frame
            return
        self._asked.discard(ref)
        if frame["action"] == "error":
            # the inbox could not be read; another connection begins from the same cursor
            await self._socket.close()

    def _count(self, frame: dict[str, Any]) -> None:
        self.counters = (frame["unread"], frame["unseen"])

    def _set(self, change: dict[str, Any]) -> None:
        mine = self.rows.get(change["id"])
        if mine is not None and mine["version"] >= change["version"]:
            return
        if change.get("deleted"):
            self._remove(change["id"], change["version"])
        elif self._removed is None or self._removed.get(change["id"], -1) < change["version"]:
            self.rows[change["id"]] = change

    def _remove(self, row_id: int, version: int) -> None:
        self.rows.pop(row_id, None)
        if self._removed is not None:
            self._removed[row_id] = version

    def _mark(self, frame: dict[str, Any]) -> None:
        for row in self.rows.values():
            if row["version"] < frame["version"] and _reaches(frame, row):
                altered = _altered(row, frame["state"], frame["at"])
                if altered != row:
                    row.update(altered, version=frame["version"])

    # section 7.3

    def _reset(self, frame: dict[str, Any]) -> None:
        self.resets += 1
        self.cursor = None
        self._live, self._loaded = False, False
        task = asyncio.ensure_future(self._start_anew(self._socket, frame["retry_after"]))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _start_anew(self, socket: Any, pause: float) -> None:
        await asyncio.sleep(pause * self.patience)
        try:
            while self._socket is socket:
                try:
                    await self._load()
                    break
                except httpx.HTTPError:
                    await asyncio.sleep(FIRST_PAUSE * self.patience)
            if self._socket is socket and self.epoch != self._socket_epoch:
                await socket.close()
            elif self._socket is socket:
                await self._ask_again()
        except (ConnectionClosed, ConnectionError):
            pass  # the next connection begins with the list that was loaded, or loads it

    async def _load(self) -> None:
        """All rows, also archived and expired ones; the cursor of the first page."""
        url: str | None = f"http://127.0.0.1:{self.port}/api/notifications/?state=all&limit=200"
        rows: dict[int, dict[str, Any]] = {}
        first: dict[str, Any] | None = None
        self._removed = {}
        try:
            while url:
                answer = await self._http.get(
                    url, headers={"Authorization": f"Bearer {self.person.token}"}
                )
                answer.raise_for_status()
                wrong = self._check(self.person.name, answer.text)
                if wrong:
                    self.faults.append(wrong)
                page = answer.json()
                first = first or page
                for row in page["results"]:
                    if self._removed.get(row["id"], -1) < row["version"]:
                        rows[row["id"]] = row
                # by key: what arrives meanwhile does not shift the pages
                lowest = min((row["id"] for row in page["results"]), default=0)
                base = f"http://127.0.0.1:{self.port}/api/notifications/?state=all&limit=200"
                url = f"{base}&before={lowest}" if page["next"] else None
        finally:
            self._removed = None
        assert first is not None
        self.rows, self.epoch, self.version = rows, first["epoch"], first["version"]
        self.cursor, self._loaded = None, True


def _reaches(frame: dict[str, Any], row: dict[str, Any]) -> bool:
    if "ids" in frame:
        return row["id"] in frame["ids"]
    if row["arrived"] > frame["up_to"] or row["expired_at"] is not None:
        return False
    if frame.get("type") not in (None, row["event"]["type"]["name"]):
        return False
    return (row["archived_at"] is not None) == (frame["state"] == "unarchived")


def _altered(row: dict[str, Any], state: str, at: str) -> dict[str, Any]:
    """The row after the mark, by the table of section 4."""
    changed = dict(row)
    match state:
        case "unread":
            changed["read_at"] = None
        case "unarchived":
            changed["archived_at"] = None
        case "read":
            changed["seen_at"] = row["seen_at"] or at
            changed["read_at"] = row["read_at"] or at
        case _:
            changed[f"{state}_at"] = row[f"{state}_at"] or at
    return changed


class Clients:
    """Any number of clients on one loop in a thread of its own."""

    def __init__(self, *, check: Callable[[str, str], str | None]) -> None:
        self.all: list[Client] = []
        #: Of those that have left: what they complained of stays.
        self.faults: list[str] = []
        self._check = check
        self._running: dict[Client, asyncio.Task[None]] = {}
        self.thread = LoopThread("clients")
        self._http: httpx.AsyncClient | None = None

    def start(
        self, person: Person, *, port: int, patience: float = 0.1, ping_interval: float = 20.0
    ) -> Client:
        """A client that begins to connect; nobody waits for it here."""

        def begin() -> Client:
            if self._http is None:
                limits = httpx.Limits(max_connections=50, max_keepalive_connections=0)
                self._http = httpx.AsyncClient(limits=limits, timeout=10, trust_env=False)
            client = Client(
                person,
                port=port,
                http=self._http,
                check=self._check,
                patience=patience,
                ping_interval=ping_interval,
            )
            self._running[client] = asyncio.ensure_future(client.run())
            return client

        client = self.thread.call(begin)
        self.all.append(client)
        return client

    def ask(self, client: Client, *, ref: str, **frame: Any) -> dict[str, Any]:
        return self.thread.run(client.ask(ref=ref, **frame))

    def copies(self) -> list[tuple[Client, Copy]]:
        return self.thread.call(lambda: [(client, client.copy()) for client in self.all])

    def wrongs(self) -> list[str]:
        """What any client complains of, or died of."""
        dead = [
            f"{client.person.name}: {task.exception()!r}"
            for client, task in list(self._running.items())
            if task.done() and not task.cancelled() and task.exception() is not None
        ]
        faults = [f"{it.person.name}: {fault}" for it in self.all for fault in it.faults]
        return self.faults + faults + dead

    def leave(self, *clients: Client) -> None:
        async def end() -> None:
            tasks = [self._running.pop(client) for client in clients]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self.faults += [f"{it.person.name}: {fault}" for it in clients for fault in it.faults]
        for client in clients:
            self.all.remove(client)
        self.thread.run(end())

    def close(self) -> None:
        async def end() -> None:
            if self._http is not None:
                await self._http.aclose()

        self.leave(*self.all)
        self.thread.run(end())
        self.thread.close()
