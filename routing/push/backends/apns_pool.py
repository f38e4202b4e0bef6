"""Connections to one APNs host: gives waiting requests to whichever has room, and sees to time."""

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterable

from routing.push.backends.answers import Answer
from routing.push.backends.apns_wire import Connection, Request, lost, reset_by_peer
from routing.push.outcomes import Outcome, Verdict

#: Apple asks to use few connections, and more than one where one is not enough.
MAX_CONNECTIONS = 5
CONNECT_SECONDS = 5.0
#: How often one request may be refused unprocessed. Apple refuses all that is under way when it
#: lowers its limit on streams, after each rejection: in a batch of dead tokens that is often.
MAX_TRIES = 50
#: So many connections in a row that ended before they gave an answer: the host is not well.
MAX_BARREN = 3
#: An idle connection is asked after so long whether it is still there (Apple recommends pings).
PING_SECONDS = 60.0
PING_ANSWER_SECONDS = 10.0
CLOSE_SECONDS = 1.0


class NotApns(OSError):
    """The host does not speak HTTP/2, or says nothing."""


class Pool:
    """`seconds` is how long a request may wait for a stream, and then again for its answer."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        tls: ssl.SSLContext,
        concurrency: int,
        seconds: float,
        is_stale: Callable[[Answer], bool],
    ) -> None:
        self.host, self.port, self._tls = host, port, tls
        self.concurrency, self.seconds = concurrency, seconds
        self.is_stale = is_stale
        self._waiting: deque[Request] = deque()
        self._connections: list[Connection] = []
        self._opening: asyncio.Task[None] | None = None
        self._sweeping: asyncio.TimerHandle | None = None
        self._barren = 0
        self._pumping = self._closed = False

    def submit(self, requests: Iterable[Request]) -> None:
        now = time.monotonic()
        for request in requests:
            request.queued = now
            self._waiting.append(request)
        self.pump()
        self._sweep_soon()

    def forget(self, request: Request) -> None:
        request.done = None
        if request.connection is not None:
            request.connection.cancel(request)

    async def aclose(self) -> None:
        self._closed = True
        if self._sweeping is not None:
            self._sweeping.cancel()
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        open_ones = list(self._connections)
        for connection in open_ones:
            connection.close()
        if open_ones:
            await asyncio.wait([each.lost for each in open_ones], timeout=CLOSE_SECONDS)
        for connection in open_ones:
            connection.abort()
        self._fail_waiting(Outcome(verdict=Verdict.RETRY, reason="closed"))

    # What connections tell

    def again(self, request: Request) -> None:
        request.tries += 1
        in_time = time.monotonic() < request.queued + self.seconds
        if request.tries < MAX_TRIES and in_time:
            self._waiting.appendleft(request)
        else:
            request.end(reset_by_peer(sent=False))

    def ended(self, connection: Connection) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
        self._barren = 0 if connection.answered else self._barren + 1
        self.pump()

    def pump(self) -> None:
        """Gives what waits to connections with room, and opens another where there is none."""
        if self._pumping or self._closed:
            return
        self._pumping = True
        try:
            self._place()
        finally:
            self._pumping = False
        if self._waiting and self._opening is None and self._may_open():
            self._opening = asyncio.ensure_future(self._open())

    def _place(self) -> None:
        free = self.concurrency - sum(len(each.under_way) for each in self._connections)
        for connection in list(self._connections):
            room = min(connection.room(), free)
            placed = 0
            while self._waiting and placed < room:
                request = self._waiting[0]
                if request.done is not None:
                    if not (connection.takes(request.body) and connection.send(request)):
                        break
                    placed += 1
                self._waiting.popleft()
            if placed:
                free -= placed
                connection.flush()

    def _may_open(self) -> bool:
        if any(each.room() > 0 for each in self._connections):
            return False  # it waits for its flow-control window only
        usable = [each for each in self._connections if not each.retired]
        busy = sum(len(each.under_way) for each in self._connections)
        return len(usable) < MAX_CONNECTIONS and busy < self.concurrency

    async def _open(self) -> None:
        try:
            if self._barren >= MAX_BARREN:
                self._barren = 0
                raise ConnectionResetError
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._connect()
        except Exception as error:  # an OSError, as a rule; whatever it is, nobody may wait for it
            self._opening = None
            if not any(each.room() > 0 or each.under_way for each in self._connections):
                self._fail_waiting(lost(error, sent=False))
            return
        self._opening = None
        self.pump()

    async def _connect(self) -> None:
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(self),
            self.host,
            self.port,
            ssl=self._tls,
            server_hostname=self.host,
            happy_eyeballs_delay=0.25,
        )
        try:
            if connection.protocol_spoken() != "h2":
                raise NotApns("no HTTP/2")
            await connection.ready
            if connection.lost.done():
                raise connection.error or NotApns("closed at once")
        except BaseException:
            connection.abort()
            raise
        self._connections.append(connection)

    def _fail_waiting(self, outcome: Outcome) -> None:
        waiting, self._waiting = self._waiting, deque()
        for request in waiting:
            request.end(outcome)

    # Time

    def _sweep_soon(self) -> None:
        if self._sweeping is None and not self._closed:
            loop = asyncio.get_running_loop()
            self._sweeping = loop.call_later(self.seconds / 20, self._sweep)

    def _sweep(self) -> None:
        """One timer for all requests: one for each would cost a tenth of sending it."""
        self._sweeping = None
        now = time.monotonic()
        late = Outcome(verdict=Verdict.RETRY, reason="no stream in time")
        if any(each.queued < now - self.seconds for each in self._waiting):
            waiting, self._waiting = self._waiting, deque()
            for request in waiting:
                if request.queued < now - self.seconds:
                    request.end(late)
                else:
                    self._waiting.append(request)
        for connection in list(self._connections):
            connection.expire(now - self.seconds)
            silent = now - connection.heard
            if connection.under_way or silent < PING_SECONDS:
                continue
            connection.ping()
            if silent > PING_SECONDS + PING_ANSWER_SECONDS:
                connection.abort()
        self.pump()
        if self._waiting or self._connections or self._opening is not None:
            self._sweep_soon()
