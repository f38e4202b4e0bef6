"""Who is connected to this process: a map from users to their sockets."""

import asyncio
import logging
from collections.abc import Callable, Iterable

from routing.live.messages import Key, Told
from routing.live.protocol import TOO_MANY_SOCKETS
from routing.live.reading import Reader
from routing.live.sockets import Socket

logger = logging.getLogger(__name__)

FrameOf = Callable[[int, int, int, bool], bytes]  # of version, unread, unseen, silent


class UserSockets:
    """The sockets of one user in this process, oldest first."""

    __slots__ = ("acked", "acked_epoch", "key", "known", "leased", "reading", "sockets", "timer")

    def __init__(self, key: Key) -> None:
        self.key = key
        self.sockets: list[Socket] = []
        #: The highest version heard of, from frames, hints or reconcile.
        self.known = 0
        self.timer: asyncio.TimerHandle | None = None
        self.reading = False
        #: What visible pages have acknowledged, and in which epoch; written by leases.
        self.acked = 0
        self.acked_epoch = ""
        #: When the lease was last written, by the loop's clock; None: not yet, or out of date.
        self.leased: float | None = None

    def behind(self) -> list[Socket]:
        """Those that a read can be written to now, and need one."""
        return [socket for socket in self.sockets if socket.ready and socket.is_behind(self.known)]


class Registry:
    def __init__(
        self,
        reader: Reader,
        *,
        sockets_per_user: int,
        joined: Callable[[UserSockets], None],
        left: Callable[[UserSockets], None],
    ) -> None:
        self.users: dict[Key, UserSockets] = {}
        self.count = 0
        self.reader = reader
        self._limit = sockets_per_user
        self._due: list[Socket] = []
        self._joined = joined
        self._left = left

    def add(self, socket: Socket) -> UserSockets:
        """From here on the socket misses nothing that reaches this process."""
        user = self.users.get(socket.key)
        if user is None:
            user = self.users[socket.key] = UserSockets(socket.key)
        user.sockets.append(socket)
        self.count += 1
        socket.on_drain = self._drained
        socket.on_due = self._due.append
        user.leased = None
        self._joined(user)
        while len(user.sockets) > self._limit:
            oldest = user.sockets[0]
            self.remove(oldest)
            oldest.close(TOO_MANY_SOCKETS)
        return user

    def remove(self, socket: Socket) -> None:
        user = self.users.get(socket.key)
        if user is None or socket not in user.sockets:
            return
        user.sockets.remove(socket)
        self.count -= 1
        if not user.sockets:
            del self.users[socket.key]
            if user.timer is not None:
                user.timer.cancel()
            self._left(user)

    def sockets(self) -> list[Socket]:
        return [socket for user in self.users.values() for socket in user.sockets]

    def offer(self, user: UserSockets, version: int, frame: bytes) -> None:
        """A live frame, ready, for all sockets of a user. Those that take it have it written
        together with what else comes for them in this turn of the loop."""
        self._soon()
        behind = False
        for socket in user.sockets:
            if not socket.offer(version, frame):
                behind = True
        if behind:
            self.hint(user.key, version=version)

    def offer_each(self, told: Iterable[Told], frame_of: FrameOf) -> int:
        """As `offer`, to each user who is told and is connected here; how many these are."""
        self._soon()
        users, found = self.users.get, 0
        for key, version, unread, unseen, silent in told:
            user = users(key)
            if user is None:
                continue
            found += 1
            frame, behind = frame_of(version, unread, unseen, silent), False
            for socket in user.sockets:
                if not socket.offer(version, frame):
                    behind = True
            if behind:
                self.hint(key, version=version)
        return found

    def _soon(self) -> None:
        if not self._due:
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        due = self._due[:]
        self._due.clear()  # the same list: sockets hold on to it
        for socket in due:
            socket.flush()

    def hint(self, key: Key, *, version: int) -> None:
        """The user's inbox has come to `version`: whoever is behind reads."""
        user = self.users.get(key)
        if user is None:
            return
        user.known = max(user.known, version)
        if user.behind():
            self.reader.schedule(user)

    def settled(self, socket: Socket) -> None:
        """The socket takes frames from now on; what passed meanwhile it reads."""
        socket.live = True
        self._drained(socket)

    def _drained(self, socket: Socket) -> None:
        user = self.users.get(socket.key)
        if user is not None and socket.ready and socket.is_behind(user.known):
            self.reader.schedule(user)
