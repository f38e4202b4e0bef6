"""The inbox over REST: requests per second that one server process answers.

    python -m benchmarks.inbox [--rows 10000] [--seconds 4] [--rounds 3] [--json]

`manage.py serve` with PostgreSQL, one core for it and one for the clients: 16 kept-open connections
with a bearer token each ask again as soon as they are answered. The peers are views in the same
process, with the same pool and the same authentication: a page by DRF's LimitOffset pagination and
nested model serializers, and a view that does nothing. An empty view, which looks at nobody, stands
in the same process too, where requests do not take Django's own handler, and in one of uvicorn
with that handler.
"""

import argparse
import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.live_stand import make_tokens, serving
from benchmarks.stand import (
    LOAD,
    figure,
    make_users,
    on_core,
    report,
    say,
    servers,
    start_django,
    versions,
)

CLIENTS = 16
#: floor, aim
PAGE_20 = 2.5, 5.0
DEEP = 1 / 1.2, 1.0
UNCHANGED = 0.5, 0.9
PLAIN = ["-m", "uvicorn", "benchmarks.peers.django_handler:application", "--no-access-log"]


class Client(asyncio.Protocol):
    """One kept-open connection that asks again and again until told to stop."""

    def __init__(self, request: bytes, status: bytes) -> None:
        self.request, self.status = request, status
        self.answers = 0
        self.stopping = False
        self.ended = asyncio.get_running_loop().create_future()
        self._buffer = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, blank, body = self._buffer.partition(b"\r\n\r\n")
        if not blank:
            return
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        if len(body) < length:
            return
        if head.split(b" ", 2)[1] != self.status:
            self._end(SystemExit(f"answered {head[:300]!r}"))
            return
        self._buffer = b""
        self.answers += 1
        if self.stopping:
            self._end(None)
        else:
            self.transport.write(self.request)

    def connection_lost(self, exception: Exception | None) -> None:
        self._end(SystemExit("the server closed a connection"))

    def _end(self, error: BaseException | None) -> None:
        if self.ended.done():
            return
        if error is None:
            self.ended.set_result(None)
        else:
            self.ended.set_exception(error)
        self.transport.close()


async def rate(
    port: int, path: str, tokens: list[str], seconds: float, *, status: int = 200, **headers: str
) -> float:
    """Answers per second."""
    loop = asyncio.get_running_loop()
    clients = []
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    for token in tokens[:CLIENTS]:
        request = (
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            f"Authorization: Bearer {token}\r\n{more}\r\n"
        ).encode()
        _, client = await loop.create_connection(
            lambda request=request: Client(request, str(status).encode()),  # type: ignore[misc]
            "127.0.0.1",
            port,
        )
        clients.append(client)
    await asyncio.sleep(seconds / 4)  # warm: connections of the pool, statements
    before, began = sum(client.answers for client in clients), time.perf_counter()
    await asyncio.sleep(seconds)
    done = sum(client.answers for client in clients) - before
    took = time.perf_counter() - began
    for client in clients:
        client.stopping = True
    await asyncio.gather(*(client.ended for client in clients))
    return done / took


def fill(user_id: int, rows: int) -> list[int]:
    """So many notifications in this inbox; the events' ids, oldest first."""
    from notifications import inbox
    from notifications.models import Event, EventType

    kind = EventType.objects.get(name="post_comment")
    ids: list[int] = []
    for start in range(0, rows, 1000):
        made = Event.objects.bulk_create(
            [
                Event(type=kind, title=f"Ada replied, {n}", message="On engines. " * 8, url="/p/1/")
                for n in range(start, min(start + 1000, rows))
            ]
        )
        for event in made:
            inbox.arrive(event, [user_id], using="default")
            ids.append(event.pk)
    return ids


def etag_of(port: int, token: str) -> str:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(
        "GET", "/api/notifications/summary/", headers={"Authorization": f"Bearer {token}"}
    )
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return str(answer.headers["ETag"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.small:
        options.rows, options.seconds, options.rounds = 500, 0.5, 1
    on_core(LOAD)()
    with servers(redis=False) as found:
        start_django(found, DJANGO_SETTINGS_MODULE="benchmarks.peers.inbox_settings")
        from django.db import connection

        from tests.servers import free_port

        say(f"filling an inbox with {options.rows:,} notifications")
        [user_id] = make_users(1)
        ids = fill(user_id, options.rows)
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")
        # one user, many devices
        tokens = make_tokens([user_id] * CLIENTS)
        port, plain, log = free_port(), free_port(), Path(found["HUB_DATA"], "log")
        with (
            serving(["manage.py", "serve", "--port", str(port)], port, log),
            serving([*PLAIN, "--port", str(plain)], plain, log.with_name("plain-log")),
        ):
            lines = take(port, plain, tokens, ids, options)
        known = versions("django", "djangorestframework", "uvicorn", PostgreSQL=found["postgres"])
    report([{**line, "versions": known} for line in lines], as_json=options.json)
    return 0


def take(
    port: int, plain: int, tokens: list[str], ids: list[int], options: Any
) -> list[dict[str, Any]]:
    deep = ids[-min(400 * 20, len(ids) // 2)]
    asked = {
        "page": ("/api/notifications/?limit=20", 200, {}),
        "drf": ("/peer/notifications/?limit=20", 200, {}),
        "first": ("/api/notifications/?limit=20&before=" + str(ids[-1] + 1), 200, {}),
        "deep": (f"/api/notifications/?limit=20&before={deep}", 200, {}),
        "unchanged": (
            "/api/notifications/summary/",
            304,
            {"If_None_Match": etag_of(port, tokens[0])},
        ),
        "nothing": ("/peer/nothing/", 304, {}),
        "empty": ("/peer/empty/", 200, {}),
        "plain": ("/peer/empty/", 200, {}),
    }
    rates: dict[str, list[float]] = {name: [] for name in asked}
    for number in range(options.rounds):
        say(f"REST: round {number + 1} of {options.rounds}")
        for name, (path, status, headers) in asked.items():
            at = plain if name == "plain" else port
            found = rate(at, path, tokens, options.seconds, status=status, **headers)
            rates[name].append(asyncio.run(found))

    def line(
        name: str,
        ours: str,
        peer: str,
        peer_name: str,
        aims: tuple[float | None, float | None] = (None, None),
    ) -> dict[str, Any]:
        return figure(
            name,
            unit="requests/s",
            ours=rates[ours],
            peer=rates[peer],
            peer_name=peer_name,
            floor=aims[0],
            aim=aims[1],
            versions={},
        )

    return [
        line(
            f"a page of 20 of {options.rows:,}",
            "page",
            "drf",
            "DRF LimitOffset, same server",
            PAGE_20,
        ),
        line("page 400 by `before`", "deep", "first", "page 1 by `before`", DEEP),
        line(
            "unchanged summary (304)",
            "unchanged",
            "nothing",
            "an empty DRF view, same authentication",
            UNCHANGED,
        ),
        line(
            "unchanged summary (304)",
            "unchanged",
            "plain",
            "an empty view for anybody, Django's own handler",
        ),
        line(
            "unchanged summary (304)",
            "unchanged",
            "empty",
            "an empty view for anybody, the hub's handler",
        ),
    ]


if __name__ == "__main__":
    os.chdir(Path(__file__).resolve().parent.parent)
    sys.exit(main())
