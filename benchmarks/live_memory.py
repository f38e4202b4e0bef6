"""Memory of the server: per idle signed-in socket, and after many have come and gone.

    python -m benchmarks.live_memory [--sockets 1000 5000] [--turnover 10000] [--json]

`manage.py serve` with PostgreSQL and Redis; each socket is another user's. What counts is the
process's proportional set size, whenever it has come to rest: it does no work, and is subscribed to
no user who is gone. First sockets come and go to warm up; that is where it starts. Then 10,000
more are opened and closed, 64 at a time; then 1,000 stay, and 5,000.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from benchmarks.live_load import Load
from benchmarks.live_stand import Stand, serving, settled, subscribed, take
from benchmarks.stand import (
    Missing,
    limit,
    say,
    versions,
)

NAME = "memory per idle socket"
AT_MOST, AIM = 40.0, 25.0  # kB
BACK = 1.05  # times the memory at the start
WARM_UP = 500  # connects that come before the start
OWN_CHANNELS = 16  # of Redis that a server listens to for itself, at most


def memory(pid: int) -> float:
    """The process's proportional set size in kB (1,000 bytes)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1.024
    raise SystemExit("the kernel does not tell the server's memory")


class Server:
    """The server's memory, once it has come to rest."""

    def __init__(self, pid: int, load: Load, redis: str) -> None:
        self.pid, self.load, self._redis = pid, load, redis

    def at_rest(self, *, sockets: int) -> float:
        # a user's channel is given up half a minute after the last socket
        subscribed(self._redis, at_least=sockets, at_most=sockets + OWN_CHANNELS)
        settled(self.pid)
        return memory(self.pid)


def taken(server: Server, sizes: list[int], turnover: int) -> tuple[float, float, dict[int, float]]:
    """At the start and after the turnover in kB; and for so many sockets, in kB each."""
    say("warming up")
    server.load.churn(min(WARM_UP, turnover))
    start = server.at_rest(sockets=0)
    say(f"{turnover:,} connects and disconnects from {start:,.0f} kB on")
    server.load.churn(turnover)
    after = server.at_rest(sockets=0)
    say(f"{after:,.0f} kB")
    each = {}
    for sockets in sizes:
        server.load.open(sockets)
        now = server.at_rest(sockets=sockets)
        each[sockets] = (now - after) / sockets
        say(f"{sockets:,} sockets: {now:,.0f} kB")
    return start, after, each


def figures(stand: Stand, sizes: list[int], turnover: int) -> list[dict[str, Any]]:
    from tests.servers import free_port

    if not Path("/proc/self/smaps_rollup").exists():
        raise Missing("this kernel does not tell a process's memory (smaps_rollup)")
    port = free_port()
    with serving(["manage.py", "serve", "--port", str(port)], port, stand.log) as pid:
        load = Load(stand.program, port, stand.tokens)
        try:
            start, after, each = taken(Server(pid, load, stand.redis), sizes, turnover)
        finally:
            load.close()
    known = versions("django", "psycopg", "uvicorn", "uvloop", "websockets", **stand.servers)
    lines = [
        limit(
            f"{NAME}, {sockets:,} sockets",
            unit="kB",
            ours=kilobytes,
            at_most=AT_MOST,
            aim=AIM,
            versions=known,
        )
        for sockets, kilobytes in each.items()
    ]
    back = limit(
        f"memory after {turnover:,} connects and disconnects",
        unit="MB",
        ours=after / 1000,
        at_most=start * BACK / 1000,
        versions=known,
    )
    return [*lines, back]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sockets", type=int, nargs="+", default=[1000, 5000])
    parser.add_argument("--turnover", type=int, default=10_000)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.small:
        options.sockets, options.turnover = [50], 200
    return take(
        NAME,
        lambda here: figures(here, options.sockets, options.turnover),
        sockets=max(options.sockets),
        as_json=options.json,
    )


if __name__ == "__main__":
    sys.exit(main())
