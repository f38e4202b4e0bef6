"""What the benchmarks of the live road share: a server on its core, the load client, tokens."""

import contextlib
import os
import re
import resource
import select
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.stand import LOAD, ROOT, SERVER, on_core, say

FOLDER = Path(__file__).resolve().parent
SOURCES = ("wsload.c", "wsload_publish.c")
NO_COMPILER = "there is no C compiler (cc) for the load client"

PATH = "/ws/notifications"
AT_ONCE = 64  # connects under way
OPENING = 180.0  # seconds until all sockets are open
RUNNING = 300.0  # seconds of a run
LIMIT = 5.0  # seconds for one event to reach all
PATIENCE = 15.0  # seconds without an arrival
IDLE, IDLE_LOOK = 0.05, 0.5  # of a core; seconds
LOOK = 20.0  # milliseconds between two looks of the load client at its sockets

PLACE = "0" * 20  # of the time at which the event is handed over
WORDS = {"title": "Ada replied to your post", "message": "On engines, and on notes to them. " * 3}


class Run(NamedTuple):
    """What the load client tells of a run; times in nanoseconds."""

    sent: int
    arrived: int
    took: int  # from the first request to the last arrival
    late: int  # how far the publisher fell behind its own schedule at most
    p50: int
    p99: int
    most: int


class Load:
    """The load client on its core. `tokens`: a file of bearer tokens, one a line."""

    def __init__(
        self, program: Path, port: int, tokens: Path, *, path: str = PATH, look: float = LOOK
    ) -> None:
        self.process = subprocess.Popen(
            [str(program), str(port), path, str(tokens), str(look)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=on_core(LOAD),
        )

    def open(self, number: int, *, frames: int = 1, at_once: int = AT_ONCE) -> float:
        """Opens sockets until there are so many; the seconds until each was told its `frames`."""
        found = self._ask(f"open {number} {at_once} {frames}", 3, OPENING)
        return self._all(number, found)

    def churn(self, number: int, *, frames: int = 1, at_once: int = AT_ONCE) -> float:
        """Opens and closes so many, a few at a time; the seconds it took."""
        return self._all(number, self._ask(f"churn {number} {at_once} {frames}", 3, OPENING))

    def close_all(self, number: int) -> float:
        return self._all(number, self._ask("close", 3, OPENING))

    def publish_to(self, port: int, requests: Path) -> int:
        """Who takes what `run` hands over, and the file of it; how many requests it has."""
        return self._ask(f"publish {port} {requests}", 1, OPENING)[0]

    def run(
        self,
        first: int,
        count: int,
        *,
        rate: float = 0,
        window: int = 0,
        reach: int,
        patience: float = PATIENCE,
    ) -> Run:
        """Hands over `count` requests from the `first` on, `rate` a second or as fast as `window`
        under way allow; each is for `reach` sockets. Ends when all have arrived, or when nothing
        has for `patience` seconds."""
        command = f"run {first} {count} {rate} {window} {reach} {patience}"
        return Run(*self._ask(command, 7, RUNNING))

    def last(self) -> float | None:
        """Seconds until the last socket had the event that was just sent; None: not all had it."""
        found = self._read("event", 5, LIMIT)
        return None if found is None else found[3] / 1e9

    def close(self) -> None:
        self.process.kill()
        self.process.wait()

    def _all(self, number: int, found: tuple[int, ...]) -> float:
        if found[:2] != (number, 0):
            raise SystemExit(f"of {number} sockets {found[0]} did, {found[1]} failed")
        return found[2] / 1e9

    def _ask(self, command: str, numbers: int, within: float) -> tuple[int, ...]:
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        found = self._read(command.split()[0], numbers, within)
        if found is None:
            raise SystemExit(f"the load client did not end in {within:.0f} s: {command}")
        return found

    def _read(self, word: str, numbers: int, within: float) -> tuple[int, ...] | None:
        """The numbers of the next line; None if none comes in time."""
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], within)
        if not ready:
            return None
        line = self.process.stdout.readline().strip()
        if re.fullmatch(word + r"( \d+)" * numbers, line) is None:
            raise SystemExit(f"the load client said {line!r}")
        return tuple(int(part) for part in line.split()[1:])


def compiled(folder: str) -> Path | None:
    """The load client; None where there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    program = Path(folder, "wsload")
    sources = [str(FOLDER / name) for name in SOURCES]
    subprocess.run([compiler, "-O2", "-o", str(program), *sources], check=True)
    return program


def as_a_server() -> None:
    """For `preexec_fn`: on the server's core, with as many descriptors as the machine allows."""
    on_core(SERVER)()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@contextlib.contextmanager
