"""Workers side by side: a backlog of Audience rows, done by one, two and four processes.

    python -m benchmarks.workers [--users 50000] [--events 4] [--json]

All events go to the same users, so that workers come for the same inboxes too. Each worker is a
process of its own and does what `manage.py worker` does for audiences; all begin at once. Neither
they nor PostgreSQL, which is durable, are tied to a core: what limits them is the machine, and what
counts is how much more several do than one. The other line says which share of the updates of
inboxes stays on its page (HOT) meanwhile, as PostgreSQL counts them.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks.fanout import WORDS
from benchmarks.stand import ROOT, figure, make_users, report, say, servers, start_django, versions

WORKERS = (1, 2, 4)
HOT = 0.8


def work() -> None:
    """(In a child.) Works the backlog off, from the moment that our parent says so."""
    import django

    django.setup()
    from notifications.worker import fan_out_due

    fan_out_due()  # connections; there is nothing yet
    print("ready", flush=True)
    sys.stdin.readline()
    while fan_out_due():
        pass


@contextlib.contextmanager
def workers(number: int) -> Iterator[list["subprocess.Popen[str]"]]:
    command = [sys.executable, "-m", "benchmarks.workers", "--work"]
    pipe = subprocess.PIPE
    found = [
        subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)
        for _ in range(number)
    ]
    try:
        for process in found:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                raise SystemExit("a worker did not start")
        yield found
    finally:
        for process in found:
            process.kill()
            process.wait()


def rate(number: int, ids: list[int], events: int) -> float:
    """Notifications per second of so many workers."""
    from notifications import send_notification
    from notifications.models import Audience, Notification

    with workers(number) as found:
        sent = [send_notification("post_comment", users=ids, **WORDS) for _ in range(events)]
        began = time.perf_counter()
        for process in found:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in found:
            process.wait()
        took = time.perf_counter() - began
    assert not Audience.objects.exists()
    assert Notification.objects.filter(event__in=sent).count() == len(ids) * events
    return len(ids) * events / took


def updates() -> tuple[int, int]:
    """Updates of inboxes so far, and how many of them were HOT."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot(), pg_stat_force_next_flush()")
        cursor.execute(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'hub_inbox'"
        )
        all_of_them, hot = cursor.fetchone()
    return all_of_them, hot


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=50_000)
    parser.add_argument("--events", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--work", action="store_true", help="(internal) be a worker")
    options = parser.parse_args()
    if options.work:
        work()
        return 0
    if options.small:
        options.users, options.events, options.rounds = 5_000, 2, 1
    rates: dict[int, list[float]] = {number: [] for number in WORKERS}
    with servers(redis=False) as found:
        start_django(found)
        say(f"making {options.users:,} users")
        ids = make_users(options.users)
        rate(1, ids[:1000], 1)  # the type, and pages to write to
        before = updates()
        for turn in range(options.rounds):
            say(f"round {turn + 1} of {options.rounds}")
            for number in WORKERS:
                rates[number].append(rate(number, ids, options.events))
        updated, hot = (after - then for after, then in zip(updates(), before, strict=True))
        known = versions("django", "psycopg", PostgreSQL=found["postgres"])
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    lines = [
        figure(
            f"a backlog of {options.events} events to {options.users:,} users,"
            f" {number} workers on {cores} cores",
            unit="users/s",
            ours=rates[number],
            peer=rates[1],
            peer_name="one worker",
            versions=known,
        )
        for number in WORKERS[1:]
    ]
    lines.append(
        figure(
            "HOT updates of inboxes in that",
            unit="updates",
            ours=[hot],
            peer=[updated],
            peer_name="all updates of inboxes",
            floor=HOT,
            versions=known,
        )
    )
    report(lines, as_json=options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
