"""What the benchmarks of the live road share: a server on its core, the load client, tokens."""

import contextlib
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.live_load import compiled
from benchmarks.stand import (
    LOAD,
    ROOT,
    SERVER,
    Missing,
    make_users,
    not_taken,
    on_core,
    report,
    say,
    servers,
    start_django,
)

OPENING = 180.0  # seconds until all sockets are open
LIMIT = 5.0  # seconds for one event to reach all
IDLE, IDLE_LOOK = 0.05, 0.5  # of a core; seconds

PLACE = "00000000000012345678"  # of the time at which the event is handed over (wsload_publish.c)
WORDS = {"title": "Ada replied to your post", "message": "On engines, and on notes to them. " * 3}


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
    servers: dict[str, str]  # their versions

    @property
    def redis_port(self) -> int:
        return int(self.redis.rpartition(":")[2].partition("/")[0])


def take(
    name: str,
    figures: Callable[[Stand], list[dict[str, Any]]],
    *,
    sockets: int,
    users: int | None = None,
    as_json: bool,
) -> int:
    """Takes the figures of a benchmark with so many sockets, and as many users with tokens unless
    it says otherwise; what `main` returns."""
    on_core(LOAD)()
    with servers(redis=True) as found:
        try:
            program = compiled(found["HUB_DATA"], sockets=sockets)
            start_django(found)
            lines = figures(stand(found, program, users or sockets))
        except Missing as missing:
            lines = [not_taken(name, why=str(missing))]
    report(lines, as_json=as_json)
    return 0


def stand(found: dict[str, str], program: Path, users: int) -> Stand:
    say(f"making {users:,} users")
    ids = make_users(users)
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
        servers={"PostgreSQL": found["postgres"], "Redis server": found["redis"]},
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
