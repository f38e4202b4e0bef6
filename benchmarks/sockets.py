"""Growth of the live road: what a socket costs while their number grows a hundredfold.

    python -m benchmarks.sockets [--small] [--json]

A `manage.py serve` for each number of signed-in sockets, 100 to 10,000 or as many as the machine's
descriptors allow, on one PostgreSQL and Redis. Of each: what the server holds in memory for a
socket, and what its processor spends on each delivery of an event to all of them, from the layer's
message to the last socket. An event is alone, and the next comes once all have it (a load client
that lets the server sleep in between, and its core's caches with it, would add to each event what
100 sockets feel and 10,000 do not). The servers are there at once and take turns, so that what else
the machine does hits them alike; the median of the events is taken. What counts is the cheapest
number against the dearest: 1 is flat.
"""

import argparse
import contextlib
import dataclasses
import resource
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.live_events import SETTINGS, Events, packed
from benchmarks.live_load import LIMIT, Load, write_requests
from benchmarks.live_stand import Stand, processor_time, serving, take
from benchmarks.stand import FLAT, curve, flat, say, versions
from benchmarks.table import number as number_text

FIRST = (
    50  # sockets that are open before memory counts: what comes with the first ones is not theirs
)
NUMBERS = 100, 1_000, 3_000, 10_000
TURNS, EVENTS = 12, 5  # turns that count, after one to warm up; events of each
LOOK = 1.0  # milliseconds: the next event must not wait for the load client
YOUNG = 2.0  # seconds: new subscriptions are reconciled up to a second later
SPARE = 300  # descriptors that the server and the load client have for other things
MEMORY, PROCESSOR = "memory of an idle socket", "processor time of a delivery"


@dataclass
class Side:
    """A server with so many sockets."""

    number: int
    pid: int
    load: Load
    memory: float  # kB for each socket
    processor: list[float] = field(default_factory=list)  # µs for each delivery, of each event
    next: int = 0

    def turn(self, *, counts: bool) -> None:
        for _ in range(EVENTS):
            began = processor_time(self.pid)
            run = self.load.run(self.next, 1, window=1, reach=self.number, patience=LIMIT)
            spent = processor_time(self.pid) - began
            self.next += 1
            if run.arrived != self.number:
                raise SystemExit(f"an event reached {run.arrived:,} of {self.number:,} sockets")
            if counts:
                self.processor.append(spent * 1e6 / self.number)


@contextlib.contextmanager
def side(stand: Stand, number: int, turns: int) -> Iterator[Side]:
    from tests.servers import free_port

    # stored before the sockets come, which then stand where the events go on
    events = map(packed, Events(stand.ids).to_all((1 + turns) * EVENTS))
    file = write_requests(stand.folder / f"events-{number}", events)
    port = free_port()
    command = ["manage.py", "serve", "--port", str(port)]
    with serving(command, port, stand.log, environment=SETTINGS) as pid:
        load = Load(stand.program, port, stand.tokens, look=LOOK)
        try:
            load.open(FIRST)
            before = resident(pid)
            load.open(number)
            memory = (resident(pid) - before) / (number - FIRST)
            load.publish_to(stand.redis_port, file)
            yield Side(number, pid, load, memory)
        finally:
            load.close()


def taken(stand: Stand, numbers: Sequence[int], turns: int) -> list[Side]:
    with contextlib.ExitStack() as stack:
        sides, first = [], 0
        tokens = stand.tokens.read_text().splitlines(keepends=True)
        for number in numbers:
            say(f"opening {number:,} sockets")
            own = slice(first, first + number)
            file = stand.folder / f"tokens-{number}"
            file.write_text("".join(tokens[own]))
            here = dataclasses.replace(
                stand, ids=stand.ids[own], tokens=file, log=stand.folder / f"log-{number}"
            )
            sides.append(stack.enter_context(side(here, number, turns)))
            first += number
        time.sleep(YOUNG)
        for turn in range(1 + turns):
            say(f"turn {turn} of {turns}" if turn else "a turn to warm up")
            for one in sides:
                one.turn(counts=turn > 0)
        return sides


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
    numbers, turns = [number for number in NUMBERS if number + SPARE <= most], TURNS
    if options.small:
        numbers, turns = [100, 300], 1
    return take(
        MEMORY,
        lambda here: lines_of(
            taken(here, numbers, turns), versions("django", "uvicorn", "uvloop", **here.servers)
        ),
        sockets=max(numbers),
        users=sum(numbers),
        as_json=options.json,
    )


def lines_of(sides: Sequence[Side], known: dict[str, str]) -> list[dict[str, Any]]:
    first = sides[0].number
    lines = []
    for name, unit, costs in (
        (PROCESSOR, "µs each", {one.number: statistics.median(one.processor) for one in sides}),
        (MEMORY, "kB each", {one.number: one.memory for one in sides}),
    ):
        lines.append(flat(name, costs, of="sockets", unit=unit, versions=known))
        lines.append(
            curve(
                "growth-sockets",
                title="What a socket costs while their number grows (one server process)",
                x="signed-in sockets",
                y="cost of one, relative to the smallest number",
                series=f"{name} ({number_text(costs[first])} {unit})",
                points=[(number, cost / costs[first]) for number, cost in costs.items()],
                log="x",
                band=(FLAT, 1 / FLAT, "flat"),
            )
        )
    return lines


if __name__ == "__main__":
    sys.exit(main())
