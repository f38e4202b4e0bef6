"""Growth: what a notification costs while the tables grow a thousandfold.

    python -m benchmarks.growth [--turns 12] [--full] [--small] [--json]

Databases on one PostgreSQL, with 1,000 to 1,000,000 notifications in one inbox (ten million with
--full) and as many more in 1,000 others. A process for each does the same work there, in turns, so
that what else the machine does hits all sizes. What counts is the median time of one notification
at the cheapest size against the dearest: 1 is flat. A page of 20 at the top is read again and
again, a deep one by `before` at random places, of which a big table does not keep all in memory.
"""

import argparse
import contextlib
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from benchmarks.fanout import WORDS, send
from benchmarks.stand import (
    FLAT,
    LOAD,
    ROOT,
    curve,
    flat,
    make_users,
    on_core,
    report,
    say,
    servers,
    start_django,
    versions,
)
from benchmarks.table import number as number_text

FAR = 1_000_000  # rows up to which it counts as the floor; to be as flat beyond is the aim
OTHERS = 1000  # who are told of each fan-out
MISSED = 100  # changes
RUN = 20  # notifications of a page, or that are marked at once
BATCH = 100_000  # rows that are made at once

FILL = """
    WITH made AS (
        INSERT INTO hub_event
            (type_id, title, message, url, data, tag, priority, timestamp, template)
        SELECT t.id, 'Ada replied, ' || n, repeat('On engines. ', 8), '/p/1/', '{"post": 12}',
            '', 'normal', now(), ''
        FROM hub_eventtype t, generate_series(%(first)s::bigint, %(last)s) n
        WHERE t.name = 'post_comment'
        RETURNING id
    ), numbered AS (
        SELECT id, %(first)s - 1 + row_number() OVER (ORDER BY id) AS n FROM made
    )
    INSERT INTO hub_notification (user_id, event_id, arrived, version, silent)
    SELECT %(reader)s, id, n, n, false FROM numbered
    UNION ALL
    SELECT (%(others)s::bigint[])[1 + (n - 1) %% %(number)s], id, (n - 1) / %(number)s + 1,
        (n - 1) / %(number)s + 1, false
    FROM numbered
"""
COUNT = """
    UPDATE hub_inbox i SET version = c.n, unread = c.n, unseen = c.n, total = c.n
    FROM (SELECT user_id, count(*) AS n FROM hub_notification GROUP BY user_id) c
    WHERE i.user_id = c.user_id
"""


class Inboxes:
    """One inbox of so many notifications, which is read, and others that are told."""

    def __init__(self, size: int) -> None:
        from django.db import connection

        self.reader, *self.others = make_users(1 + OTHERS)
        with connection.cursor() as cursor:
            for first in range(1, size + 1, BATCH):
                cursor.execute(
                    FILL,
                    {
                        "first": first,
                        "last": min(first + BATCH - 1, size),
                        "reader": self.reader,
                        "others": self.others,
                        "number": OTHERS,
                    },
                )
                if size > BATCH * 5:
                    say(f"{min(first + BATCH - 1, size):,} of {size:,} notifications made")
            cursor.execute(COUNT)
            cursor.execute("VACUUM ANALYZE")
            cursor.execute("CHECKPOINT")
            cursor.execute(
                "SELECT min(event_id), max(event_id) FROM hub_notification WHERE user_id = %s",
                [self.reader],
            )
            self.first, self.last = cursor.fetchone()

    def fan_out(self) -> None:
        send(self.others)

    def send(self) -> None:
        from notifications import send_notification

        send_notification("post_comment", users=self.reader, data={"post": 12}, **WORDS)

    def resume(self) -> None:
        from notifications import inbox

        now = inbox.summary(self.reader)
        page = inbox.changes(self.reader, epoch=now.epoch, since=now.version - MISSED)
        assert len(page.changes) == MISSED and not page.more

    def summary(self) -> None:
        from notifications import inbox

        assert inbox.summary(self.reader).total >= self.last - self.first

    def page(self) -> None:
        self._page(None)

    def deep(self) -> None:
        self._page(self._somewhere())

    def _page(self, before: int | None) -> None:
        from notifications import inbox

        assert len(inbox.page(self.reader, limit=RUN, before=before).results) == RUN

    def mark(self) -> None:
        """Reads what is on a page, and makes it unread again."""
        from notifications import inbox

        start = self._somewhere() - RUN
        for state in ("read", "unread"):
            done = inbox.mark(self.reader, state=state, ids=range(start, start + RUN))
            assert done.changed == RUN

    def _somewhere(self) -> int:
        return random.randint(self.first + RUN, self.last)


