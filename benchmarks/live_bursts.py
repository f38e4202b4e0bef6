"""Bursts: events to 1,000 sockets at a rate that rises, published whatever has arrived by then.

    python -m benchmarks.live_bursts [--sockets 1000] [--seconds 3] [--json]

An open loop: the publisher (C, benchmarks/wsload_publish.c) keeps its schedule, and latency counts
from when an event was due until the kernel had its frame at each socket. The rate rises by a half
until p99 is above 50 ms or messages are lost; then the limit is searched in between. What counts
are the deliveries per second at the highest rate that was sustained. Ours is `manage.py serve`,
told through Redis by what the hub's own publisher hands to it; the peer is nginx with nchan, told
by POST. Both send the same frame of about 700 bytes from one core; the load client and Redis have
the other. Ours begins anew for each rate; the events are one that is stored, and others that are
counted on from it, because no database could store so many; so reconcile is set to an hour.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import live_peers
from benchmarks.live_events import SETTINGS, Events
from benchmarks.live_load import Load, Run, http_post, write_requests
from benchmarks.live_stand import PLACE, Stand, frame_of, serving, take, taken_off
from benchmarks.stand import (
    Missing,
    curve,
    figure,
    not_taken,
    say,
    versions,
)

NAME = "bursts to {:,} sockets"
FIRST, STEP, HIGHEST = 20.0, 1.5, 1500.0  # events per second
SEARCHES = 3  # rates tried between the last that was sustained and the first that was not
WARM_UP = 1.0  # seconds of each rate that do not count
LOOK = 5.0  # milliseconds: frames of one look count as come with the last of them
YOUNG = 2.0  # seconds: new subscriptions are reconciled up to a second later
PATIENCE = 3.0  # seconds without an arrival
LATE = 10e6  # nanoseconds behind its schedule: then the publisher is the limit
TRIES = 2  # of a rate that seems too high

#: p99 in milliseconds → floor, aim
LIMITS: dict[int, tuple[float | None, float | None]] = {50: (1.0, None), 25: (None, 2.0)}


@dataclass(frozen=True, slots=True)
class Point:
    """One rate; deliveries per second, and milliseconds."""

    rate: float  # events per second
    offered: float
    delivered: float
    p50: float
    p99: float
    lost: int
    late: float

    @classmethod
    def of(cls, run: Run, *, rate: float, sockets: int) -> "Point":
        return cls(
            rate=rate,
            offered=rate * sockets,
            delivered=run.arrived * 1e9 / max(run.took, 1),
            p50=run.p50 / 1e6,
            p99=run.p99 / 1e6,
            lost=run.sent * sockets - run.arrived,
            late=run.late / 1e6,
        )

    def sustained(self, p99: float) -> bool:
        return not self.lost and self.p99 <= p99


class Requests:
    """The file of what is published, with as many as were asked for yet."""

    def __init__(self, stand: Stand) -> None:
        self._events = Events(stand.ids)
        self._stand = stand
        self._made: list[bytes] = []
        self.file = stand.folder / "bursts"

    def at_least(self, number: int) -> Path:
        missing = number - len(self._made)
        if missing > 0:
            say(f"making {missing:,} more events")
            self._made += taken_off(self._stand.redis, self._events.to_all(missing))
            write_requests(self.file, self._made)
        return self.file


def run_at(load: Load, rate: float, *, sockets: int, seconds: float) -> Point:
    """So many seconds at this rate, after some to warm up."""
    before = math.ceil(rate * WARM_UP)
    load.run(0, before, rate=rate, reach=sockets, patience=PATIENCE)
    count = max(1, round(rate * seconds))
    run = load.run(before, count, rate=rate, reach=sockets, patience=PATIENCE)
    return Point.of(run, rate=rate, sockets=sockets)


def number_of(rate: float, seconds: float) -> int:
    return math.ceil(rate * WARM_UP) + max(1, round(rate * seconds))


def climb(measure: Callable[[float], Point], *, highest: float) -> list[Point]:
    """Rates from the lowest on, and then those around the limit; in their order."""
    points: list[Point] = []

    def tried(rate: float) -> bool:
        for _ in range(TRIES):
            point = measure(rate)
            if point.sustained(max(LIMITS)):
                break
        points.append(point)
        say(
            f"{point.offered:,.0f} offered: {point.delivered:,.0f} deliveries/s, p50"
            f" {point.p50:.1f} ms, p99 {point.p99:.1f} ms, {point.lost:,} lost"
        )
        if point.late * 1e6 > LATE:
            say(f"the publisher was {point.late:.0f} ms late: it may be the limit here")
        return point.sustained(max(LIMITS))

    rate = good = FIRST
    while held := tried(rate):
        good, rate = rate, rate * STEP
        if rate > highest:
            break
    bad = rate
    for _ in range(0 if held else SEARCHES):
        rate = math.sqrt(good * bad)
        if tried(rate):
            good = rate
        else:
            bad = rate
    return sorted(points, key=lambda point: point.rate)


def ours(stand: Stand, options: Any) -> list[Point]:
    from tests.servers import free_port

    requests, sockets = Requests(stand), len(stand.ids)

    def measure(rate: float) -> Point:
        file, port = requests.at_least(number_of(rate, options.seconds)), free_port()
        command = ["manage.py", "serve", "--port", str(port)]
        with serving(command, port, stand.log, environment=SETTINGS):
            load = Load(stand.program, port, stand.tokens, look=LOOK)
            try:
                load.publish_to(stand.redis_port, file)
                load.open(sockets)
                time.sleep(YOUNG)
                return run_at(load, rate, sockets=sockets, seconds=options.seconds)
            finally:
                load.close()

    return climb(measure, highest=options.highest)


def nchan(stand: Stand, options: Any) -> list[Point]:
    from tests.servers import free_port

    port, sockets = free_port(), len(stand.ids)
    frame = frame_of(stand.ids[0])
    assert frame["notification"]["event"]["data"] == {"ts": PLACE}
    body = json.dumps(frame, separators=(",", ":")).encode()
    number = number_of(options.highest, options.seconds)
    file = write_requests(stand.folder / "posts", [http_post(live_peers.PUBLISH, body)] * number)
    with live_peers.nchan(stand, port):

        def measure(rate: float) -> Point:
            load = Load(stand.program, port, stand.tokens, path=live_peers.NCHAN_PATH, look=LOOK)
            try:
                load.publish_to(port, file)
                load.open(sockets, frames=0)
                return run_at(load, rate, sockets=sockets, seconds=options.seconds)
            finally:
                load.close()

        return climb(measure, highest=options.highest)


def best(points: Sequence[Point], p99: float) -> Point | None:
    """The highest rate that was sustained within this p99."""
    return max(
        (one for one in points if one.sustained(p99)), key=lambda one: one.rate, default=None
    )


def compare(stand: Stand, options: Any) -> list[dict[str, Any]]:
    """The figures and the curves."""
    say(f"ours: {options.sockets:,} sockets")
    mine = ours(stand, options)
    say(live_peers.NCHAN)
    try:
        peer: list[Point] | str = nchan(stand, options)
    except Missing as missing:
        peer = str(missing)
    known = versions("uvicorn", "uvloop", **stand.servers)
    return lines(options.sockets, mine, peer, known)


def lines(
    sockets: int, mine: list[Point], peer: list[Point] | str, known: dict[str, str]
) -> list[dict[str, Any]]:
    name, found = NAME.format(sockets), []
    for p99, (floor, aim) in LIMITS.items():
        each = f"{name}, open loop, p99 ≤ {p99} ms"
        if isinstance(peer, str):
            found.append(not_taken(each, peer_name=live_peers.NCHAN, why=peer))
            continue
        our_best, their_best = best(mine, p99), best(peer, p99)
        found.append(
            figure(
                each,
                unit="deliveries/s",
                ours=[our_best.delivered if our_best else 0.0],
                peer=[their_best.delivered if their_best else 0.0],
                peer_name=live_peers.NCHAN,
                floor=floor,
                aim=aim,
                versions=known | live_peers.nchan_versions(),
            )
        )
    found += curves(sockets, "hub", mine, dashed=False)
    if not isinstance(peer, str):
        found += curves(sockets, live_peers.NCHAN, peer, dashed=True)
    return found


def curves(sockets: int, who: str, points: list[Point], *, dashed: bool) -> list[dict[str, Any]]:
    words = {
        "title": f"Latency over load, {sockets:,} sockets, open loop",
        "x": "offered deliveries/s",
        "y": "ms from when it was due",
        "log": "y",
    }
    found = [
        curve(
            "bursts",
            **words,
            series=f"{who}, {percentile}",
            points=[(one.offered, getattr(one, percentile)) for one in points],
            dashed=dashed,
        )
        for percentile in ("p50", "p99")
    ]
    delivered = curve(
        "bursts-delivered",
        title=f"Deliveries over load, {sockets:,} sockets, open loop",
        x="offered deliveries/s",
        y="deliveries/s",
        series=who,
        points=[(one.offered, one.delivered) for one in points],
        dashed=dashed,
    )
    return [*found, delivered]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sockets", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--highest", type=float, default=HIGHEST)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.small:
        options.sockets, options.seconds, options.highest = 50, 1.0, FIRST * STEP
    return take(
        NAME.format(options.sockets),
        lambda here: compare(here, options),
        sockets=options.sockets,
        as_json=options.json,
    )


if __name__ == "__main__":
    sys.exit(main())
