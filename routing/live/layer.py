"""The local layer: carries messages between the threads and event loops of one process.

It has the interface of a Channels layer. Unlike the in-memory layer of Channels it may be used
from several event loops at once, delivers at once, costs the same for every member of a group, and
forgets nobody who is slow to read.
"""

import asyncio
import logging
import threading
import uuid
from collections import deque
from typing import Any

from channels.exceptions import ChannelFull

logger = logging.getLogger(__name__)

CAPACITY = 10_000  # messages that wait for one reader

Message = dict[str, Any]


class LocalChannelLayer:
    """`BACKEND` of CHANNEL_LAYERS where one process is all there is."""

    extensions = ["groups", "flush"]

    def __init__(self, *, capacity: int = CAPACITY) -> None:
        self.capacity = capacity
        #: Messages that found no room; only ever raised.
        self.dropped = 0
        self._lock = threading.Lock()
        self._mailboxes: dict[str, _Mailbox] = {}
        self._groups: dict[str, dict[str, None]] = {}

    @property
    def has_members(self) -> bool:
        """Whether a message for a group could reach anybody."""
        return bool(self._groups)

    async def new_channel(self, prefix: str = "specific") -> str:
        name = f"{prefix}.{uuid.uuid4().hex}"
        with self._lock:
            self._mailboxes[name] = _Mailbox()
        return name

    async def send(self, channel: str, message: Message) -> None:
        """Raises `ChannelFull` where the reader is too far behind."""
        with self._lock:
            # a name that nobody made is one that readers agreed on
            mailbox = self._mailboxes.setdefault(channel, _Mailbox())
            if not self._put(mailbox, message):
                raise ChannelFull

    async def receive(self, channel: str) -> Message:
        """The next message. A reader who is cancelled is gone, and its channel with it."""
        loop = asyncio.get_running_loop()
        while True:
            with self._lock:
                mailbox = self._mailboxes.setdefault(channel, _Mailbox())
                if mailbox.messages:
                    return mailbox.messages.popleft()
                wake: asyncio.Future[None] = loop.create_future()
                mailbox.waiting.append((loop, wake))
            try:
                await wake
            except asyncio.CancelledError:
                self._forget(channel)
                raise

    async def group_add(self, group: str, channel: str) -> None:
        with self._lock:
            self._groups.setdefault(group, {})[channel] = None

    async def group_discard(self, group: str, channel: str) -> None:
        with self._lock:
            self._leave(group, channel)

    async def group_send(self, group: str, message: Message) -> None:
        """To every channel of the group; one that has no room misses it."""
        with self._lock:
            for channel in list(self._groups.get(group, ())):
                mailbox = self._mailboxes.get(channel)
                if mailbox is None:
                    self._leave(group, channel)
                elif not self._put(mailbox, message):
                    self.dropped += 1

    async def flush(self) -> None:
        with self._lock:
            self._mailboxes.clear()
            self._groups.clear()

    def _put(self, mailbox: "_Mailbox", message: Message) -> bool:
        if len(mailbox.messages) >= self.capacity:
            return False
        mailbox.messages.append(dict(message))
        mailbox.wake()
        return True

    def _leave(self, group: str, channel: str) -> None:
        members = self._groups.get(group)
        if members is not None:
            members.pop(channel, None)
            if not members:
                del self._groups[group]

    def _forget(self, channel: str) -> None:
        with self._lock:
            self._mailboxes.pop(channel, None)
            for group in [name for name, members in self._groups.items() if channel in members]:
                self._leave(group, channel)


class _Mailbox:
    """What waits for the readers of one channel; touched under the layer's lock only."""

    __slots__ = ("messages", "waiting")

    def __init__(self) -> None:
        self.messages: deque[Message] = deque()
        self.waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []

    def wake(self) -> None:
        for loop, future in self.waiting:
            try:
                loop.call_soon_threadsafe(_finish, future)
            except RuntimeError:
                pass  # that reader's loop has ended without a word
        self.waiting.clear()


def _finish(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
