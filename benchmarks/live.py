"""The live road: events to many sockets, from the layer's message to the last socket.

    python -m benchmarks.live [--sockets 1000] [--alone 6] [--json]

Ours is `manage.py serve` with PostgreSQL and Redis. The peers are a Channels consumer per socket on
channels_redis pub/sub under daphne, on the same database and Redis, with the same bearer tokens;
socket.io, which looks at the same tokens; and nginx with nchan, which looks at none. The server
has one core, the load client (C, benchmarks/wsload.c) and the sender the other. All send each
socket the same frame of about 700 bytes.

What counts is a closed loop: four events are under way, the next is handed over as soon as another
has reached all. Beside it stands an event alone: the server has nothing to do when it comes, and
the clock runs until the last socket has it. All servers are there at once and take turns, so that
what else the machine does hits them alike. Ours is told of events that are counted on from one
that is stored (benchmarks/live_events.py). `live_many.py` is the same at 5,000 sockets.
"""

import argparse
import contextlib
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import live_peers
from benchmarks.live_events import SETTINGS, Events, packed
from benchmarks.live_load import PATH, Load, Run, http_post, write_requests
from benchmarks.live_stand import (
    PLACE,
    Stand,
    frame_of,
    processor_time,
    serving,
    take,
    taken_off,
)
from benchmarks.stand import (
    Missing,
    figure,
    not_taken,
    say,
    versions,
)

UNDER_WAY = 4  # events, as in the reference figures (docs/performance.md)
TURNS = 5  # that count, and one before them that does not
PER_TURN = 200  # events of a loop, to 1,000 sockets
SLOW = 20  # times fewer where a loop would take minutes
YOUNG = 2.0  # seconds: new subscriptions are reconciled up to a second later
LOOK = 1.0  # milliseconds: the loop must not wait for the load client

NAME, ALONE = "events to {:,} sockets", "an event alone to {:,} sockets"
CORE = "by the server's processor time"
DAPHNE = "a consumer per socket, daphne"

#: peer → floor, aim
FLOORS: dict[str, tuple[float | None, float | None]] = {
    DAPHNE: (30.0, None),
    live_peers.SOCKET_IO: (1.0, None),
    live_peers.NCHAN: (None, 1.0),
}


@dataclasses.dataclass(frozen=True)
class Plan:
    """How many events a side is told of in a turn."""

    alone: int
    events: int

    @property
    def total(self) -> int:
        return (1 + TURNS) * (self.alone + self.events)


class Side:
    """A server with its sockets, and what is published to it. Figures are deliveries per second."""

    def __init__(self, name: str, stand: Stand, pid: int, load: Load, plan: Plan) -> None:
        self.name = name
        self.loops: list[float] = []
        self.processor: list[float] = []  # of the loops, per second of the server's core
        self.alone: list[float] = []
        self.lost = 0  # deliveries that never came
        self._pid, self._load, self._sockets = pid, load, len(stand.ids)
        self._plan, self._next = plan, 0

    def turn(self, *, counts: bool) -> None:
        alone = [self._run(1, window=1) for _ in range(self._plan.alone)]
        began = processor_time(self._pid)
        loop = self._run(self._plan.events, window=UNDER_WAY)
        spent = processor_time(self._pid) - began
        if counts:
            self.alone += map(rate, alone)
            self.loops.append(rate(loop))
            self.processor.append(loop.arrived / spent)

    def _run(self, events: int, *, window: int) -> Run:
        run = self._load.run(self._next, events, window=window, reach=self._sockets)
        if not run.arrived:
            raise SystemExit(f"{self.name}: nothing of event {self._next} and those after arrived")
        self._next += events
        self.lost += events * self._sockets - run.arrived
        return run


def rate(run: Run) -> float:
    return run.arrived * 1e9 / run.took


@contextlib.contextmanager
def ours(stand: Stand, port: int, plan: Plan) -> Iterator[Side]:
    file = requests(stand, "ours", map(packed, Events(stand.ids).to_all(plan.total)))
    command = ["manage.py", "serve", "--port", str(port)]
    with (
        serving(command, port, stand.log, environment=SETTINGS) as pid,
        sockets(stand, port, stand.redis_port, file) as load,
    ):
        yield Side("ours", stand, pid, load, plan)


