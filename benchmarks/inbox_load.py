"""The inbox under load: how long a page of 20 takes, from when it was due, at a rising rate.

    python -m benchmarks.inbox_load [--rows 10000] [--seconds 5] [--small] [--json]

The same server, data and peer as in `inbox.py`. First the most requests per second that 16 clients
get who ask again as soon as they are answered; then requests at random times (an open loop, as
many people do), at 20 to 100 % of that, over as many connections as it takes. Latency counts from
when a request was due, so that one that waits for a connection is not left out.
"""

import argparse
import asyncio
import collections
import random
import sys
from pathlib import Path
from typing import Any

from benchmarks.inbox import CLIENTS, fill, rate
from benchmarks.live_stand import make_tokens, serving
from benchmarks.stand import (
    LOAD,
    curve,
    make_users,
    on_core,
    percentile,
    report,
    say,
    servers,
    start_django,
    versions,
)

CONNECTIONS = 128
SHARES = (0.2, 0.4, 0.6, 0.8, 1.0)
AT_LEAST = 200  # requests at each rate: else a p99 says nothing
PATHS = {
    "the hub": "/api/notifications/?limit=20",
    "DRF LimitOffset": "/peer/notifications/?limit=20",
}


class Crowd:
    """Takes the requests that are due, over as many connections as that needs, and notes how long
    each took."""

    def __init__(self, port: int, request: bytes, number: int) -> None:
        self.port, self.request = port, request
        self.number = number  # of requests
        self.free: list[Connection] = []
        self.connections = 0
        self.waiting: collections.deque[float] = collections.deque()  # due times
        self.took: list[float] = []
        self.loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self.loop.create_future()
        self._connecting: set[asyncio.Task[Any]] = set()

    def due(self, at: float | None = None) -> None:
        at = self.loop.time() if at is None else at
        if self.free:
            self.free.pop().ask(at)
            return
        self.waiting.append(at)
        if self.connections < CONNECTIONS:
            self.connections += 1
            making = self.loop.create_connection(lambda: Connection(self), "127.0.0.1", self.port)
            task = self.loop.create_task(making)
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)

    def ready(self, connection: "Connection") -> None:
        if self.waiting:
            connection.ask(self.waiting.popleft())
        else:
            self.free.append(connection)

    def answered(self, connection: "Connection", asked: float) -> None:
        self.took.append(self.loop.time() - asked)
        if len(self.took) == self.number and not self.ended.done():
            self.ended.set_result(None)
        self.ready(connection)

    def lost(self, connection: "Connection") -> None:
        """The server closes what is idle; a request that met with that is due again."""
        self.connections -= 1
        if connection in self.free:
            self.free.remove(connection)
        elif not self.ended.done():
            self.due(connection.asked)


class Connection(asyncio.Protocol):
    """Kept open, one request at a time."""

    def __init__(self, crowd: Crowd) -> None:
        self.crowd = crowd
        self._buffer = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.crowd.ready(self)

    def ask(self, due: float) -> None:
        self.asked = due
        self.transport.write(self.crowd.request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, blank, body = self._buffer.partition(b"\r\n\r\n")
        length = head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
        if blank and len(body) >= int(length):
            if head.split(b" ", 2)[1] != b"200" and not self.crowd.ended.done():
                self.crowd.ended.set_exception(SystemExit(f"answered {head[:300]!r}"))
            self._buffer = b""
            self.crowd.answered(self, self.asked)

    def connection_lost(self, exception: Exception | None) -> None:
        self.crowd.lost(self)


async def latencies(
    port: int, path: str, token: str, per_second: float, number: int
) -> list[float]:
    """Seconds that each of so many requests took from when it was due."""
    crowd = Crowd(
        port,
        (
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            f"Authorization: Bearer {token}\r\n\r\n"
        ).encode(),
        number,
    )
    chance = random.Random(1)  # the same times for everybody
    at = crowd.loop.time()
    for _ in range(number):
        at += chance.expovariate(per_second)
        crowd.loop.call_at(at, crowd.due)
    async with asyncio.timeout(2 * number / per_second + 30):
        await crowd.ended
    for connection in crowd.free:
        connection.transport.close()
    return crowd.took


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.small:
        options.rows, options.seconds = 500, 1.0
    on_core(LOAD)()
    with servers(redis=False) as found:
        start_django(found, DJANGO_SETTINGS_MODULE="benchmarks.peers.inbox_settings")
        from django.db import connection

        from tests.servers import free_port

        say(f"filling an inbox with {options.rows:,} notifications")
        [user_id] = make_users(1)
        fill(user_id, options.rows)
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")
        tokens = make_tokens([user_id] * CLIENTS)
        port, log = free_port(), Path(found["HUB_DATA"], "log")
        with serving(["manage.py", "serve", "--port", str(port)], port, log):
            lines = [line for name in PATHS for line in take(name, port, tokens, options)]
        known = versions("django", "djangorestframework", "uvicorn", PostgreSQL=found["postgres"])
    report([{**line, "versions": known} for line in lines], as_json=options.json)
    return 0


def take(name: str, port: int, tokens: list[str], options: Any) -> list[dict[str, Any]]:
    """The curves of one side."""
    path = PATHS[name]
    say(f"{name}: the most")
    most = max(1.0, asyncio.run(rate(port, path, tokens, options.seconds)))
    found: dict[int, list[tuple[float, float]]] = {50: [], 99: []}
    for share in SHARES:
        per_second = most * share
        say(f"{name}: {per_second:,.0f} requests/s")
        number = 20 if options.small else max(AT_LEAST, int(per_second * options.seconds))
        took = asyncio.run(latencies(port, path, tokens[0], per_second, number))
        for percent, points in found.items():
            points.append((per_second, percentile(took, percent) * 1000))
    return [
        curve(
            "inbox-load",
            title=f"A page of 20 of {options.rows:,} over REST, under load (one server process)",
            x="requests/s, at 20, 40, 60, 80 and 100 % of each side's most",
            y="milliseconds from when it was due",
            series=f"{name}, p{percent}",
            points=points,
            log="y",
            dashed=name != "the hub",
        )
        for percent, points in found.items()
    ]


if __name__ == "__main__":
    sys.exit(main())
