"""What a user costs who comes back: taking a broadcast in, and resuming after missed changes.

    python -m benchmarks.returning [--users 100000] [--json]

A broadcast to all users is one send; then users come back and take it in, one by one. Resuming
reads the 100 changes that an inbox of 10,000 made meanwhile, as a socket and `changes/` do.
On PostgreSQL, in one process.
"""

import argparse
import sys
import time

from benchmarks.fanout import WORDS
from benchmarks.inbox import fill
from benchmarks.stand import (
    LOAD,
    limit,
    make_users,
    on_core,
    percentile,
    report,
    say,
    servers,
    start_django,
    versions,
)

RETURNS = 500
MISSED = 100
TAKE_IN, RESUME, STATEMENTS = 5.0, 30.0, 1  # milliseconds at p50, at p99; statements
TAKE_IN_AIM, RESUME_AIM = 2.0, 10.0


def broadcast() -> int:
    """Sends one to everybody; how many rows that wrote."""
    from django.db import connection

    from notifications import EVERYONE, send_notification

    def written() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_stat_force_next_flush()")
            cursor.execute("SELECT sum(n_tup_ins + n_tup_upd) FROM pg_stat_user_tables")
            return int(cursor.fetchone()[0])

    before = written()
    send_notification("post_comment", users=EVERYONE, **WORDS)
    return written() - before


def returns(ids: list[int]) -> list[float]:
    """Milliseconds that each user's look at the summary takes with a broadcast to take in."""
    from notifications import inbox

    found = []
    for user_id in ids:
        began = time.perf_counter()
        assert inbox.summary(user_id).unread == 1
        found.append((time.perf_counter() - began) * 1000)
    return found


def resumes(user_id: int, rounds: int) -> tuple[list[float], int]:
    """Milliseconds of each resume over `MISSED` changes, and the statements of one."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from notifications import inbox

    now = inbox.summary(user_id)
    found = []
    for _ in range(rounds):
        began = time.perf_counter()
        page = inbox.changes(user_id, epoch=now.epoch, since=now.version - MISSED)
        found.append((time.perf_counter() - began) * 1000)
        assert len(page.changes) == MISSED and not page.more
    with CaptureQueriesContext(
        connection,
    ) as captured:
        inbox.changes(user_id, epoch=now.epoch, since=now.version - MISSED)
    return found, len(captured)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.small:
        options.users = 1_000
    on_core(LOAD)()
    with servers(redis=False) as found:
        start_django(found)
        say(f"making {options.users:,} users")
        ids = make_users(options.users)
        say("a broadcast, and users who come back")
        wrote = broadcast()
        took = returns(ids[:RETURNS])
        say("resume")
        fill(ids[-1], 10_000 if not options.small else 500)
        resumed, statements = resumes(ids[-1], 300)
        known = versions("django", "psycopg", PostgreSQL=found["postgres"])
    everybody = f"of {options.users:,}"
    lines = [
        limit(
            f"rows written by a broadcast to {options.users:,} users",
            unit="rows",
            ours=wrote,
            at_most=10,
            versions=known,
        ),
        limit(
            f"take-in when one {everybody} returns, p50",
            unit="ms",
            ours=percentile(took, 50),
            at_most=TAKE_IN,
            aim=TAKE_IN_AIM,
            versions=known,
        ),
        limit(
            f"resume of {MISSED} missed changes, p99",
            unit="ms",
            ours=percentile(resumed, 99),
            at_most=RESUME,
            aim=RESUME_AIM,
            versions=known,
        ),
        limit(
            f"resume of {MISSED} missed changes",
            unit="statements",
            ours=statements,
            at_most=STATEMENTS,
            versions=known,
        ),
    ]
    report(lines, as_json=options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
