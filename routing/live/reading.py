"""Reads what sockets have missed: once per user and process, however many sockets there are."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from notifications import inbox
from routing.live.executor import Executor
from routing.live.messages import Key
from routing.live.protocol import hello_frame, sync_frame

if TYPE_CHECKING:
    from routing.live.registry import UserSockets

logger = logging.getLogger(__name__)

GAP = 0.03  # seconds a missing frame may still take before the gap is read
RETRY = 1.0  # seconds after a read that failed
FRAME_LIMIT = 1_000_000  # bytes of a sync frame; larger pages are read again in parts

Spawn = Callable[[Coroutine[Any, Any, None]], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One answer to a cursor, its frame ready to be written."""

    epoch: str
    version: int
    reset: bool
    cursor: str | None
    frame: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What a socket begins with."""

    hello: str
    epoch: str
    version: int
    page: Page | None


def read_page(key: Key, *, epoch: str | None, since: Any) -> Page:
    """The changes after a cursor, as many as one frame may hold."""
    changes, frame = _changes(key, epoch=epoch, since=since)
    return _page(changes, frame)


def read_start(key: Key, *, epoch: str | None, since: Any) -> Start:
    """The inbox as a new socket finds it; with a `since` that is not None the first page too."""
    if since is None:
        found: inbox.Summary | inbox.Changes = inbox.summary(key)
        page = None
    else:
        changes, frame = _changes(key, epoch=epoch, since=since)
        page = _page(changes, frame)
        # of an unfinished answer `version` is not yet the inbox's
        found = inbox.summary(key) if changes.more else changes
    hello = hello_frame(
        epoch=found.epoch, version=found.version, unread=found.unread, unseen=found.unseen
    )
    return Start(hello=hello, epoch=found.epoch, version=found.version, page=page)


def _changes(key: Key, *, epoch: str | None, since: Any) -> tuple[inbox.Changes, str]:
    limit = inbox.PAGE
    while True:
        changes = inbox.changes(key, epoch=epoch, since=since, limit=limit)
        frame = sync_frame(changes, since=since)
        size = len(frame.encode())
        if size <= FRAME_LIMIT or limit == 1:
            return changes, frame
        # rows differ in size: a little less than the average says
        limit = max(1, len(changes.changes) * FRAME_LIMIT // size * 3 // 4)


def _page(changes: inbox.Changes, frame: str) -> Page:
    return Page(
        epoch=changes.epoch,
        version=changes.version,
        reset=changes.reset,
        cursor=changes.cursor if changes.more else None,
        frame="" if changes.reset else frame,
    )


class Reader:
    """Brings sockets that are behind up to their inbox."""

    def __init__(self, executor: Executor, *, spawn: Spawn) -> None:
        self.executor = executor
        self._spawn = spawn

    def schedule(self, user: "UserSockets", *, delay: float = GAP) -> None:
        """Reads for the user's sockets soon, if they are still behind then."""
        if user.timer is None and not user.reading:
            loop = asyncio.get_running_loop()
            user.timer = loop.call_later(delay, self._begin, user)

    def _begin(self, user: "UserSockets") -> None:
        user.timer = None
        user.reading = True
        self._spawn(self._read(user))

    async def _read(self, user: "UserSockets") -> None:
        delay = GAP
        try:
            more = True
            while more:
                groups = defaultdict(list)
                for socket in user.behind():
                    groups[socket.position].append(socket)
                for (epoch, since), sockets in groups.items():
                    await self._read_for(user, sockets, epoch=epoch, since=since)
                # unfinished answers go on at once, anything else has its 30 ms again
                more = any(socket.cursor is not None for socket in user.behind())
        except Exception as error:
            logger.warning("read user=%s failed error=%r", user.key, error)
            delay = RETRY
        finally:
            user.reading = False
        if user.behind():
            self.schedule(user, delay=delay)

    async def _read_for(
        self, user: "UserSockets", sockets: list[Any], *, epoch: str, since: int | str
    ) -> None:
        known = user.known
        page = await self.executor.run(read_page, user.key, epoch=epoch, since=since)
        for socket in sockets:
            # one that frames have moved meanwhile has no gap there any more
            if socket.ready and socket.position == (epoch, since):
                socket.answer(page)
        if page.cursor is None and page.version < known == user.known:
            # what was heard of belongs to another epoch: the inbox itself knows better
            user.known = page.version
