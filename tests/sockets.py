"""A client of the live road as section 7 of docs/protocol.md wants one: its copy stays equal.

    async with Client(server, token) as client:
        await client.until(lambda: len(client.rows) == 1)

`open_socket` is the bare connection, for tests that look at single frames.
"""

import asyncio
import json
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.waiting import await_for

ANSWER = 5.0  # seconds


def open_socket(
    url: str,
    *,
    token: str = "",
    origin: str | None = None,
    cookie: str = "",
    subprotocols: list[str] | None = None,
    since: Any = None,
    epoch: str | None = None,
    **options: Any,
) -> Any:
    """`async with open_socket(server.ws_url, token=token) as socket:`"""
    headers = {}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if cookie:
        headers["Cookie"] = cookie
    query = {"since": since, "epoch": epoch}
    text = urllib.parse.urlencode({name: it for name, it in query.items() if it is not None})
    return connect(
        f"{url}?{text}" if text else url,
        additional_headers=headers,
        origin=origin,  # type: ignore[arg-type]
        subprotocols=subprotocols,  # type: ignore[arg-type]
        compression=None,
        max_size=2**21,
        proxy=None,
        **options,
    )


async def next_frame(socket: ClientConnection, *, within: float = ANSWER) -> dict[str, Any]:
    """The next frame but pings."""
    async with asyncio.timeout(within):
        while True:
            frame: dict[str, Any] = json.loads(await socket.recv())
            if frame["action"] != "ping":
                return frame


async def closing(socket: ClientConnection, *, within: float = ANSWER) -> tuple[list[Any], int]:
    """The frames until the server closes, and its close code."""
    frames = []
    async with asyncio.timeout(within):
        try:
            while True:
                frames.append(json.loads(await socket.recv()))
        except ConnectionClosed as closed:
            return frames, closed.rcvd.code if closed.rcvd else 1006


class Client:
    """Holds rows by id, the counters and the cursor; comes back by itself when it is cut off."""

    def __init__(self, ws_url: str, token: str) -> None:
        self.ws_url = ws_url
        self.api = ws_url.replace("ws://", "http://").replace("/ws/notifications", "/api/")
        self.token = token
        self.rows: dict[int, dict[str, Any]] = {}
        self.counters: dict[str, int] = {}
        self.epoch = ""
        self.version = -1
        #: Every version of a live frame as it came, to look for holes and repeats.
        self.heard: list[int] = []
        self.frames: list[dict[str, Any]] = []
        self.connects = 0
        self.faults: list[str] = []
        self.socket: ClientConnection | None = None
        self._dropping = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._load()
        self._task = asyncio.create_task(self._run())
        await self.until(lambda: self.connects > 0)
        return self

    async def __aexit__(self, *exception: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])

    async def until(self, condition: Callable[[], Any], within: float = ANSWER) -> None:
        await await_for(condition, within)

    async def say(self, **frame: Any) -> None:
        assert self.socket is not None
        await self.socket.send(json.dumps(frame))

    async def _run(self) -> None:
        pause = 0.1
        while True:
            try:
                async with open_socket(
                    self.ws_url, token=self.token, since=self.version, epoch=self.epoch
                ) as socket:
                    self.socket = socket
                    async for text in socket:
                        await self._take(json.loads(text))
                        pause = 0.1
            except (OSError, ConnectionClosed, TimeoutError, EOFError):
                pass
            except Exception as fault:
                self.faults.append(repr(fault))
                raise
            await asyncio.sleep(pause)
            pause = min(pause * 2, 2.0)

    async def _take(self, frame: dict[str, Any]) -> None:
        self.frames.append(frame)
        match frame["action"]:
            case "hello":
                self.connects += 1
                self._dropping = False
            case "sync":
                self._sync(frame)
            case "new" | "marked" | "deleted":
                await self._live(frame)
            case "reset":
                await self._reset(frame)
            case "ping":
                await self.say(action="pong")

    def _sync(self, frame: dict[str, Any]) -> None:
        self._dropping = False
        for change in frame["changes"]:
            self._set(change)
        self.epoch, self.version = frame["epoch"], frame["version"]
        self._count(frame)

    async def _live(self, frame: dict[str, Any]) -> None:
        self.heard.append(frame["version"])
        if self._dropping or frame["version"] <= self.version:
            return
        if frame["version"] > self.version + 1:
            self.faults.append(f"gap: {self.version} then {frame['version']}")
            self._dropping = True
            await self.say(action="sync", since=self.version)
            return
        self.version += 1
        self._count(frame)
        match frame["action"]:
            case "new":
                self._set(frame["notification"])
            case "deleted":
                for row_id in frame["ids"]:
                    self.rows.pop(row_id, None)
            case "marked":
                self._mark(frame)

    def _count(self, frame: dict[str, Any]) -> None:
        self.counters = {name: frame[name] for name in ("unread", "unseen")}

    def _set(self, change: dict[str, Any]) -> None:
        mine = self.rows.get(change["id"])
        if mine is not None and mine["version"] >= change["version"]:
            return
        if change.get("deleted"):
            self.rows.pop(change["id"], None)
        else:
            self.rows[change["id"]] = change

    def _mark(self, frame: dict[str, Any]) -> None:
        for row in self.rows.values():
            if row["version"] < frame["version"] and _reaches(frame, row):
                altered = _altered(row, frame["state"], frame["at"])
                if altered != row:
                    row.update(altered, version=frame["version"])

    async def _reset(self, frame: dict[str, Any]) -> None:
        await asyncio.sleep(min(frame["retry_after"], 0.2))
        await self._load()
        self._dropping = True
        await self.say(action="sync", since=self.version)

    async def _load(self) -> None:
        """All rows by REST, also archived and expired ones; the cursor of the first page."""
        rows, url, first = {}, self.api + "notifications/?limit=200&state=all", None
        while url:
            page = await asyncio.to_thread(self._get, url)
            first = first or page
            rows |= {row["id"]: row for row in page["results"]}
            url = page["next"]
        assert first is not None
        self.rows, self.epoch, self.version = rows, first["epoch"], first["version"]

    def _get(self, url: str) -> Any:
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)


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
