"""Adds increments to the buckets: one statement, whatever number of processes does the same."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connections, transaction
from django.db.models.functions import Now

from notifications.counts import reading
from notifications.counts.metrics import STEPS, metric_of
from notifications.counts.models import Count, Process

#: How long buckets are kept, by their length.
KEPT = {60: timedelta(days=2), 600: timedelta(days=40)}
GONE = timedelta(hours=1)  # after which a process that was killed is forgotten
SAMPLE_EVERY = 10  # seconds between two looks at gauges, by whichever process comes first
LOCK_WAIT = 2_000  # milliseconds
SAMPLED = "sampled"  # the series that says when gauges were last looked at

# The time is the database's: clocks of machines differ. Sorted, so that two never wait for each
# other in a circle.
ADD = """
    INSERT INTO {count} AS c (step, at, series, value)
    SELECT s.step, CASE s.step WHEN 0 THEN 0 ELSE {now} - {now} %% s.step END, s.series, s.value
    FROM {source} WHERE TRUE ORDER BY 1, 2, 3
    ON CONFLICT (step, at, series) DO UPDATE SET value = {value}
"""
TAKE_TURN = """
    INSERT INTO {count} AS c (step, at, series, value) VALUES (0, 0, %s, {now})
    ON CONFLICT (step, at, series) DO UPDATE SET value = excluded.value
    WHERE c.value <= excluded.value - %s
"""
PRUNE = "DELETE FROM {count} WHERE step = %s AND at < {now} - %s"

Row = tuple[int, str, int]  # step, series, value


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A process as it reports itself; without roles it is leaving."""

    id: str
    host: str
    pid: int
    roles: str
    started_at: datetime
    gauges: Mapping[str, float]


def write(increments: Mapping[str, int], seen: Seen | None, *, using: str) -> None:
    """Adds what one process has counted, and says that it lives."""
    rows = [
        (step, series, by)
        for series, by in increments.items()
        if (metric := metric_of(series)) is not None
        for step in metric.steps
    ]
    if not rows and seen is None:
        return
    with transaction.atomic(using=using):
        _limit_lock_wait(using)
        if rows:
            _add(rows, "c.value + excluded.value", using)
        if seen is None:
            return
        if seen.roles:
            _see(seen, using)
        else:
            Process.objects.using(using).filter(pk=seen.id).delete()


def sample(*, using: str) -> bool:
    """Looks at the gauges that are plotted, if it is time to; returns whether it was.

    Every process asks, one of them gets the turn: nobody is elected, and nobody is missed.
    """
    if not _run(TAKE_TURN, [SAMPLED, SAMPLE_EVERY], using):
        return False
    rows = [
        (step, metric.series(values), round(value * metric.scale))
        for metric, values, value in reading.gauges(using=using, plotted=True)
        for step in metric.steps
    ]
    greatest = "GREATEST" if _is_postgres(using) else "max"
    with transaction.atomic(using=using):
        _limit_lock_wait(using)
        _add(rows, f"{greatest}(c.value, excluded.value)", using)
        Process.objects.using(using).filter(seen_at__lt=Now() - GONE).delete()
    return True


def prune(*, using: str) -> int:
    """Removes buckets that are too old; returns how many rows that were."""
    return sum(_run(PRUNE, [step, round(KEPT[step].total_seconds())], using) for step in STEPS)


def _add(rows: Sequence[Row], value: str, using: str) -> None:
    if not rows:
        return
    steps, series, values = zip(*rows, strict=True)
    parameters = [list(steps), list(series), list(values)]
    if not _is_postgres(using):
        parameters = [json.dumps(rows)]  # type: ignore[list-item]
    _run(ADD.replace("{value}", value), parameters, using)


def _see(seen: Seen, using: str) -> None:
    row = Process(
        id=seen.id,
        host=seen.host,
        pid=seen.pid,
        roles=seen.roles,
        started_at=seen.started_at,
        seen_at=Now(),
        gauges=dict(seen.gauges),
    )
    Process.objects.using(using).bulk_create(
        [row],
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=["roles", "seen_at", "gauges"],
    )


def _run(template: str, parameters: list[Any], using: str) -> int:
    connection: Any = connections[using]
    postgres = _is_postgres(using)
    names = {
        "count": connection.ops.quote_name(Count._meta.db_table),
        "now": "extract(epoch FROM statement_timestamp())::bigint"
        if postgres
        else "CAST(strftime('%%s', 'now') AS INTEGER)",
        "source": "unnest(%s::int[], %s::text[], %s::bigint[]) AS s(step, series, value)"
        if postgres
        else "(SELECT json_extract(value, '$[0]') AS step, json_extract(value, '$[1]') AS series,"
        " json_extract(value, '$[2]') AS value FROM json_each(%s)) AS s",
    }
    with connection.cursor() as cursor:
        cursor.execute(template.format_map(names), parameters)
        return int(cursor.rowcount)


def _is_postgres(using: str) -> bool:
    return bool(connections[using].vendor == "postgresql")


def _limit_lock_wait(using: str) -> None:
    """On SQLite its own time-out does."""
    if _is_postgres(using):
        with connections[using].cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = {LOCK_WAIT:d}")
