"""Connects: sockets that sign in by a token and resume after the events that they missed.

    python -m benchmarks.live_connects [--sockets 1000] [--rounds 5] [--json]

Ours is `manage.py serve` with PostgreSQL and Redis; the peer is a Channels consumer per socket,
each user with a group of channels_redis pub/sub, under uvicorn with the same protocol
implementation, on the same database, with the same tokens; what was missed it reads by the ORM.
Server on one core; PostgreSQL, Redis and the load client (C, benchmarks/wsload.c) on the other. A
round opens 1,000 sockets, 64 at a time, each of another user than those before and with a cursor of
three events ago; a socket counts when it has its hello and what it missed. Then all are closed, and
the server comes to rest. The median of the rounds is taken.
"""

import argparse
import sys
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from benchmarks import live_peers
from benchmarks.live_events import stored
from benchmarks.live_load import PATH, Load
from benchmarks.live_stand import Stand, processor_time, serving, settled, take
from benchmarks.stand import (
    figure,
    say,
    versions,
)

NAME = "connects with resume, {:,} sockets"
FLOOR, AIM = 1.5, 3.0
MISSED = 3  # events
FRAMES = 2  # hello, and what was missed


class Rates(NamedTuple):
    """Connects per second in each round, by the clock and by the server's processor."""

    clock: list[float]
    processor: list[float]


def served(stand: Stand, port: int) -> AbstractContextManager[int]:
    return serving(["manage.py", "serve", "--port", str(port)], port, stand.log)


def rates(stand: Stand, server: Any, path: str, *, sockets: int, rounds: int) -> Rates:
    from tests.servers import free_port

    port, found = free_port(), Rates([], [])
    with server(stand, port) as pid:
        load = Load(stand.program, port, stand.tokens, path=path)
        try:
            for number in range(1 + rounds):
                began = processor_time(pid)
                took = load.open(sockets, frames=FRAMES)
                spent = processor_time(pid) - began
                load.close_all(sockets)
                settled(pid)
                if number:  # the first warms up
                    found.clock.append(sockets / took)
                    found.processor.append(sockets / spent)
        finally:
            load.close()
    return found


def cursor_of(stand: Stand) -> str:
    """The path of a socket that missed the last events: the same for all users."""
    from notifications import inbox

    stands = {(one.epoch, one.version) for one in map(inbox.summary, stand.ids[:2])}
    ((epoch, version),) = stands
    return f"{PATH}?epoch={epoch}&since={version - MISSED}"


def compare(stand: Stand, *, sockets: int, rounds: int) -> list[dict[str, Any]]:
    for _ in range(MISSED + 1):
        stored(stand.ids)
    path = cursor_of(stand)
    say(f"ours: {sockets:,} sockets a round")
    mine = rates(stand, served, path, sockets=sockets, rounds=rounds)
    say(live_peers.UVICORN)
    peer = rates(stand, live_peers.under_uvicorn, path, sockets=sockets, rounds=rounds)
    packages = ("django", "psycopg", "uvicorn", "uvloop", "websockets", "channels")
    name = NAME.format(sockets)
    line: dict[str, Any] = {
        "unit": "connects/s",
        "peer_name": live_peers.UVICORN,
        "versions": versions(*packages, "channels-redis", **stand.servers),
    }
    return [
        figure(name, ours=mine.clock, peer=peer.clock, floor=FLOOR, aim=AIM, **line),
        figure(
            f"{name}, by the server's processor time",
            ours=mine.processor,
            peer=peer.processor,
            **line,
        ),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sockets", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.small:
        options.sockets, options.rounds = 50, 1
    return take(
        NAME.format(options.sockets),
        lambda here: compare(here, sockets=options.sockets, rounds=options.rounds),
        sockets=options.sockets,
        users=options.sockets * (1 + options.rounds),
        as_json=options.json,
    )


if __name__ == "__main__":
    sys.exit(main())
