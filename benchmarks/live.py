"""The live road: one event to many sockets, from the layer's message to the last socket.

    python -m benchmarks.live [--sockets 1000] [--rounds 30] [--json]

Ours is `manage.py serve` with PostgreSQL and Redis. The peer is a Channels consumer per socket on
channels_redis pub/sub under daphne, on the same database and Redis, with the same bearer tokens.
The server has one core, the load client (C, benchmarks/wsload.c) and the sender the other. A round:
the event is stored and fanned out, then its layer messages are handed to Redis, and the clock
runs until the last socket has it. Both send each socket the same frame of about 700 bytes.
"""

import argparse
import asyncio
import contextlib
import os
import re
import select
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.stand import (
    LOAD,
    ROOT,
    SERVER,
    figure,
    make_users,
    on_core,
    report,
    say,
    servers,
    start_django,
    versions,
)

FOLDER = Path(__file__).resolve().parent

FLOOR = 20.0
WARM_UP = 5  # rounds that do not count
AT_ONCE = 64  # connects under way
OPENING = 180.0  # seconds until all sockets are open
LIMIT = 5.0  # seconds for one event to reach all

PLACE = "0" * 20  # of the time at which the event is handed to the layer
WORDS = {"title": "Ada replied to your post", "message": "On engines, and on notes to them. " * 3}


class Load:
    """The load client, with all sockets open."""

    def __init__(self, program: Path, port: int, tokens: list[str]) -> None:
        command = [program, str(port), "/ws/notifications", str(len(tokens)), str(AT_ONCE)]
        self.process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=on_core(LOAD),
        )
        assert self.process.stdin is not None
        self.process.stdin.write("".join(f"{token}\n" for token in tokens))
        self.process.stdin.flush()
        found = self._read(r"open (\d+) failed (\d+)", OPENING)
        if found != (len(tokens), 0):
            raise SystemExit(f"not all sockets could be opened: {found}")

    def last(self) -> float | None:
        """Seconds until the last socket had the event that was just sent; None: not all had it."""
        found = self._read(r"event (\d+) (\d+) (\d+) (\d+) (\d+)", LIMIT)
        return None if found is None else found[3] / 1e9

    def close(self) -> None:
        self.process.kill()
        self.process.wait()

    def _read(self, pattern: str, within: float) -> tuple[int, ...] | None:
        """The numbers of the next line; None if none comes in time."""
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], within)
        if not ready:
            return None
        line = self.process.stdout.readline()
        found = re.fullmatch(pattern, line.strip())
        if found is None:
            raise SystemExit(f"the load client said {line!r}")
        return tuple(int(part) for part in found.groups())


def compiled(folder: str) -> Path | None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    program = Path(folder, "wsload")
    source = FOLDER / "wsload.c"
    subprocess.run([compiler, "-O2", "-o", str(program), str(source)], check=True)
    return program


@contextlib.contextmanager
def serving(command: list[str], port: int, log: Path) -> Iterator[int]:
    """The server on its core, answering; its process id."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=on_core(SERVER),
        )
    try:
        wait_until_it_answers(port, process, log)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_it_answers(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"the server did not start:\n{log.read_text()[-2000:]}")


def our_messages(ids: list[int]) -> Callable[[], list[tuple[str, dict[str, Any]]]]:
    """Stores an event for these users and answers what the live road would be told of it."""
    from django.db import router

    from notifications import send_notification
    from notifications.fanout import fan_out, together
    from notifications.models import Audience
    from routing import receivers

    using = router.db_for_write(Audience)

    caught: list[tuple[str, dict[str, Any]]] = []
    receivers.publish = caught.extend  # type: ignore[assignment]

    def make() -> list[tuple[str, dict[str, Any]]]:
        caught.clear()
        event = send_notification("post_comment", users=ids, data={"ts": PLACE}, **WORDS)
        for keys in together(Audience.objects.using(using).filter(event=event).order_by("pk")):
            fan_out(*keys, using=using)
        return list(caught)

    return make


def processor_time(pid: int) -> float:
    """Seconds that the process has spent on its core."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass
class Taken:
    """Seconds that an event took to the last socket, for each round; and of the server's
    processor for all of them, the making of the events elsewhere included."""

    rounds: list[float]
    processor: float


def measured(
    load: Load, pid: int, make: Callable[[], Any], hand_over: Callable[[Any], None], rounds: int
) -> Taken:
    found: list[float] = []
    warm_up, disturbed, began = WARM_UP, 0, 0.0
    while len(found) < rounds:
        hand_over(make())
        took = load.last()
        if took is None:
            disturbed += 1
            if disturbed > rounds:
                raise SystemExit("events do not reach all sockets")
        elif warm_up:
            warm_up -= 1
            began = processor_time(pid)
        else:
            found.append(took)
    if disturbed:
        say(f"{disturbed} rounds left out: some sockets had read the event from the database")
    return Taken(found, processor_time(pid) - began)