#: What is done at a time: how it is called, how many notifications that are, and how often in a
#: turn. `send` comes right before `resume`, which reads what it sent.
Work = tuple[str, Callable[[Inboxes], None], int, int]
WORK: tuple[Work, ...] = (
    (f"fan-out to {OTHERS:,} users", Inboxes.fan_out, OTHERS, 3),
    ("a send to one", Inboxes.send, 1, MISSED),
    (f"resume of {MISSED}", Inboxes.resume, MISSED, 30),
    ("the summary", Inboxes.summary, 1, 60),
    (f"page 1 of {RUN}", Inboxes.page, RUN, 40),
    (f"a deep page of {RUN}", Inboxes.deep, RUN, 40),
    (f"{RUN} read, and unread again", Inboxes.mark, 2 * RUN, 30),
)


def work(url: str, size: int, folder: str) -> None:
    """In a process of its own: fills the database; then for every line, a number in `WORK`, does
    that, and answers the microseconds of one notification, each time."""
    start_django({"DATABASE_URL": url, "HUB_DATA": folder})
    inboxes = Inboxes(size)
    print(json.dumps("ready"), flush=True)
    for number in sys.stdin:
        _, do, notifications, times = WORK[int(number)]
        took = []
        for _ in range(times):
            began = time.perf_counter()
            do(inboxes)
            took.append((time.perf_counter() - began) * 1e6 / notifications)
        print(json.dumps(took), flush=True)


class Worker:
    """The process that works on one size."""

    def __init__(self, url: str, size: int, folder: str) -> None:
        self.size = size
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.growth", "--work", url, str(size), folder],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.took: list[list[float]] = [[] for _ in WORK]
        self._answer()

    def turn(self, number: int, *, counts: bool) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{number}\n")
        self.process.stdin.flush()
        took = self._answer()
        if counts:
            self.took[number] += took

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the process for {self.size:,} notifications ended")
        return json.loads(line)

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(60)


@contextlib.contextmanager
def workers(url: str, sizes: list[int], folder: str) -> Iterator[list[Worker]]:
    """A database for each size, and who works on it."""
    import psycopg

    with contextlib.ExitStack() as stack:
        found = []
        for size in sizes:
            say(f"making an inbox of {size:,} notifications, and as many in {OTHERS:,} others")
            name = f"hub_{size}"
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {name}".encode())
            theirs = urlsplit(url)._replace(path=f"/{name}").geturl()
            worker = Worker(theirs, size, folder)
            stack.callback(worker.close)
            found.append(worker)
        yield found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=12)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--work", nargs=3, help="(internal) database, size, folder")
    options = parser.parse_args()
    if options.work:
        url, size, folder = options.work
        work(url, int(size), folder)
        return 0
    sizes = [10**power for power in range(3, 8 if options.full else 7)]
    if options.small:
        sizes, options.turns = sizes[:2], 2
    on_core(LOAD)()
    with servers(redis=False) as found:
        with workers(found["DATABASE_URL"], sizes, found["HUB_DATA"]) as all_of_them:
            for turn in range(1 + options.turns):
                say(f"turn {turn} of {options.turns}" if turn else "a turn to warm up")
                for number in range(len(WORK)):
                    for worker in all_of_them:
                        worker.turn(number, counts=turn > 0)
        known = versions("django", "psycopg", PostgreSQL=found["postgres"])
    report(lines_of(all_of_them, full=options.full, known=known), as_json=options.json)
    return 0


def lines_of(workers: list[Worker], *, full: bool, known: dict[str, str]) -> list[dict[str, Any]]:
    lines = []
    for number, (name, *_) in enumerate(WORK):
        costs = {worker.size: statistics.median(worker.took[number]) for worker in workers}
        far = {size: cost for size, cost in costs.items() if size <= FAR}
        rows: dict[str, Any] = {"of": "rows", "unit": "µs each", "versions": known}
        lines.append(flat(name, far, **rows))
        if full:
            lines.append(flat(name, costs, floor=None, aim=FLAT, **rows))
        first = costs[workers[0].size]
        lines.append(
            curve(
                "growth-rows",
                title="What a notification costs while the tables grow (PostgreSQL)",
                x=f"notifications in the inbox, and as many in {OTHERS:,} others",
                y="time of one, relative to the smallest table",
                series=f"{name} ({number_text(first)} µs each)",
                points=[(size, cost / first) for size, cost in costs.items()],
                log="x",
                band=(FLAT, 1 / FLAT, "flat"),
            )
        )
    return lines


if __name__ == "__main__":
    sys.exit(main())
