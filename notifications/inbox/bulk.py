"""Changes that take the same kind of thing out of many inboxes: expiry, retention, withdrawal."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

from notifications.inbox.rows import user_id_of
from notifications.signals import Position
from notifications.sql import Sql

TAKE_OUT = """
    UPDATE {notification} AS n SET {sets}, version = i.version + 1
    FROM {inbox} i, {event} e
    WHERE i.user_id = n.user_id AND e.id = n.event_id AND n.user_id {in_keys}
        AND n.deleted_at IS NULL AND {where}
    RETURNING {returned}
"""
# Plain columns: SQLite 3.40 answers `read_at IS NULL` wrongly behind UPDATE ... FROM.
RETURNED = "n.user_id, n.event_id, n.archived_at, n.expired_at, n.read_at, n.seen_at"
# The same and the counting out, of any number of inboxes by one statement.
AT_ONCE = """
    WITH taken AS ({take_out}), counts AS (
        SELECT user_id, array_agg(event_id ORDER BY event_id) AS ids,
            count(*) FILTER (WHERE {counted}) AS total,
            count(*) FILTER (WHERE {counted} AND read_at IS NULL) AS unread,
            count(*) FILTER (WHERE {counted} AND seen_at IS NULL) AS unseen
        FROM taken GROUP BY user_id
    ), changed AS (
        UPDATE {inbox} AS i SET version = i.version + 1, unread = i.unread - c.unread,
            unseen = i.unseen - c.unseen, total = i.total - c.total
        FROM counts c WHERE i.user_id = c.user_id
        RETURNING i.user_id, i.version, i.unread, i.unseen
    )
    SELECT changed.*, counts.ids FROM changed JOIN counts ON counts.user_id = changed.user_id
    ORDER BY changed.user_id
"""
COUNT_OUT = """
    UPDATE {inbox} SET version = version + 1, unread = unread - %s, unseen = unseen - %s,
        total = total - %s
    WHERE user_id = %s RETURNING version, unread, unseen
"""


def take_out(
    sql: Sql,
    users: list[Any],
    *,
    sets: str,
    where: str,
    expiring: bool = False,
    parameters: list[Any],
) -> list[tuple[Position, list[int]]]:
    """Takes rows of locked inboxes out of the lists, one number per inbox that has any.

    `sets` and `where` are SQL over the notification `n` and its event `e`, `parameters` those of
    the two. With `expiring` it is this change that sets `expired_at`; otherwise a row that has
    one was counted out before. Returns each changed inbox's position and the ids taken out.
    """
    statement = TAKE_OUT.replace("{sets}", sets).replace("{where}", where)
    # SQLite knows only the changed table in RETURNING, and it by no other name
    names = RETURNED if sql.postgres else RETURNED.replace("n.", "")
    marks = sets.count("%s")
    statement = statement.replace("{returned}", names)
    values = [*parameters[:marks], sql.keys(users), *parameters[marks:]]
    if sql.postgres:
        counted = "archived_at IS NULL" + ("" if expiring else " AND expired_at IS NULL")
        text = AT_ONCE.replace("{take_out}", statement).replace("{counted}", counted)
        found: Iterable[tuple[Any, ...]] = sql.rows(text, values)
    else:
        found = _one_by_one(sql, sql.rows(statement, values), expiring=expiring)
    return [
        (Position(user_id=user_id_of(key), version=version, unread=unread, unseen=unseen), ids)
        for key, version, unread, unseen, ids in found
    ]


def _one_by_one(
    sql: Sql, rows: list[tuple[Any, ...]], *, expiring: bool
) -> Iterator[tuple[Any, ...]]:
    """Counts rows out that were taken out; in a library there is no way to a server to save."""
    for key, group in groupby(sorted(rows, key=itemgetter(0, 1)), key=itemgetter(0)):
        taken = list(group)
        counted = [row for row in taken if row[2] is None and (expiring or row[3] is None)]
        unread = sum(1 for row in counted if row[4] is None)
        unseen = sum(1 for row in counted if row[5] is None)
        position = sql.rows(COUNT_OUT, [unread, unseen, len(counted), key])[0]
        yield key, *position, [row[1] for row in taken]


def lock_all(sql: Sql, users: list[Any], *, where: str = "TRUE", parameters: Any = ()) -> list[Any]:
    """Locks the inboxes of these users in user order; returns whose inboxes those were."""
    rows = sql.rows(
        f"SELECT i.user_id FROM {{inbox}} i WHERE i.user_id {{in_keys}} AND {where}"
        " ORDER BY i.user_id {for_update}",
        [sql.keys(users), *parameters],
    )
    return [user_id_of(row[0]) for row in rows]
