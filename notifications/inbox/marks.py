"""Marks and deletions: what a person does with what arrived."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Count, Q, QuerySet, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from notifications import event_types
from notifications.errors import InvalidField
from notifications.inbox.rows import Locked, alias, announce, lock, possible_ids, store
from notifications.models import Notification
from notifications.signals import Deleted, Marked
from notifications.sql import Sql

#: Ids that one frame carries; a change of more goes out as a bare hint, and sockets read.
MAX_TOLD = 100

IN_LIST = Q(archived_at=None, expired_at=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How many notifications a change altered, and the inbox's version after it."""

    changed: int
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One row of the states table in docs/protocol.md.

    `alters` are the rows that the mark finds unmarked, `within` those that `up_to` reaches,
    `counted` those that stand behind the counters before or after it; `unread`, `unseen` and
    `total` say whether they enter (+1) or leave (-1) a counter.
    """

    alters: Q
    sets: Callable[[datetime], dict[str, Any]]
    within: Q = IN_LIST
    counted: Q = IN_LIST
    unread: int = 0
    unseen: int = 0
    total: int = 0
    #: Which count the unread counter moves by: all rows where the mark is about reading itself.
    unread_rows: str = "unread"


STATES: dict[str, State] = {
    "seen": State(alters=Q(seen_at=None), sets=lambda at: {"seen_at": at}, unseen=-1),
    "read": State(
        alters=Q(read_at=None),
        sets=lambda at: {"read_at": at, "seen_at": Coalesce("seen_at", Value(at))},
        unread=-1,
        unseen=-1,
    ),
    "unread": State(
        alters=~Q(read_at=None),
        sets=lambda at: {"read_at": None},
        unread=+1,
        unread_rows="counted",
    ),
    "archived": State(
        alters=Q(archived_at=None),
        sets=lambda at: {"archived_at": at},
        unread=-1,
        unseen=-1,
        total=-1,
    ),
    "unarchived": State(
        alters=~Q(archived_at=None),
        sets=lambda at: {"archived_at": None},
        within=~Q(archived_at=None) & Q(expired_at=None),
        counted=Q(expired_at=None),
        unread=+1,
        unseen=+1,
        total=+1,
    ),
}


def mark(
    user_id: Any,
    *,
    state: str,
    ids: Sequence[int] | None = None,
    up_to: int | None = None,
    type: str | None = None,
    using: str | None = None,
) -> Result:
    """Marks the user's notifications named by `ids`, or those that arrived up to a number.

    `type` narrows `up_to` to one event type. Ids of others, or of nothing, are passed over.
    `up_to` above the inbox's version is taken as that version.
    Takes one number however many rows it alters, and none where it alters no row.
    Raises `InvalidField` for an unknown state, and unless exactly one of ids and up_to is given;
    `UnknownEventType`.
    """
    rule = STATES.get(state)
    if rule is None:
        raise InvalidField.of("state", f"must be one of {', '.join(STATES)}")
    if (ids is None) == (up_to is None):
        raise InvalidField.of("ids", "must be given, or up_to, but not both")
    database, at = alias(using), timezone.now()
    event_type = None if type is None else event_types.find(type, using=database)
    with transaction.atomic(using=database):
        sql = Sql(database)
        locked = lock(user_id, sql=sql)
        if locked is None:
            return Result(changed=0, version=0)
        rows = Notification.objects.using(database).filter(rule.alters, user=user_id)
        rows = rows.filter(deleted_at=None)
        if ids is not None:
            rows = rows.filter(event__in=possible_ids(ids))
        if up_to is not None:
            up_to = min(up_to, locked.version)
            rows = rows.filter(rule.within, arrived__lte=up_to)
        if event_type is not None:
            rows = rows.filter(event__type=event_type)
        found = _count(rows, rule.counted)
        if not found["rows"]:
            return Result(changed=0, version=locked.version)
        altered = [] if ids is None else _ids(rows)
        locked.version += 1
        locked.unread += rule.unread * found[rule.unread_rows]
        locked.unseen += rule.unseen * found["unseen"]
        locked.total += rule.total * found["counted"]
        rows.update(version=locked.version, **rule.sets(at))
        store(locked, sql=sql)
        change = Marked(
            position=locked.position(), state=state, at=at, ids=altered, up_to=up_to, type=type
        )
        announce(change, using=database)
    return Result(changed=found["rows"], version=locked.version)


def _count(rows: "QuerySet[Notification]", counted: Q) -> dict[str, int]:
    """How many rows there are, and how many of them stand behind each counter.

    Under the inbox lock nobody changes them before the caller does.
    """
    return rows.aggregate(
        rows=Count("id"),
        counted=Count("id", filter=counted),
        unread=Count("id", filter=counted & Q(read_at=None)),
        unseen=Count("id", filter=counted & Q(seen_at=None)),
    )


def _ids(rows: "QuerySet[Notification]") -> list[int]:
    """The altered ids in order; of more than a frame carries, one too many to tell."""
    return list(rows.order_by("event_id").values_list("event_id", flat=True)[: MAX_TOLD + 1])


def delete(user_id: Any, *, ids: Sequence[int], using: str | None = None) -> Result:
    """Deletes the user's notifications named by `ids`, leaving tombstones.

    Takes one number however many rows it alters, and none where it alters no row.
    """
    database, at = alias(using), timezone.now()
    with transaction.atomic(using=database):
        sql = Sql(database)
        locked = lock(user_id, sql=sql)
        if locked is None:
            return Result(changed=0, version=0)
        rows = Notification.objects.using(database).filter(
            user=user_id, event__in=possible_ids(ids), deleted_at=None
        )
        changed = delete_locked(rows, locked, at)
        if changed:
            store(locked, sql=sql)
            deleted = Deleted(position=locked.position(), ids=changed)
            announce(deleted, using=database)
    return Result(changed=len(changed), version=locked.version)


def delete_locked(rows: "QuerySet[Notification]", locked: Locked, at: datetime) -> list[int]:
    """Turns rows of one locked inbox into tombstones, under its next number.

    Returns the ids; the caller stores the inbox and announces.
    """
    ids = list(rows.order_by("event_id").values_list("event_id", flat=True))
    if ids:
        found = _count(rows, IN_LIST)
        locked.version += 1
        locked.unread -= found["unread"]
        locked.unseen -= found["unseen"]
        locked.total -= found["counted"]
        rows.update(version=locked.version, deleted_at=at, title=None, message=None, url=None)
    return ids
