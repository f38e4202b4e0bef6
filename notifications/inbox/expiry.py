"""Expiry is done, not observed: what is over is marked, counted out and announced.

Lists and counters look at what is stored; only this file (and the push road) looks at the clock.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from notifications.inbox.bulk import lock_all, take_out
from notifications.inbox.marks import MAX_TOLD
from notifications.inbox.rows import CHUNK, alias, announce, user_id_of
from notifications.models import Event
from notifications.signals import Marked
from notifications.sql import Sql

#: A fan-out that began before an event's end may commit a little after it.
SLACK = timedelta(seconds=60)

NEXT_EXPIRY = """
    UPDATE {inbox} SET next_expiry = (
        SELECT min(e.expires_at) FROM {notification} n JOIN {event} e ON e.id = n.event_id
        WHERE n.user_id = {inbox}.user_id AND n.expired_at IS NULL AND n.deleted_at IS NULL
            AND e.expires_at > %s
    )
    WHERE user_id {in_keys}
"""


def expire(user_ids: Iterable[Any], *, using: str | None = None) -> int:
    """Expires what is over in these inboxes; returns how many notifications that were.

    Each inbox with such takes one number and is announced as `marked` with state `expired`.
    """
    database = alias(using)
    wanted = sorted(set(user_ids))
    return sum(
        _expire_chunk(wanted[start : start + CHUNK], database)
        for start in range(0, len(wanted), CHUNK)
    )


def _expire_chunk(user_ids: list[Any], using: str) -> int:
    sql, at = Sql(using), timezone.now()
    now = sql.time(at)
    with transaction.atomic(using=using):
        due = lock_all(sql, user_ids, where="i.next_expiry <= %s", parameters=[now])
        if not due:
            return 0
        # a later statement than the lock: it sees what the lock waited for
        changed = take_out(
            sql,
            due,
            sets="expired_at = %s",
            where="e.expires_at <= %s AND n.expired_at IS NULL",
            expiring=True,
            parameters=[now, now],
        )
        sql.run(NEXT_EXPIRY, [now, sql.keys(due)])
        for position, ids in changed:
            told = ids[: MAX_TOLD + 1]
            announce(Marked(position=position, state="expired", at=at, ids=told), using=using)
    return sum(len(ids) for _, ids in changed)


def sweep_expired(*, after: datetime | None = None, using: str | None = None) -> datetime:
    """Expires, chunk by chunk, whatever is over in any inbox; for the worker.

    `after` is what the last sweep returned: while no event has ended since, one index entry is
    all that is read. Returns the time up to which all inboxes are swept.
    """
    database, at = alias(using), timezone.now()
    ended = Event.objects.using(database).filter(expires_at__lte=at)
    if after is not None:
        ended = ended.filter(expires_at__gt=after)
    sql = Sql(database)
    beyond: list[Any] = []
    while ended.exists():
        rows = sql.rows(
            f"SELECT user_id FROM {{inbox}} WHERE next_expiry <= %s"
            f" {'AND user_id > %s' if beyond else ''} ORDER BY user_id LIMIT %s",
            [sql.time(at), *beyond, CHUNK],
        )
        if not rows:
            break
        beyond = [rows[-1][0]]
        expire([user_id_of(row[0]) for row in rows], using=database)
    return at - SLACK
