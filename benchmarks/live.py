"""The live road: one event to many sockets, from the layer's message to the last socket.

    python -m benchmarks.live [--sockets 1000] [--rounds 30] [--json]

Ours is `manage.py serve` with PostgreSQL and Redis. The peers are a Channels consumer per socket on
channels_redis pub/sub under daphne, on the same database and Redis, with the same bearer tokens;
socket.io, which looks at the same tokens; and nginx with nchan, which looks at none. The server
has one core, the load client (C, benchmarks/wsload.c) and the sender the other. A round: the event
is stored and fanned out, then its layer messages are handed to Redis, and the clock runs until the
last socket has it. All send each socket the same frame of about 700 bytes. `live_many.py` is the
same at 5,000 sockets.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks import live_peers
from benchmarks.live_events import packed, told_of
from benchmarks.live_load import LIMIT, PATH, Load, http_post, write_requests
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

WARM_UP = 5  # rounds that do not count, at most

NAME = "one event to {:,} sockets"
DAPHNE = "a consumer per socket, daphne"

#: peer → floor, aim
FLOORS: dict[str, tuple[float | None, float | None]] = {
    DAPHNE: (30.0, None),
    live_peers.SOCKET_IO: (1.0, None),
    live_peers.NCHAN: (None, 1.0),
}


@dataclass
class Taken:
    """Deliveries per second in each round; and of the server's processor for all of them, the
    making of the events elsewhere included."""

    rates: list[float]
    processor: float
    lost: int = 0  # deliveries that never came


def warm_up_of(rounds: int) -> int:
    return min(WARM_UP, max(1, rounds // 5))


def ours(stand: Stand, port: int, rounds: int) -> Taken:
    number = len(stand.ids)
    taken = Taken([], 0.0)
    warm_up, disturbed, began = warm_up_of(rounds), 0, 0.0
    with serving(["manage.py", "serve", "--port", str(port)], port, stand.log) as pid:
        load = Load(stand.program, port, stand.tokens)
        try:
            load.open(number)
            while len(taken.rates) < rounds:
                file = write_requests(stand.folder / "ours", [packed(told_of(stand.ids))])
                load.publish_to(stand.redis_port, file)
                run = load.run(0, 1, window=1, reach=number, patience=LIMIT)
                if run.arrived < number:
                    disturbed += 1
                    if disturbed > rounds:
                        raise SystemExit("events do not reach all sockets")
                elif warm_up:
                    warm_up -= 1
                    began = processor_time(pid)
                else:
                    taken.rates.append(number * 1e9 / run.took)
        finally:
            load.close()
        taken.processor = processor_time(pid) - began
    if disturbed:
        say(f"{disturbed} rounds left out: some sockets had read the event from the database")
    return taken


def theirs(load: Load, pid: int, port: int, requests: Any, number: int, rounds: int) -> Taken:
    """What a server does that is told by one request for all."""
    taken = Taken([], 0.0)
    load.publish_to(port, requests)
    began, warm_up = 0.0, warm_up_of(rounds)
    for turn in range(warm_up + rounds):
        if turn == warm_up:
            began = processor_time(pid)
        run = load.run(0, 1, window=1, reach=number)
        if turn >= warm_up:
            taken.rates.append(run.arrived * 1e9 / run.took if run.took else 0.0)
            taken.lost += number - run.arrived
    taken.processor = processor_time(pid) - began
    return taken


def under_daphne(stand: Stand, port: int, rounds: int) -> Taken:
    requests = taken_off(stand.redis, [[("everybody", frame_with_a_place(stand))]])
    file = write_requests(stand.folder / "daphne", requests)
    command = ["-m", "daphne", "-b", "127.0.0.1", "-p", str(port), "-v", "0"]
    command += ["benchmarks.peers.consumer_per_socket:application"]
    with serving(command, port, stand.log) as pid:
        return loaded(stand, pid, port, stand.redis_port, file, rounds, frames=1)


def under_nchan(stand: Stand, port: int, rounds: int) -> Taken:
    file = posted(stand)
    with live_peers.nchan(stand, port) as pid:
        path = live_peers.NCHAN_PATH
        return loaded(stand, pid, port, port, file, rounds, path=path, frames=0)


def under_socket_io(stand: Stand, port: int, rounds: int) -> Taken:
    file = posted(stand)
    with live_peers.socket_io(stand, port) as pid:
        path = live_peers.SOCKET_IO_PATH
        return loaded(stand, pid, port, port, file, rounds, path=path, frames=1)


def posted(stand: Stand) -> Any:
    body = json.dumps(frame_with_a_place(stand)["frame"], separators=(",", ":")).encode()
    return write_requests(stand.folder / "posted", [http_post(live_peers.PUBLISH, body)])


def frame_with_a_place(stand: Stand) -> dict[str, Any]:
    frame = frame_of(stand.ids[0])
    assert frame["notification"]["event"]["data"] == {"ts": PLACE}
    return {"type": "arrived", "frame": frame}


def loaded(
    stand: Stand,
    pid: int,
    port: int,
    publish: int,
    requests: Any,
    rounds: int,
    *,
    path: str = PATH,
    frames: int,
) -> Taken:
    load = Load(stand.program, port, stand.tokens, path=path)
    try:
        load.open(len(stand.ids), frames=frames)
        return theirs(load, pid, publish, requests, len(stand.ids), rounds)
    finally:
        load.close()


#: peer → how it is taken, and what its versions are
PEERS: dict[str, tuple[Callable[[Stand, int, int], Taken], Callable[[], dict[str, str]]]] = {
    DAPHNE: (under_daphne, lambda: versions("daphne", "channels", "channels-redis")),
    live_peers.SOCKET_IO: (under_socket_io, live_peers.socket_io_versions),
    live_peers.NCHAN: (under_nchan, live_peers.nchan_versions),
}


def compare(
    stand: Stand, rounds: int, floors: dict[str, tuple[float | None, float | None]]
) -> list[dict[str, Any]]:
    """A line for each peer by the clock, and one by the server's processor time."""
    from tests.servers import free_port

    number = len(stand.ids)
    name = NAME.format(number)
    known = versions("django", "uvicorn", "uvloop", "websockets", **stand.servers)
    say(f"ours: {number:,} sockets")
    mine = ours(stand, free_port(), rounds)
    clock, processor = [], []
    for peer, (floor, aim) in floors.items():
        say(peer)
        take, versions_of = PEERS[peer]
        try:
            taken = take(stand, free_port(), rounds)
        except Missing as missing:
            clock.append(not_taken(name, peer_name=peer, why=str(missing)))
            continue
        told = f"{peer} ({taken.lost:,} lost)" if taken.lost else peer
        line = {"unit": "deliveries/s", "peer_name": told, "versions": known | versions_of()}
        clock.append(figure(name, ours=mine.rates, peer=taken.rates, floor=floor, aim=aim, **line))
        processor.append(
            figure(
                f"{name}, by the server's processor time",
                ours=[rounds * number / mine.processor],
                peer=[(rounds * number - taken.lost) / taken.processor],
                **line,
            )
        )
    return clock + processor


def main(
    doc: str | None = __doc__, *, sockets: int = 1000, rounds: int = 30, floors: Any = FLOORS
) -> int:
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--sockets", type=int, default=sockets)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.small:
        options.sockets, options.rounds = 50, 3
    return take(
        NAME.format(options.sockets),
        lambda here: compare(here, options.rounds, floors),
        sockets=options.sockets,
        as_json=options.json,
    )


if __name__ == "__main__":
    sys.exit(main())
