"""The fan-out: one event to many users on PostgreSQL, from the call to the last inbox.

    python -m benchmarks.fanout [--users 100000] [--rounds 3] [--json]

Ours is `send_notification()` with the users' ids and then the worker's work, in one process, with
versions, counters and filters. The peers: `notify.send` of django-notifications-hq, which keeps
none of these, in an environment of its own with the Django that it still runs on, on the same
server; and a bare `INSERT ... SELECT` into our table with its indexes. PostgreSQL is durable. What
the sending process takes in memory is measured for a tenth of the users and for all.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.stand import (
    LOAD,
    ROOT,
    Missing,
    environment,
    figure,
    make_users,
    on_core,
    report,
    say,
    servers,
    start_django,
    versions,
)

FLOOR, AIM = 10.0, 20.0
FLOOR_BARE, AIM_BARE = 0.35, 0.6
FLAT = 1.25  # memory for ten times the users may be so many times as much, and is then flat

#: The last one that is published; it fails on Django 5.
REQUIREMENTS = ["django-notifications-hq==1.8.3", "Django>=4.2,<5", "psycopg[binary]>=3.1,<4"]
PEER = Path(__file__).resolve().parent / "peers" / "django_notifications_hq.py"
PEER_USERS = 10_000  # at most: its rate does not rise with more

WORDS = {"title": "Ada replied to your post", "message": "Nice picture!", "url": "/posts/12/"}


def send(users: Any) -> Any:
    """The event, in every inbox."""
    from django.db import router

    from notifications import send_notification
    from notifications.fanout import fan_out, together
    from notifications.models import Audience

    using = router.db_for_write(Audience)
    event = send_notification("post_comment", users=users, data={"post": 12}, **WORDS)
    for ids in together(Audience.objects.using(using).filter(event=event).order_by("pk")):
        fan_out(*ids, using=using)
    return event


def our_round(ids: list[int]) -> float:
    """Users per second."""
    from notifications.models import Notification

    began = time.perf_counter()
    event = send(ids)
    took = time.perf_counter() - began
    assert Notification.objects.filter(event=event).count() == len(ids)
    return len(ids) / took


def bare_round() -> float:
    """Users per second of the least that stores the rows: no lock, no counter, no filter."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT max(id) + 1 FROM hub_event")
        [event_id] = cursor.fetchone()
        began = time.perf_counter()
        cursor.execute(
            "INSERT INTO hub_notification (user_id, event_id, arrived, version, silent)"
            " SELECT id, %s, 1000000, 1000000, false FROM auth_user",
            [event_id],
        )
        took = time.perf_counter() - began
        inserted = cursor.rowcount
        cursor.execute("DELETE FROM hub_notification WHERE event_id = %s", [event_id])
    return inserted / took


def peak_of(users: int) -> int:
    """MB that a process of its own takes at most to send to so many and fan out."""
    command = [sys.executable, "-m", "benchmarks.fanout", "--memory", str(users)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1])


def measure_memory(users: int) -> None:
    import resource

    import django

    django.setup()
    from django.contrib.auth import get_user_model

    # as a team would: a queryset, which is never held whole
    send(get_user_model().objects.order_by("pk")[:users])
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)


def their_rates(url: str, users: int, rounds: int, *, calls: int = 0) -> dict[str, Any]:
    """What the peer prints, on a database of its own on the same server."""
    import psycopg

    try:
        python = environment("notifications", REQUIREMENTS)
    except Missing as missing:
        return {"rates": missing, "calls": missing, "versions": {}}
    name = "peer"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    peers = urlsplit(url)._replace(path=f"/{name}").geturl()
    command = [python, PEER, peers, users, rounds, calls]
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=on_core(LOAD),
    )
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    found: dict[str, Any] = json.loads(done.stdout)
    found["versions"]["its django"] = found["versions"].pop("django")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--memory", type=int, help="(internal) users to send to")
    options = parser.parse_args()
    if options.memory:
        measure_memory(options.memory)
        return 0
    if options.small:
        options.users, options.rounds = 5_000, 1
    on_core(LOAD)()
    with servers(redis=False) as found:
        start_django(found)
        say(f"making {options.users:,} users")
        ids = make_users(options.users)
        mine, bare = [], []
        our_round(ids[:1000])  # connections, prepared statements, the type
        for number in range(options.rounds):
            say(f"round {number + 1} of {options.rounds}")
            mine.append(our_round(ids))
            bare.append(bare_round())
        say("memory")
        tenth, whole = peak_of(options.users // 10), peak_of(options.users)
        peers = min(options.users, PEER_USERS)
        say(f"django-notifications-hq, {peers:,} users")
        theirs = their_rates(found["DATABASE_URL"], peers, options.rounds)
        known = versions("django", "psycopg", PostgreSQL=found["postgres"])
        known |= theirs["versions"]
    name = f"one event to {options.users:,} users"
    say(f"memory at most: {tenth} MB for {options.users // 10:,} users, {whole} MB for all")
    unit = "users/s"
    hq = "django-notifications-hq, notify.send"
    lines = [
        figure(
            name,
            unit=unit,
            ours=mine,
            peer=theirs["rates"],
            peer_name=hq,
            floor=FLOOR,
            aim=AIM,
            versions=known,
        ),
        figure(
            name,
            unit=unit,
            ours=mine,
            peer=bare,
            peer_name="bare INSERT ... SELECT",
            floor=FLOOR_BARE,
            aim=AIM_BARE,
            versions=known,
        ),
        figure(
            "memory, flat in the audience",
            unit="MB",
            ours=[tenth],
            peer=[whole],
            peer_name="for ten times the users",
            floor=1 / FLAT,
            versions=known,
        ),
    ]
    report(lines, as_json=options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
