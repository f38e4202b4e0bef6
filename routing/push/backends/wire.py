"""Posts over kept-open HTTP/1.1 connections, at a fraction of what a general client costs.

For Web Push, where a request is one small POST and all about it is known. Nothing is followed,
nothing is unpacked, nothing is read from the environment; httptools (llhttp) reads the answers, and
every connection's address is checked by guard.py, as everywhere.
"""

import asyncio
import socket
import ssl
import time
from typing import Any

import aiohappyeyeballs
import httptools

from routing.push.backends import guard
from routing.push.backends.answers import Answer
from routing.push.backends.guard import Target

#: A name is looked up once in so many seconds, however many connections are opened to it.
LOOKUP_SECONDS = 10.0
#: How often idle connections are looked through.
SWEEP_SECONDS = 5.0
#: No push service's head is as long.
MAX_HEAD = 16 * 1024


class NotConnected(OSError):
    """No connection came about, so nothing was sent; the cause says why."""


class Connection(asyncio.Protocol):
    """One request at a time; whatever goes wrong closes it."""

    def __init__(self) -> None:
        self.usable = True
        self.idle_since = 0.0
        self._transport: Any = None
        self._waiting: asyncio.Future[Answer] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._begin()

    def _begin(self) -> None:
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self._bytes = 0
        self._head_is_read = False

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def ask(self, request: bytes) -> "asyncio.Future[Answer]":
        self._begin()
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._waiting

    def data_received(self, data: bytes) -> None:
        if self._waiting is None or self._waiting.done():
            self.abort()  # nobody has asked
            return
        self._bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.fail(ConnectionError("not an answer in HTTP"))
        if not self._head_is_read and self._bytes > MAX_HEAD:
            self.fail(ConnectionError("the answer's head has no end"))

    def on_message_begin(self) -> None:
        if self._waiting is None or self._waiting.done():
            self.abort()  # a second answer to one request

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").title()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._head_is_read = True

    def on_body(self, part: bytes) -> None:
        self._body += part[: guard.MAX_ANSWER - len(self._body)]
        if len(self._body) >= guard.MAX_ANSWER:
            self._done(keep=False)

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() < 200:
            self._begin()  # an interim answer; the real one follows
        else:
            self._done(keep=self._parser.should_keep_alive())

    def connection_lost(self, error: Exception | None) -> None:
        self.usable = False
        # An answer that gives no length ends with its connection.
        lengths = {"Content-Length", "Transfer-Encoding"} & self._headers.keys()
        if error is None and self._head_is_read and not lengths:
            self._done(keep=False)
        else:
            self.fail(error or ConnectionResetError("closed without an answer"))

    def _done(self, *, keep: bool) -> None:
        if self._waiting is not None and not self._waiting.done():
            status = self._parser.get_status_code()
            self._waiting.set_result(Answer(status, self._headers, bytes(self._body)))
        if not keep:
            self.abort()

    def fail(self, error: Exception) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)
        self.abort()

    def is_old(self) -> bool:
        return time.monotonic() - self.idle_since > guard.KEEP_ALIVE_SECONDS

    def abort(self) -> None:
        self.usable = False
        self._transport.abort()


class Wire:
    """Connections by origin. How many are in use is the callers' concern: each holds one while it
    posts."""

    def __init__(self) -> None:
        self._tls = ssl.create_default_context()  # takes 27 ms: once
        self._idle: dict[str, list[Connection]] = {}
        self._swept = time.monotonic()
        self._names: dict[tuple[str, int], tuple[float, asyncio.Task[list[Any]]]] = {}
        self._closed = False

    def close(self) -> None:
        self._closed = True
        for _, looking_up in self._names.values():
            looking_up.cancel()
        for connections in self._idle.values():
            for connection in connections:
                connection.abort()
        self._idle.clear()

    async def post(self, target: Target, request: bytes) -> Answer:
        """The answer to the request. Raises `NotConnected` where nothing was sent; after any other
        `OSError` it may have been taken."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + guard.TOTAL_SECONDS
        connection = self._take(target.origin)
        if connection is None:
            try:
                async with asyncio.timeout(min(guard.CONNECT_SECONDS, guard.TOTAL_SECONDS)):
                    connection = await self._connect(target)
            except OSError as error:  # a time-out is one too
                raise NotConnected from error
        # A bare timer: asyncio.timeout() costs more than writing the request.
        timer = loop.call_at(deadline, connection.fail, TimeoutError("no answer in time"))
        try:
            return await connection.ask(request)
        except BaseException:
            connection.abort()
            raise
        finally:
            timer.cancel()
            self._give_back(target.origin, connection)

    def _take(self, origin: str) -> Connection | None:
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()  # the last used is the least likely to be closed by now
            if connection.usable and not connection.is_old():
                return connection
            connection.abort()
        return None

    def _give_back(self, origin: str, connection: Connection) -> None:
        if self._closed:
            connection.abort()
        if connection.usable:
            connection.idle_since = time.monotonic()
            self._idle.setdefault(origin, []).append(connection)
        self._sweep()

    def _sweep(self) -> None:
        """Now and then, ends what was idle for too long: there may be many origins."""
        if time.monotonic() - self._swept < SWEEP_SECONDS:
            return
        self._swept = time.monotonic()
        for origin, idle in list(self._idle.items()):
            kept = [each for each in idle if each.usable and not each.is_old()]
            for connection in set(idle) - set(kept):
                connection.abort()
            if kept:
                self._idle[origin] = kept
            else:
                del self._idle[origin]

    async def _connect(self, target: Target) -> Connection:
        addresses = await self._addresses(target)
        found = await aiohappyeyeballs.start_connection(
            addresses,
            happy_eyeballs_delay=0.25,
            interleave=1,
            socket_factory=guard.guarded_socket,
        )
        secure = target.scheme == "https"
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                Connection,
                sock=found,
                ssl=self._tls if secure else None,
                server_hostname=target.host if secure else None,
            )
        except BaseException:
            found.close()
            raise
        return connection

    async def _addresses(self, target: Target) -> list[Any]:
        key, now = (target.host, target.port), time.monotonic()
        kept = self._names.get(key)
        if kept is None or now - kept[0] > LOOKUP_SECONDS:
            self._names = {
                name: entry
                for name, entry in self._names.items()
                if now - entry[0] <= LOOKUP_SECONDS
            }
            looking_up = asyncio.ensure_future(self._look_up(*key))
            looking_up.add_done_callback(lambda task: task.cancelled() or task.exception())
            kept = self._names[key] = (now, looking_up)
        # Shielded: who gives up waiting must not take the answer from the others.
        return await asyncio.shield(kept[1])

    async def _look_up(self, host: str, port: int) -> list[Any]:
        loop = asyncio.get_running_loop()
        return list(await loop.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM))
