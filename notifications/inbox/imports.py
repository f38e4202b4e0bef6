"""How old notifications of another system come into inboxes: numbered like all that arrives.

They keep their states, take the next numbers of their inboxes in the order in which they are
given, and are neither pushed nor announced as new: whoever is connected reads them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from notifications.inbox.rows import Locked, announce, user_id_of
from notifications.models import Notification
from notifications.signals import Imported
from notifications.sql import Sql

LOCK = """
    SELECT i.user_id, i.version, i.unread, i.unseen, i.total FROM {inbox} i
    WHERE i.user_id {in_keys} ORDER BY i.user_id {for_update}
"""
STORE = "UPDATE {inbox} SET version = %s, unread = %s, unseen = %s, total = %s WHERE user_id = %s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """One old notification: whose it is, its event (stored already) and its states."""

    user_id: Any
    event_id: int
    seen_at: datetime | None = None
    read_at: datetime | None = None
    archived_at: datetime | None = None
    deleted_at: datetime | None = None


def store_past(rows: Sequence[Past], *, using: str) -> int:
    """Stores old notifications, the first one first; returns how many.

    Filters are not asked: what stood in the other system's inbox stands in this one. Whoever has
    the event already keeps it as it is; users without an inbox get nothing (`ensure` makes it).
    Takes at most some hundred rows; runs inside the caller's transaction, READ COMMITTED.
    """
    sql = Sql(using)
    users = {row.user_id for row in rows}
    locked = {
        user_id: Locked(user_id, *counters)
        for user_id, *counters in (
            (user_id_of(key), *rest) for key, *rest in sql.rows(LOCK, [sql.keys(users)])
        )
    }
    # a later statement than the lock: it sees what the lock waited for
    have = set(
        Notification.objects.using(using)
        .filter(event__in={row.event_id for row in rows}, user__in=users)
        .values_list("user_id", "event_id")
    )
    made, changed = [], {}
    for row in rows:
        inbox = locked.get(row.user_id)
        if inbox is None or (row.user_id, row.event_id) in have:
            continue
        have.add((row.user_id, row.event_id))
        made.append(_arrived(row, inbox))
        changed[row.user_id] = inbox
    Notification.objects.using(using).bulk_create(made)
    if changed:
        sql.run_many(
            STORE,
            [
                [i.version, i.unread, i.unseen, i.total, sql.key(i.user_id)]
                for i in changed.values()
            ],
        )
        announce(Imported(positions=[i.position() for i in changed.values()]), using=using)
    return len(made)


def _arrived(row: Past, inbox: Locked) -> Notification:
    """The row under its inbox's next number, counted as its states say."""
    seen_at = row.seen_at or row.read_at
    inbox.version += 1
    if row.archived_at is None and row.deleted_at is None:
        inbox.total += 1
        inbox.unread += row.read_at is None
        inbox.unseen += seen_at is None
    return Notification(
        user_id=row.user_id,
        event_id=row.event_id,
        arrived=inbox.version,
        version=inbox.version,
        seen_at=seen_at,
        read_at=row.read_at,
        archived_at=row.archived_at,
        deleted_at=row.deleted_at,
    )