def serving(
    command: Sequence[str],
    port: int,
    log: Path,
    *,
    program: str = sys.executable,
    environment: dict[str, str] | None = None,
) -> Iterator[int]:
    """The server on its core, answering; its process id."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, *command],
            cwd=ROOT,
            env=os.environ | (environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=as_a_server,
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


def processor_time(pid: int) -> float:
    """Seconds that the process has spent on its core, by the scheduler's book where there is one:
    the other one counts in hundredths."""
    books = [task / "schedstat" for task in Path(f"/proc/{pid}/task").iterdir()]
    if all(book.exists() for book in books):
        return sum(int(book.read_text().split()[0]) for book in books) / 1e9
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def make_tokens(ids: Sequence[Any]) -> list[str]:
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


@dataclass(frozen=True, kw_only=True)
class Stand:
    """What each server of a benchmark is given."""

    program: Path  # the load client
    ids: list[int]
    tokens: Path
    redis: str
    log: Path
    folder: Path

    @property
    def redis_port(self) -> int:
        return int(self.redis.rpartition(":")[2].partition("/")[0])


def stand(found: dict[str, str], program: Path, sockets: int) -> Stand:
    """Users with tokens, as many as there will be sockets."""
    from benchmarks.stand import make_users

    say(f"making {sockets:,} users")
    ids = make_users(sockets)
    folder = Path(found["HUB_DATA"])
    tokens = folder / "tokens"
    tokens.write_text("".join(f"{text}\n" for text in make_tokens(ids)))
    return Stand(
        program=program,
        ids=ids,
        tokens=tokens,
        redis=found["REDIS_URL"],
        log=folder / "log",
        folder=folder,
    )


def frame_of(user_id: int) -> dict[str, Any]:
    """What our sockets are sent, for the peers: the last event of this user's inbox."""
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


def write_requests(file: Path, requests: Iterable[bytes]) -> Path:
    """As wsload_publish.c reads them."""
    with file.open("wb") as output:
        for request in requests:
            output.write(struct.pack("<I", len(request)) + request)
    return file


def http_post(path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def taken_off(url: str, events: Iterable[Sequence[tuple[str, Any]]]) -> list[bytes]:
    """For each event, which is messages for groups, the bytes by which the layer hands them to
    Redis. They are handed to a Redis that nobody else listens to yet, and overheard."""
    import asyncio

    import redis
    from channels.layers import get_channel_layer

    async def send(messages: Sequence[tuple[str, Any]]) -> None:
        layer: Any = get_channel_layer()
        for group, message in messages:
            await layer.group_send(group, message)

    found = []
    with redis.Redis.from_url(url) as connection, connection.pubsub() as listener:
        listener.psubscribe("*")
        listener.get_message(timeout=LIMIT)
        with asyncio.Runner() as runner:
            for messages in events:
                runner.run(send(messages))
                found.append(b"".join(_overheard(listener) for _ in messages))
            runner.run(_flush())
    return found


async def _flush() -> None:
    from channels.layers import get_channel_layer

    layer: Any = get_channel_layer()
    await layer.flush()


def _overheard(listener: Any) -> bytes:
    """The request that hands Redis the next message once more."""
    message = listener.get_message(timeout=LIMIT)
    if message is None:
        raise SystemExit("Redis did not hear what it was handed")
    channel, data = message["channel"], message["data"]
    head = b"*3\r\n$7\r\nPUBLISH\r\n$%d\r\n%b\r\n$%d\r\n"
    return bytes(head % (len(channel), channel, len(data)) + data + b"\r\n")


def subscribed(url: str, *, at_least: int = 0, at_most: float = float("inf")) -> None:
    """Waits until so many channels of Redis have a listener."""
    import redis

    end = time.monotonic() + OPENING
    with redis.Redis.from_url(url) as connection:
        while not at_least <= len(connection.pubsub_channels()) <= at_most:
            if time.monotonic() > end:
                raise SystemExit("the server does not subscribe to what its users need")
            time.sleep(0.1)


def settled(pid: int) -> None:
    """Waits until the process has nothing to do any more."""
    end, before = time.monotonic() + OPENING, processor_time(pid)
    while time.monotonic() < end:
        time.sleep(IDLE_LOOK)
        now = processor_time(pid)
        if now - before < IDLE * IDLE_LOOK:
            return
        before = now
    raise SystemExit("the server does not come to rest")
