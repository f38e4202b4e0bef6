"""The book of the push road on PostgreSQL: claims and finishes a second, and memory over many.

    make bench ONLY=deliveries

Claims: what the worker does around a provider, `claim` and `finish` in batches of 100, against the
two bare statements that any queue needs, on the same table in the same run: a select with SKIP
LOCKED that marks, and an update by key. Memory: one worker takes 100,000 deliveries to the dummy
backend; what it holds after the first fifth is set against what it holds at the end.
"""

import argparse
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks.stand import LOAD, figure, make_users, on_core, report, say, servers, start_django
from benchmarks.stand import versions as known

DEVICES = 1000
BATCH = 100
ROUNDS = 3
ROWS = 5000  # per round of claims
#: Memory at the end may be a tenth above that after the first fifth.
FLAT = 0.9

BARE_CLAIM = """
    UPDATE hub_delivery SET state = 'SENDING', claim = 'bare' WHERE id IN (
        SELECT id FROM hub_delivery WHERE state = 'WAITING' AND due <= now()
        ORDER BY due LIMIT %s FOR UPDATE SKIP LOCKED
    ) RETURNING id
"""
BARE_FINISH = "UPDATE hub_delivery SET state = 'SENT', claim = '' WHERE id = ANY(%s)"


def settings_for_dummies() -> None:
    from django.conf import settings

    application = {"phones": {"backend": "dummy", "default": True, "concurrency": BATCH}}
    settings.HUB = {**settings.HUB, "APPLICATIONS": application}


def make_devices(ids: list[int]) -> None:
    from django.contrib.auth import get_user_model

    from routing.push.registration import register

    for user in get_user_model().objects.filter(pk__in=ids):
        register(user, backend="dummy", token=f"ok-{user.pk}")


def plan(ids: list[int], number: int) -> None:
    """At least `number` deliveries that are due, by ordinary sends."""
    from notifications import send_notification
    from routing.push.models import Delivery

    while Delivery.objects.unfinished().count() < number:
        for start in range(0, len(ids), 500):
            send_notification("post_like", users=ids[start : start + 500], title="Hello")


def our_rate(ids: list[int]) -> float:
    from routing.push import deliveries
    from routing.push.deliveries import Change
    from routing.push.models import Application, Delivery

    plan(ids, ROWS)
    application = Application.objects.get(name="phones").pk
    lease, done, began = timedelta(seconds=60), 0, time.perf_counter()
    while done < ROWS:
        claim = deliveries.claim(application, most=BATCH, lease=lease, using="default")
        assert claim is not None
        sent = Delivery.State.SENT
        changes = [Change(id=row, claim=claim.id, state=sent, attempts=1) for row in claim.ids]
        deliveries.finish(changes, using="default")
        done += len(changes)
    return done / (time.perf_counter() - began)


def bare_rate(ids: list[int]) -> float:
    from django.db import connection, transaction

    plan(ids, ROWS)
    done, began = 0, time.perf_counter()
    with connection.cursor() as cursor:
        while done < ROWS:
            with transaction.atomic():
                cursor.execute(BARE_CLAIM, [BATCH])
                claimed = [row[0] for row in cursor.fetchall()]
            assert claimed
            cursor.execute(BARE_FINISH, [claimed])
            done += len(claimed)
    return done / (time.perf_counter() - began)


def held() -> float:
    """This process's resident memory in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def memory(ids: list[int], number: int) -> tuple[float, float]:
    """Megabytes after a fifth of `number` deliveries, and after all of them."""
    from routing.push.models import Delivery
    from routing.push.worker import PushWorker

    worker, done, early = PushWorker(), 0, 0.0
    while done < number:
        plan(ids, min(5000, number - done))
        there = Delivery.objects.unfinished().count()
        while worker.work():
            pass
        done += there - Delivery.objects.unfinished().count()
        early = early or (held() if done >= number / 5 else 0.0)
        say(f"deliveries: {done:,} of {number:,}, {held():.0f} MB")
    worker.close()
    return early, held()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    on_core(LOAD)()
    with servers(redis=False) as found:
        start_django(found)
        settings_for_dummies()
        ids = make_users(100 if options.small else DEVICES)
        make_devices(ids)
        rounds: list[dict[str, Any]] = []
        for number in range(1 if options.small else ROUNDS):
            say(f"deliveries: claims, round {number + 1}")
            rounds.append({"ours": our_rate(ids), "bare": bare_rate(ids)})
        early, late = memory(ids, 5_000 if options.small else 100_000)
        versions = known("django", "psycopg", PostgreSQL=found["postgres"])
    lines = [
        figure(
            "claims and finishes",
            unit="deliveries/s",
            ours=[one["ours"] for one in rounds],
            peer=[one["bare"] for one in rounds],
            peer_name="two bare statements",
            floor=None,
            versions=versions,
        ),
        figure(
            "memory after a fifth of 100,000 deliveries",
            unit="MB",
            ours=[early],
            peer=[late],
            peer_name="after all of them",
            floor=FLAT,
            versions=versions,
        ),
    ]
    report(lines, as_json=options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
