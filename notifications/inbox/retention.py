"""What ends: old notifications are deleted as a change first, old tombstones are purged."""

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from notifications.conf import conf
from notifications.inbox.bulk import lock_all, take_out
from notifications.inbox.rows import CHUNK, alias, announce, user_id_of
from notifications.models import Audience, Event, IdempotencyKey, LeftOut, RelatedObject
from notifications.signals import Deleted
from notifications.sql import Sql

logger = logging.getLogger(__name__)

#: Beyond retention and tombstones together, before an event itself is deleted.
SLACK = timedelta(days=1)

WORDS = "deleted_at = %s, title = NULL, message = NULL, url = NULL"
TAKEN = "n.event_id <= %s AND e.timestamp < %s"
OLD = f"EXISTS (SELECT 1 FROM {{event}} e WHERE e.id = n.event_id AND {TAKEN})"
PURGE = """
    DELETE FROM {notification} WHERE user_id {in_keys} AND deleted_at < %s
    RETURNING user_id, version
"""
PURGE_AT_ONCE = """
    WITH purged AS ({purge}), raised AS (
        UPDATE {inbox} AS i SET floor = p.floor
        FROM (SELECT user_id, max(version) AS floor FROM purged GROUP BY user_id) p
        WHERE i.user_id = p.user_id AND i.floor < p.floor
    )
    SELECT count(*) FROM purged
"""
ORPHANS = """
    DELETE FROM {table} WHERE user_id IN (
        SELECT o.user_id FROM {table} o
        WHERE NOT EXISTS (SELECT 1 FROM {users} u WHERE u.{user_key} = o.user_id) LIMIT %s
    )
"""


def prune(*, at: datetime | None = None, using: str | None = None) -> dict[str, int]:
    """Applies retention as of `at` (default: now), in chunks that hold no lock for long.

    Returns what was done: notifications deleted, tombstones purged, orphans, events and
    idempotency keys removed.
    """
    database, now, settings = alias(using), at or timezone.now(), conf()
    old = now - settings.retention
    boundary = Event.objects.using(database).filter(timestamp__lt=old).aggregate(last=Max("id"))
    done = {
        "deleted": _delete_old(boundary["last"] or 0, old, now, database),
        "purged": _purge(now - settings.tombstones, database),
        "orphans": _remove_orphans(database),
        "events": _remove_events(old - settings.tombstones - SLACK, database),
        "keys": IdempotencyKey.objects.using(database)
        .filter(made_at__lt=now - settings.idempotency)
        .delete()[0],
    }
    if any(done.values()):
        logger.info("prune %s", " ".join(f"{what}={count}" for what, count in done.items()))
    return done


def _walk(sql: Sql, where: str, parameters: list[Any]) -> Iterator[list[Any]]:
    """Users that have a notification of this kind, in chunks and in key order."""
    beyond: list[Any] = []
    while True:
        rows = sql.rows(
            f"SELECT DISTINCT n.user_id FROM {{notification}} n WHERE {where}"
            f" {'AND n.user_id > %s' if beyond else ''} ORDER BY n.user_id LIMIT %s",
            [*parameters, *beyond, CHUNK],
        )
        if not rows:
            return
        beyond = [rows[-1][0]]
        yield [user_id_of(row[0]) for row in rows]


def _take_out(users: list[Any], where: str, parameters: list[Any], at: datetime, using: str) -> int:
    """Deletes rows of these users as a change, and tells of it."""
    sql = Sql(using)
    with transaction.atomic(using=using):
        changed = take_out(
            sql,
            lock_all(sql, users),
            sets=WORDS,
            where=where,
            parameters=[sql.time(at), *parameters],
        )
        for position, ids in changed:
            announce(Deleted(position=position, ids=ids), using=using)
    return sum(len(ids) for _, ids in changed)


def _delete_old(boundary: int, old: datetime, at: datetime, using: str) -> int:
    """`boundary` is the last id of an event from before `old`. Below it nearly all are as old,
    but not where an import has given old events new ids."""
    sql = Sql(using)
    age = [boundary, sql.time(old)]
    users = _walk(sql, f"n.deleted_at IS NULL AND {OLD}", age)
    return sum(_take_out(chunk, TAKEN, age, at, using) for chunk in users)


def _purge(before: datetime, using: str) -> int:
    """Removes old tombstones and raises `floor` with them, under the inbox lock."""
    sql, purged = Sql(using), 0
    for users in _walk(sql, "n.deleted_at < %s", [sql.time(before)]):
        with transaction.atomic(using=using):
            values = [sql.keys(lock_all(sql, users)), sql.time(before)]
            purged += _purge_at_once(sql, values) if sql.postgres else _purge_in_steps(sql, values)
    return purged


def _purge_at_once(sql: Sql, values: list[Any]) -> int:
    [[count]] = sql.rows(PURGE_AT_ONCE.replace("{purge}", PURGE), values)
    return int(count)


def _purge_in_steps(sql: Sql, values: list[Any]) -> int:
    rows = sql.rows(PURGE, values)
    floors: dict[Any, int] = {}
    for key, version in rows:
        floors[key] = max(version, floors.get(key, 0))
    sql.run_many(
        "UPDATE {inbox} SET floor = %s WHERE user_id = %s AND floor < %s",
        [[floor, key, floor] for key, floor in sorted(floors.items())],
    )
    return len(rows)


def _remove_orphans(using: str) -> int:
    """Rows of users who were deleted while something was fanned out to them."""
    sql, removed = Sql(using), 0
    for table in ("{notification}", "{inbox}"):
        while count := sql.run(ORPHANS.replace("{table}", table), [CHUNK]):
            removed += count
    return removed


def _remove_events(before: datetime, using: str) -> int:
    """Events that no inbox can show any more; their links go with them."""
    sql, removed = Sql(using), 0
    old = Event.objects.using(using).filter(timestamp__lt=before).order_by("timestamp")
    while ids := list(old.values_list("pk", flat=True)[:CHUNK]):
        Audience.objects.using(using).filter(event__in=ids).delete()
        RelatedObject.objects.using(using).filter(event__in=ids).delete()
        LeftOut.objects.using(using).filter(event__in=ids).delete()
        # plain SQL: Event's own deletion would look for it in every inbox first
        marks = ", ".join(["%s"] * len(ids))
        removed += sql.run(f"DELETE FROM {{event}} WHERE id IN ({marks})", list(ids))
    return removed


def withdraw(event: Event, *, using: str | None = None) -> int:
    """Takes an event out of every inbox, as a deletion that all clients hear of.

    Runs before an event is deleted, whoever deletes it. Returns how many inboxes had it.
    """
    database, at = alias(using), timezone.now()
    Audience.objects.using(database).filter(event=event).delete()
    LeftOut.objects.using(database).filter(event=event).delete()
    Event.objects.using(database).filter(pk=event.pk).update(broadcast=None)
    users = _walk(Sql(database), "n.event_id = %s AND n.deleted_at IS NULL", [event.pk])
    return sum(_take_out(chunk, "n.event_id = %s", [event.pk], at, database) for chunk in users)
