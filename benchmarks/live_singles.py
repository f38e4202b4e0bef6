"""Single users through Redis: each message is for one random user of 1,000.

    python -m benchmarks.live_singles [--sockets 1000] [--messages 10000] [--json]

Ours is `manage.py serve`; the peer is a Channels consumer per socket on channels_redis pub/sub,
each user with a group, under uvicorn with the same protocol implementation. Server on one core;
Redis, the publisher and the load client (C, benchmarks/wsload.c) on the other. 256 messages are
under way at any time: what counts is how many a second arrive, by the clock and by the server's
processor time. The publisher hands Redis what each side's own publisher would; how fast it is while
nobody listens is told on standard error. Both send the same frame of about 700 bytes. Events are
counted on from one that is stored, because no database stores so many; so reconcile is set to an
hour, and each round has a server of its own. Rounds by turns; the median is taken.
"""

import argparse
import copy
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import live_peers
from benchmarks.live_events import SETTINGS, Events, Told
from benchmarks.live_load import Load, write_requests
from benchmarks.live_stand import (
    Stand,
    frame_of,
    processor_time,
    serving,
    subscribed,
    take,
    taken_off,
)
from benchmarks.stand import (
    figure,
    say,
    versions,
)

NAME = "one message to one random user of {:,}"
FLOOR, AIM = 1.5, 3.0
WINDOW = 256  # messages under way
WARM_UP = 500  # messages that do not count
LOOK = 2.0  # milliseconds: the window must not wait for the load client
YOUNG = 2.0  # seconds: new subscriptions are reconciled up to a second later


class Rates(NamedTuple):
    """Messages per second, by the clock and by the server's processor."""

    clock: float
    processor: float


def served(stand: Stand, port: int) -> AbstractContextManager[int]:
    command = ["manage.py", "serve", "--port", str(port)]
    return serving(command, port, stand.log, environment=SETTINGS)


def rates(
    stand: Stand,
    file: Path,
    server: Callable[[Stand, int], AbstractContextManager[int]],
    *,
    messages: int,
) -> Rates:
    """What a new server does."""
    from tests.servers import free_port

    port, sockets = free_port(), len(stand.ids)
    with server(stand, port) as pid:
        load = Load(stand.program, port, stand.tokens, look=LOOK)
        try:
            load.publish_to(stand.redis_port, file)
            load.open(sockets)
            subscribed(stand.redis, at_least=sockets)
            time.sleep(YOUNG)
            load.run(0, WARM_UP, window=WINDOW, reach=1)
            began = processor_time(pid)
            run = load.run(WARM_UP, messages, window=WINDOW, reach=1)
            spent = processor_time(pid) - began
        finally:
            load.close()
    if run.arrived != messages:
        raise SystemExit(f"of {messages:,} messages {run.arrived:,} arrived")
    return Rates(messages * 1e9 / run.took, messages / spent)


def their_events(stand: Stand, places: list[int]) -> Iterator[Told]:
    frame = frame_of(stand.ids[0])
    steps = [0] * len(stand.ids)
    for number, place in enumerate(places):
        steps[place] += 1
        mine = copy.deepcopy(frame)
        for counted in ("version", "unread", "unseen"):
            mine[counted] += steps[place]
        mine["notification"]["id"] += number
        yield [(f"user.{stand.ids[place]}", {"type": "arrived", "frame": mine})]


def publisher_alone(stand: Stand, file: Path, messages: int) -> float:
    """Messages per second that Redis takes while nobody listens."""
    load = Load(stand.program, 1, stand.tokens)
    try:
        load.publish_to(stand.redis_port, file)
        run = load.run(0, messages, reach=0)
        return messages * 1e9 / max(run.took, 1)
    finally:
        load.close()


def compare(stand: Stand, messages: int, rounds: int) -> list[dict[str, Any]]:
    say(f"making {messages:,} messages")
    draw, total = random.Random(1), WARM_UP + messages
    places = [draw.randrange(len(stand.ids)) for _ in range(total)]
    events = Events(stand.ids)
    mine_file = write_requests(stand.folder / "ours", taken_off(stand.redis, events.to_one(places)))
    peer_file = write_requests(
        stand.folder / "theirs", taken_off(stand.redis, their_events(stand, places))
    )
    alone = publisher_alone(stand, mine_file, messages)
    say(f"the publisher alone: {alone:,.0f} messages/s")
    mine, peer = [], []
    for number in range(rounds):
        mine.append(rates(stand, mine_file, served, messages=messages))
        peer.append(rates(stand, peer_file, live_peers.under_uvicorn, messages=messages))
        say(
            f"round {number + 1}: {mine[-1].clock:,.0f} and {peer[-1].clock:,.0f} messages/s,"
            f" by processor time {mine[-1].processor:,.0f} and {peer[-1].processor:,.0f}"
        )
    packages = ("uvicorn", "uvloop", "websockets", "channels", "channels-redis", "redis")
    name = NAME.format(len(stand.ids))
    line: dict[str, Any] = {
        "unit": "messages/s",
        "peer_name": live_peers.UVICORN,
        "versions": versions(*packages, **stand.servers),
    }
    return [
        figure(
            name,
            ours=[one.clock for one in mine],
            peer=[one.clock for one in peer],
            floor=FLOOR,
            aim=AIM,
            **line,
        ),
        figure(
            f"{name}, by the server's processor time",
            ours=[one.processor for one in mine],
            peer=[one.processor for one in peer],
            **line,
        ),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sockets", type=int, default=1000)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.small:
        options.sockets, options.messages, options.rounds = 50, 500, 1
    return take(
        NAME.format(options.sockets),
        lambda here: compare(here, options.messages, options.rounds),
        sockets=options.sockets,
        as_json=options.json,
    )


if __name__ == "__main__":
    sys.exit(main())
