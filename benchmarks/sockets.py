"""Growth of the live road: what a socket costs while their number grows a hundredfold.

    python -m benchmarks.sockets [--small] [--json]

One `manage.py serve` with PostgreSQL and Redis, and 100 to 10,000 signed-in sockets, or as many as
the machine's descriptors allow. At each number: what the server holds in memory for each, and what
its processor spends on each delivery of an event to all of them, from the layer's message to the
last socket; the median of the events. Reconcile is set to an hour, so that it falls into none.
What counts is the cheapest number against the dearest: 1 is flat.
"""

import argparse
import resource
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.live_events import SETTINGS, packed, told_of
from benchmarks.live_load import LIMIT, Load, write_requests
from benchmarks.live_stand import Stand, serving, take
from benchmarks.stand import (
    curve,
    figure,
    say,
    versions,
)
from benchmarks.table import number as number_text

FLOOR = 0.8
FIRST = (
    50  # sockets that are open before memory counts: what comes with the first ones is not theirs
)
#: sockets: events that count, and as many again at the start of the first number that do not
NUMBERS = {100: 60, 1_000: 30, 5_000: 10, 10_000: 7}
SPARE = 300  # descriptors that the server and the load client have for other things
MEMORY, PROCESSOR = "memory of an idle socket", "processor time of a delivery"


@dataclass(frozen=True)
class Cost:
    memory: float  # kB for each socket
    processor: float  # µs for each delivery


def costs(stand: Stand, port: int, numbers: dict[int, int]) -> dict[int, Cost]:
    found = {}
    command = ["manage.py", "serve", "--port", str(port)]
    with serving(command, port, stand.log, environment=SETTINGS) as pid:
        load = Load(stand.program, port, stand.tokens)
        try:
            load.open(FIRST)
            before = resident(pid)
            for number, events in numbers.items():
                say(f"{number:,} sockets")
                load.open(number)
                memory = (resident(pid) - before) / (number - FIRST)
                if not found:
                    deliveries(stand, load, pid, number, events)  # to warm up
                processor = deliveries(stand, load, pid, number, events)
                found[number] = Cost(memory, processor)
        finally:
            load.close()
    return found


def deliveries(stand: Stand, load: Load, pid: int, sockets: int, events: int) -> float:
    """Microseconds of the server's processor for a delivery: the median of so many events."""
    found: list[float] = []
    disturbed = 0
    while len(found) < events:
        event = packed(told_of(stand.ids[:sockets]))
        load.publish_to(stand.redis_port, write_requests(stand.folder / "event", [event]))
        began = spent(pid)
        if load.run(0, 1, window=1, reach=sockets, patience=LIMIT).arrived == sockets:
            found.append((spent(pid) - began) * 1e6 / sockets)
            continue
        disturbed += 1
        if disturbed > max(5, events // 4):
            raise SystemExit("events do not reach all sockets")
    return statistics.median(found)


def spent(pid: int) -> float:
    """Seconds that the process's threads have spent on a core, to the nanosecond."""
    return sum(
        int(path.read_text().split()[0]) / 1e9
        for path in Path(f"/proc/{pid}/task").glob("*/schedstat")
    )


def resident(pid: int) -> float:
    """The memory that the process holds, in kB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if most == resource.RLIM_INFINITY:
        most = max(NUMBERS) + SPARE
    numbers = {n: events for n, events in NUMBERS.items() if n + SPARE <= most}
    if options.small:
        numbers = {100: 5, 300: 5}
    return take(
        MEMORY,
        lambda here: figures(here, numbers),
        sockets=max(numbers),
        as_json=options.json,
    )


def figures(stand: Stand, numbers: dict[int, int]) -> list[dict[str, Any]]:
    from tests.servers import free_port

    taken = costs(stand, free_port(), numbers)
    return lines_of(taken, versions("django", "uvicorn", "uvloop", **stand.servers))


def lines_of(taken: dict[int, Cost], known: dict[str, str]) -> list[dict[str, Any]]:
    first, last = min(taken), max(taken)
    lines = []
    for name, unit, costs in (
        (PROCESSOR, "µs each", {number: cost.processor for number, cost in taken.items()}),
        (MEMORY, "kB each", {number: cost.memory for number, cost in taken.items()}),
    ):
        lines.append(
            figure(
                f"{name}, {first:,} to {last:,} sockets",
                unit=unit,
                ours=[min(costs.values())],
                peer=[max(costs.values())],
                peer_name="the same at its dearest",
                floor=FLOOR,
                versions=known,
            )
        )
        lines.append(
            curve(
                "growth-sockets",
                title="What a socket costs while their number grows (one server process)",
                x="signed-in sockets",
                y="cost of one, relative to the smallest number",
                series=f"{name} ({number_text(costs[first])} {unit})",
                points=[(number, cost / costs[first]) for number, cost in costs.items()],
                log="x",
                band=(FLOOR, 1 / FLOOR, "flat"),
            )
        )
    return lines


if __name__ == "__main__":
    sys.exit(main())
