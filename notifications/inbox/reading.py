"""Reading an inbox: what clients list, count and resume from.

Inbox, floor, epoch and rows always come from one statement, so that what is said of a version is
true of exactly that version.
"""

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils import timezone

from notifications import event_types
from notifications.compiled import Beside
from notifications.inbox.broadcasts import take_in
from notifications.inbox.expiry import expire
from notifications.inbox.rows import alias, ensure, possible_ids, user_id_of
from notifications.representation import (
    COLUMNS,
    ROW_ID,
    VERSION,
    WIDTH,
    rows_json,
    stored_moment,
)
from notifications.sql import Sql

PAGE = 200  # changes per page
USUAL = 20  # notifications per page of the list
RESET_SPREAD = 5.0  # seconds over which clients that were told `reset` come back
BIGGEST = 2**63 - 1

CURSOR = re.compile(r"(\d{1,19})(?:\.(\d{1,19}))?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    unread: int
    unseen: int
    total: int
    version: int
    epoch: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page of the list; `count` is None for pages by key (`before`)."""

    count: int | None
    results: list[dict[str, Any]]
    more: bool
    epoch: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What an inbox changed after a cursor.

    `version` is the highest that is complete with this page; `cursor` goes on from here while
    `more` is true. With `reset` the cursor that was given cannot be resumed.
    """

    epoch: str
    version: int
    cursor: str
    reset: bool = False
    changes: list[dict[str, Any]] = field(default_factory=list)
    more: bool = False
    retry_after: float | None = None
    unread: int
    unseen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """Where one inbox stands, as reconcile compares it."""

    version: int
    unread: int
    unseen: int
    broadcast: int
    expiry_due: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Positions:
    epoch: str
    broadcast: int
    inboxes: dict[Any, Stand]


@dataclass(frozen=True, slots=True)
class _Head:
    """The hub's state and one inbox, as every statement here begins with."""

    epoch: str
    hub_broadcast: int
    version: int
    floor: int
    unread: int
    unseen: int
    total: int
    broadcast: int
    next_expiry: Any

    def broadcast_waits(self) -> bool:
        return self.broadcast < self.hub_broadcast

    def expiry_is_due(self, at: datetime) -> bool:
        due = stored_moment(self.next_expiry)
        return due is not None and due <= at

    def is_settled(self, at: datetime) -> bool:
        """Whether there is an inbox (else its columns are None), and nothing waits for it."""
        there = self.version is not None
        return there and not self.broadcast_waits() and not self.expiry_is_due(at)


HEAD = """
    {epoch}, s.broadcast, i.version, i.floor, i.unread, i.unseen, i.total, i.broadcast,
    i.next_expiry
"""
HEAD_WIDTH = 9
STATE_AND_INBOX = "{state} s LEFT JOIN {inbox} i ON i.user_id = %s"
#: For a statement that finds the user anyway, e.g. by a token: `summary` takes its row as `stand`.
STAND = Beside(HEAD, "JOIN {state} s ON s.id = 1 LEFT JOIN {inbox} i ON i.user_id = {key}")
# Numbered names, since event and notification share column names. The `+ 0` keeps the planner from
# merging both tables by their ids: of an inbox that holds most events it would read all events
# above the page (24 ms instead of 0.1 ms in the middle of 100,000).
ROWS = f"""
    SELECT {", ".join(f"{name.strip()} AS c{n}" for n, name in enumerate(COLUMNS.split(",")))}
    FROM {{notification}} n
    LEFT JOIN {{event}} e ON e.id = n.event_id + 0
    LEFT JOIN {{type}} t ON t.id = e.type_id
    WHERE n.user_id = %s
"""
# What is said twice makes PostgreSQL expect a single row, and then it follows the index of user and
# event. Expecting the few rows that users have on average, a plan that serves them all
# (`Sql.rows_again`) may read and sort all rows of one who has many (docs/performance.md).
ROWS_BEFORE = f"""{ROWS}
    AND n.user_id >= %s AND n.user_id <= %s AND n.event_id < %s AND n.event_id > 0
"""
FROM_NOTIFICATION = "FROM {notification} n WHERE n.user_id = %s"
LISTED = "AND n.archived_at IS NULL AND n.expired_at IS NULL"


def _read(
    user_id: Any, extra: str, parameters: list[Any], *, using: str, in_order: bool = False
) -> tuple[_Head, list[tuple[Any, ...]]]:
    """Runs one statement of head and rows; first settles the inbox where something waits.

    `extra` is what follows the head in the select list and the joins; with `in_order` it reads
    some of a user's rows by an index.
    """
    sql = Sql(using)
    ask = sql.rows_again if sql.prepares else sql.rows
    if in_order:
        ask = sql.rows_in_order
    for _ in range(3):
        found = ask(extra, parameters)
        epoch, broadcast, version = found[0][:3]
        if version is None:
            # made without `post_save`, e.g. by bulk_create; or a user that is gone by now
            ensure([user_id], using=using)
            if not sql.rows("SELECT 1 FROM {inbox} WHERE user_id = %s", [sql.key(user_id)]):
                return _Head(epoch, broadcast, 0, 0, 0, 0, 0, broadcast, None), []
            continue
        head = _Head(*found[0][:HEAD_WIDTH])
        waits, over = head.broadcast_waits(), head.expiry_is_due(timezone.now())
        if not (waits or over):
            break
        if waits:
            take_in([user_id], using=using)
        if over:
            expire([user_id], using=using)
    return head, [row[HEAD_WIDTH:] for row in found]


def summary(
    user_id: Any, *, using: str | None = None, stand: tuple[Any, ...] | None = None
) -> Summary:
    """`stand` is what a statement with `STAND` has just read of this user: another one is needed
    only where something waits."""
    head = None if stand is None else _Head(*stand)
    if head is None or not head.is_settled(timezone.now()):
        database = alias(using)
        statement = f"SELECT {HEAD} FROM {STATE_AND_INBOX} WHERE s.id = 1"
        head, _ = _read(user_id, statement, [Sql(database).key(user_id)], using=database)
    return Summary(
        unread=head.unread,
        unseen=head.unseen,
        total=head.total,
        version=head.version,
        epoch=head.epoch,
    )


def changes(
    user_id: Any, *, epoch: str | None, since: Any, limit: int = PAGE, using: str | None = None
) -> Changes:
    """What changed in the inbox after `since`: a version, or the `cursor` of an unfinished page.

    A `since` that is malformed, foreign (another epoch, or none), purged or in the future answers
    with `reset`, never with a part.
    """
    database = alias(using)
    sql = Sql(database)
    cursor = parse_cursor(since)
    version, row = cursor or (BIGGEST, 0)
    statement = f"""
        SELECT {HEAD}, r.* FROM {STATE_AND_INBOX}
        LEFT JOIN (
            {ROWS} AND n.version >= %s AND (n.version > %s OR n.id > %s)
            ORDER BY n.version, n.id LIMIT %s
        ) r ON TRUE
        WHERE s.id = 1 ORDER BY r.c{VERSION}, r.c{ROW_ID}
    """
    key = sql.key(user_id)
    # A plain version is complete: nothing of it is read again.
    least, beyond = (version, version) if row else (min(version + 1, BIGGEST), version)
    last_row = row if row else BIGGEST
    head, rows = _read(
        user_id,
        statement,
        [key, key, least, beyond, last_row, limit + 1],
        using=database,
        # Who was away for a while has few; pages of many must not sort all that are left each time.
        in_order=not version or bool(row),
    )
    complete = version - 1 if row else version
    foreign = cursor is None or epoch != head.epoch
    if foreign or complete < head.floor or version > head.version:
        return Changes(
            epoch=head.epoch,
            version=head.version,
            cursor=str(head.version),
            reset=True,
            retry_after=round(random.uniform(0, RESET_SPREAD), 3),  # noqa: S311 - jitter
            unread=head.unread,
            unseen=head.unseen,
        )
    rows = [found for found in rows if found[ROW_ID] is not None]
    more = len(rows) > limit
    after = rows[limit:]
    rows = rows[:limit]
    upto, goes_on = head.version, str(head.version)
    if more:
        last = rows[-1]
        goes_on = f"{last[VERSION]}.{last[ROW_ID]}"
        upto = last[VERSION] if after[0][VERSION] > last[VERSION] else last[VERSION] - 1
    return Changes(
        epoch=head.epoch,
        version=max(upto, complete),
        cursor=goes_on,
        changes=rows_json(rows),
        more=more,
        unread=head.unread,
        unseen=head.unseen,
    )


def parse_cursor(since: Any) -> tuple[int, int] | None:
    """A version as (version, 0), an opaque cursor as (version, row); None for anything else."""
    if isinstance(since, bool) or not isinstance(since, int | str):
        return None
    match = CURSOR.fullmatch(str(since))
    if match is None:
        return None
    version, row = int(match[1]), int(match[2] or 0)
    if version > BIGGEST or row > BIGGEST or (match[2] is not None and not row):
        return None
    return version, row


def page(
    user_id: Any,
    *,
    limit: int = USUAL,
    offset: int = 0,
    before: int | None = None,
    read: bool | datetime | None = None,
    state: str | None = None,
    type: str | None = None,
    using: str | None = None,
) -> Page:
    """A page of the inbox, newest event first, without archived and expired ones unless asked.

    `state` is None, "unseen", "archived" or "all"; `read` a time means read at or after it;
    `before` an event id means the events before it, and the page is not counted.
    Raises `UnknownEventType`.
    """
    database = alias(using)
    if type is not None:
        event_types.find(type, using=database)
    sql = Sql(database)
    where, parameters = _conditions(sql, read=read, state=state, type=type)
    counter = _counter(read=read, state=state, type=type)
    key = sql.key(user_id)
    count, count_parameters = "NULL", []
    if before is None and counter is not None:
        count = counter
    elif before is None:
        count = f"(SELECT count(*) {FROM_NOTIFICATION} {where})"
        count_parameters = [key, *parameters]
    # a plan that serves any limit is a worse one: this one is planned once per connection
    usual = sql.prepares and limit == USUAL and not (offset or parameters or read or state)
    statement = f"""
        SELECT {HEAD}, {count}, r.* FROM {STATE_AND_INBOX}
        LEFT JOIN (
            {ROWS_BEFORE} {where} AND t.id IS NOT NULL
            ORDER BY n.event_id DESC LIMIT {USUAL + 1 if usual else "%s OFFSET %s"}
        ) r ON TRUE
        WHERE s.id = 1 ORDER BY r.c1 DESC
    """
    bounds = [key, key, key, BIGGEST if before is None else min(before, BIGGEST)]
    place = [] if usual else [limit + 1, min(offset, BIGGEST)]
    head, rows = _read(
        user_id,
        statement,
        [*count_parameters, key, *bounds, *parameters, *place],
        using=database,
        in_order=not usual,
    )
    found = [row[1:] for row in rows if row[1 + ROW_ID] is not None]
    return Page(
        count=None if before is not None else (rows[0][0] or 0 if rows else 0),
        results=rows_json(found[:limit]),
        more=len(found) > limit,
        epoch=head.epoch,
        version=head.version,
    )


def _conditions(
    sql: Sql, *, read: bool | datetime | None, state: str | None, type: str | None
) -> tuple[str, list[Any]]:
    clauses, parameters = ["AND n.deleted_at IS NULL"], []
    if state == "archived":
        clauses.append("AND n.archived_at IS NOT NULL AND n.expired_at IS NULL")
    elif state != "all":
        clauses.append(LISTED)
    if state == "unseen":
        clauses.append("AND n.seen_at IS NULL")
    if isinstance(read, datetime):
        clauses.append("AND n.read_at >= %s")
        parameters.append(sql.time(read))
    elif read is not None:
        clauses.append(f"AND n.read_at IS {'NOT ' if read else ''}NULL")
    if type is not None:
        clauses.append(
            "AND n.event_id IN (SELECT x.id FROM {event} x JOIN {type} y ON y.id = x.type_id"
            " WHERE y.name = %s AND x.id = n.event_id)"
        )
        parameters.append(type)
    return " ".join(clauses), parameters


def _counter(*, read: bool | datetime | None, state: str | None, type: str | None) -> str | None:
    """The counter of the inbox that counts exactly this list, where there is one."""
    if type is not None or isinstance(read, datetime):
        return None
    return {
        (None, None): "i.total",
        (None, False): "i.unread",
        (None, True): "i.total - i.unread",
        ("unseen", None): "i.unseen",
    }.get((state, read))


def get(user_id: Any, event_id: int, *, using: str | None = None) -> dict[str, Any] | None:
    """One notification as clients see it, in whatever state; None where there is none."""
    if not possible_ids([event_id]):
        return None
    sql = Sql(alias(using))
    rows = sql.rows(
        f"{ROWS} AND n.event_id = %s AND n.deleted_at IS NULL AND t.id IS NOT NULL",
        [sql.key(user_id), event_id],
    )
    return rows_json(rows)[0] if rows else None


def positions(user_ids: Iterable[Any], *, using: str | None = None) -> Positions:
    """Where these inboxes stand, with the epoch and the broadcast counter, by one query."""
    sql = Sql(alias(using))
    at = timezone.now()
    rows = sql.rows(
        """
        SELECT {epoch}, s.broadcast, i.user_id, i.version, i.unread, i.unseen, i.broadcast,
            i.next_expiry
        FROM {state} s LEFT JOIN {inbox} i ON i.user_id {in_keys} WHERE s.id = 1
        """,
        [sql.keys(user_ids)],
    )
    found = {}
    for _, _, key, version, unread, unseen, broadcast, next_expiry in rows:
        if key is None:
            continue
        due = stored_moment(next_expiry)
        found[user_id_of(key)] = Stand(
            version=version,
            unread=unread,
            unseen=unseen,
            broadcast=broadcast,
            expiry_due=due is not None and due <= at,
        )
    return Positions(epoch=rows[0][0], broadcast=rows[0][1], inboxes=found)


assert len(COLUMNS.split(",")) == WIDTH  # noqa: S101 - a row is unpacked by this width