def now_text() -> str:
    return f"{time.monotonic_ns():020d}"


def stamped(event: bytes | str, now: str) -> bytes | str:
    """The event's JSON with a time in the place that it has for it."""
    if isinstance(event, bytes):
        return event.replace(PLACE.encode(), now.encode())
    return event.replace(PLACE, now)


def ours(program: Path, port: int, ids: list[int], tokens: list[str], options: Any) -> Taken:
    from routing.live.publisher import publish

    def hand_over(messages: list[tuple[str, dict[str, Any]]]) -> None:
        now = now_text()  # one for all chunks: they belong to one event
        publish([(to, {**one, "event": stamped(one["event"], now)}) for to, one in messages])

    with serving(["manage.py", "serve", "--port", str(port)], port, options.log) as pid:
        load = Load(program, port, tokens)
        try:
            return measured(load, pid, our_messages(ids), hand_over, options.rounds)
        finally:
            load.close()


def theirs(program: Path, port: int, ids: list[int], tokens: list[str], options: Any) -> Taken:
    from channels.layers import get_channel_layer

    # as the hub's own publisher does it: one loop, one connection that stays
    loop = asyncio.new_event_loop()
    layer: Any = get_channel_layer()
    frame = frame_of(ids[0])

    def hand_over(message: dict[str, Any]) -> None:
        frame["notification"]["event"]["data"] = {"ts": now_text()}
        loop.run_until_complete(layer.group_send("everybody", message))

    command = ["-m", "daphne", "-b", "127.0.0.1", "-p", str(port), "-v", "0"]
    command += ["benchmarks.peers.consumer_per_socket:application"]
    with serving(command, port, options.log) as pid:
        load = Load(program, port, tokens)
        try:
            message = {"type": "arrived", "frame": frame}
            return measured(load, pid, lambda: message, hand_over, options.rounds)
        finally:
            load.close()
            loop.run_until_complete(layer.flush())
            loop.close()


def frame_of(user_id: int) -> dict[str, Any]:
    """What our sockets are sent, for the peer: the last event of this user's inbox."""
    from notifications import inbox

    row = inbox.page(user_id).results[0]
    summary = inbox.summary(user_id)
    return {
        "action": "new",
        "version": summary.version,
        "unread": summary.unread,
        "unseen": summary.unseen,
        "notification": row,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sockets", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.small:
        options.sockets, options.rounds = 50, 3
    on_core(LOAD)()
    with servers(redis=True) as found:
        program = compiled(found["HUB_DATA"])
        if program is None:
            say("live: not taken, there is no C compiler (cc) for the load client")
            return 1
        options.log = Path(found["HUB_DATA"], "log")
        start_django(found)
        from tests.servers import free_port

        ids = make_users(options.sockets)
        texts = make_tokens(ids)
        say(f"ours: {options.sockets} sockets")
        mine = ours(program, free_port(), ids, texts, options)
        say("a consumer per socket under daphne")
        peer = theirs(program, free_port(), ids, texts, options)
        known = versions(
            *("django", "uvicorn", "uvloop", "websockets", "channels", "channels-redis"),
            *("daphne", "redis"),
            PostgreSQL=found["postgres"],
            **{"Redis server": found["redis"]},
        )
    name, peer_name = f"one event to {options.sockets:,} sockets", "a consumer per socket, daphne"
    sent = options.sockets * options.rounds
    lines = [
        figure(
            name,
            unit="deliveries/s",
            ours=[options.sockets / took for took in mine.rounds],
            peer=[options.sockets / took for took in peer.rounds],
            peer_name=peer_name,
            floor=FLOOR,
            versions=known,
        ),
        figure(
            f"{name}, by the server's processor time",
            unit="deliveries/s",
            ours=[sent / mine.processor],
            peer=[sent / peer.processor],
            peer_name=peer_name,
            versions=known,
        ),
    ]
    report(lines, as_json=options.json)
    return 0


def make_tokens(ids: list[int]) -> list[str]:
    from django.utils import timezone

    from notifications.models import Token
    from notifications.tokens import digest

    texts = [f"hub_benchmark{number:030d}" for number in range(len(ids))]
    # used just now: neither side has to note that at every connect
    at = timezone.now()
    Token.objects.bulk_create(
        [
            Token(user_id=user_id, digest=digest(text), last_used_at=at)
            for user_id, text in zip(ids, texts, strict=True)
        ]
    )
    return texts


if __name__ == "__main__":
    sys.exit(main())