@contextlib.contextmanager
def under_daphne(stand: Stand, port: int, plan: Plan) -> Iterator[Side]:
    plan = dataclasses.replace(plan, events=max(UNDER_WAY, plan.events // SLOW))
    event = taken_off(stand.redis, [[("everybody", frame_with_a_place(stand))]])
    file = requests(stand, "daphne", event * plan.total)
    command = ["-m", "daphne", "-b", "127.0.0.1", "-p", str(port), "-v", "0"]
    command += ["benchmarks.peers.consumer_per_socket:application"]
    with (
        serving(command, port, stand.log) as pid,
        sockets(stand, port, stand.redis_port, file) as load,
    ):
        yield Side(DAPHNE, stand, pid, load, plan)


@contextlib.contextmanager
def under_nchan(stand: Stand, port: int, plan: Plan) -> Iterator[Side]:
    file = posted(stand, plan)
    with (
        live_peers.nchan(stand, port) as pid,
        sockets(stand, port, port, file, path=live_peers.NCHAN_PATH, frames=0) as load,
    ):
        yield Side(live_peers.NCHAN, stand, pid, load, plan)


@contextlib.contextmanager
def under_socket_io(stand: Stand, port: int, plan: Plan) -> Iterator[Side]:
    file = posted(stand, plan)
    with (
        live_peers.socket_io(stand, port) as pid,
        sockets(stand, port, port, file, path=live_peers.SOCKET_IO_PATH) as load,
    ):
        yield Side(live_peers.SOCKET_IO, stand, pid, load, plan)


def posted(stand: Stand, plan: Plan) -> Path:
    body = json.dumps(frame_with_a_place(stand)["frame"], separators=(",", ":")).encode()
    return requests(stand, "posted", [http_post(live_peers.PUBLISH, body)] * plan.total)


def requests(stand: Stand, name: str, events: Iterable[bytes]) -> Path:
    return write_requests(stand.folder / name, events)


def frame_with_a_place(stand: Stand) -> dict[str, Any]:
    frame = frame_of(stand.ids[0])
    assert frame["notification"]["event"]["data"] == {"ts": PLACE}
    return {"type": "arrived", "frame": frame}


@contextlib.contextmanager
def sockets(
    stand: Stand, port: int, publish: int, file: Path, *, path: str = PATH, frames: int = 1
) -> Iterator[Load]:
    """Opens one for each user; who takes what is published, and the file of it."""
    load = Load(stand.program, port, stand.tokens, path=path, look=LOOK)
    try:
        load.open(len(stand.ids), frames=frames)
        load.publish_to(publish, file)
        yield load
    finally:
        load.close()


Opened = Callable[[Stand, int, Plan], contextlib.AbstractContextManager[Side]]

#: peer → how it is opened, and what its versions are
PEERS: dict[str, tuple[Opened, Callable[[], dict[str, str]]]] = {
    DAPHNE: (under_daphne, lambda: versions("daphne", "channels", "channels-redis")),
    live_peers.SOCKET_IO: (under_socket_io, live_peers.socket_io_versions),
    live_peers.NCHAN: (under_nchan, live_peers.nchan_versions),
}


def compare(
    stand: Stand, plan: Plan, floors: dict[str, tuple[float | None, float | None]]
) -> list[dict[str, Any]]:
    """For each peer a line of the loop, one by the server's processor time, one of events alone."""
    from tests.servers import free_port

    number, sides, missing = len(stand.ids), {}, []
    name = NAME.format(number)
    with contextlib.ExitStack() as stack:
        say(f"opening {number:,} sockets of ours")
        mine = stack.enter_context(ours(stand, free_port(), plan))
        for peer in floors:
            say(f"opening {number:,} sockets: {peer}")
            here = dataclasses.replace(stand, log=stand.folder / peer.replace(" ", "-"))
            try:
                sides[peer] = stack.enter_context(PEERS[peer][0](here, free_port(), plan))
            except Missing as error:
                missing.append(not_taken(name, peer_name=peer, why=str(error)))
        time.sleep(YOUNG)
        for turn in range(1 + TURNS):
            for side in (mine, *sides.values()):
                side.turn(counts=turn > 0)
            if turn:
                said = (f"{peer} {side.loops[-1]:,.0f}" for peer, side in sides.items())
                say(f"{turn}/{TURNS}: ours {mine.loops[-1]:,.0f} deliveries/s, {', '.join(said)}")
    if mine.lost:
        raise SystemExit(f"{mine.lost:,} deliveries of ours did not arrive")
    return missing + lines_of(stand, mine, sides, floors)


def lines_of(
    stand: Stand,
    mine: Side,
    sides: dict[str, Side],
    floors: dict[str, tuple[float | None, float | None]],
) -> list[dict[str, Any]]:
    name, alone = NAME.format(len(stand.ids)), ALONE.format(len(stand.ids))
    known = versions("django", "uvicorn", "uvloop", "websockets", **stand.servers)
    found: list[list[dict[str, Any]]] = [[], [], []]
    for peer, side in sides.items():
        floor, aim = floors[peer]
        told = f"{peer} ({side.lost:,} lost)" if side.lost else peer
        line = {"unit": "deliveries/s", "peer_name": told, "versions": known | PEERS[peer][1]()}
        kinds = (
            figure(name, ours=mine.loops, peer=side.loops, floor=floor, aim=aim, **line),
            figure(f"{name}, {CORE}", ours=mine.processor, peer=side.processor, **line),
            figure(alone, ours=mine.alone, peer=side.alone, **line),
        )
        for lines, kind in zip(found, kinds, strict=True):
            lines.append(kind)
    return [line for lines in found for line in lines]


def main(
    doc: str | None = __doc__, *, sockets: int = 1000, alone: int = 6, floors: Any = FLOORS
) -> int:
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--sockets", type=int, default=sockets)
    parser.add_argument("--alone", type=int, default=alone, help="events alone in each turn")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.small:
        options.sockets, options.alone = 50, 1
    plan = Plan(options.alone, max(UNDER_WAY, PER_TURN * 1000 // max(options.sockets, 1000)))
    return take(
        NAME.format(options.sockets),
        lambda here: compare(here, plan, floors),
        sockets=options.sockets,
        as_json=options.json,
    )


if __name__ == "__main__":
    sys.exit(main())
