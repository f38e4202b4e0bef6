"""How an event arrives in inboxes: the one statement that numbers, stores and counts.

The order inside it is the contract (docs/architecture.md): lock the inboxes in user order, insert
with ON CONFLICT DO NOTHING, raise only the inboxes whose row was inserted. Whether a user has the
event already is never decided by a sub-select: a statement's snapshot is older than the lock that
it waited for.
"""

from collections.abc import Sequence
from typing import Any

from notifications.inbox.rows import user_id_of
from notifications.models import Event
from notifications.signals import Recipient
from notifications.sql import Sql

LOCKED = """
    SELECT i.user_id, i.version FROM {inbox} i
    WHERE i.user_id {in_keys}
    ORDER BY i.user_id {for_update}
"""
INSERT = """
    INSERT INTO {notification} (user_id, event_id, arrived, version, silent)
    SELECT l.user_id, %s, l.version + 1, l.version + 1, {silent}
    FROM {locked} l
    JOIN {users} u ON u.{user_key} = l.user_id {is_active}
    {filters}
    WHERE {told}
    ON CONFLICT (user_id, event_id) DO NOTHING
    RETURNING user_id, version, silent
"""
FILTERS = """
    LEFT JOIN {filter} fi ON fi.type_id = %s AND fi.channel = 'inbox' AND fi.user_id = l.user_id
    LEFT JOIN {filter} fl ON fl.type_id = %s AND fl.channel = 'live' AND fl.user_id = l.user_id
"""
EXPIRY = "next_expiry = {least}(COALESCE(i.next_expiry, %s), %s),"
RAISE = """
    UPDATE {inbox} AS i
    SET {expiry} version = i.version + 1, unread = i.unread + 1, unseen = i.unseen + 1,
        total = i.total + 1
"""


def arrive(event: Event, user_ids: Sequence[Any], *, using: str) -> list[Recipient]:
    """Stores `event` in the inboxes of these users, as far as they exist, are active and have
    not muted its type; whoever has it already keeps it as it is.

    Takes at most 500 ids; runs inside the caller's transaction, READ COMMITTED. Returns those who
    got it now, in user order.
    """
    sql = Sql(using)
    told, silent, joins, choices = _filters(event)
    words = {"told": told, "silent": silent, "filters": joins}
    expires = sql.time(event.expires_at)
    expiry = EXPIRY if event.expires_at is not None else ""
    times = [expires, expires] if expiry else []
    arrive = _arrive_on_postgres if sql.postgres else _arrive_elsewhere
    rows = arrive(sql, words, expiry, times, [event.pk, *choices], sql.keys(user_ids))
    return [
        Recipient(user_id=user_id_of(key), version=v, unread=r, unseen=s, silent=bool(quiet))
        for key, v, r, s, quiet in rows
    ]


def _filters(event: Event) -> tuple[str, str, str, list[Any]]:
    """Who is told, who silently, by which joins, with which parameters."""
    if event.type.critical:
        return "TRUE", "FALSE", "", []
    inbox, live = (str(flag).upper() for flag in (event.type.inbox, event.type.live))
    return (
        f"COALESCE(fi.enabled, {inbox})",
        f"NOT COALESCE(fl.enabled, {live})",
        FILTERS,
        [event.type_id, event.type_id],
    )


def _arrive_on_postgres(
    sql: Sql, words: dict[str, str], expiry: str, times: list[Any], event: list[Any], keys: Any
) -> list[tuple[Any, ...]]:
    insert = _fill(INSERT, **words, locked="locked")
    raised = _fill(RAISE, expiry=expiry)
    statement = f"""
        WITH locked AS MATERIALIZED ({LOCKED}), inserted AS ({insert}), raised AS (
            {raised} FROM inserted n WHERE i.user_id = n.user_id
            RETURNING i.user_id, i.version, i.unread, i.unseen, n.silent
        )
        SELECT * FROM raised ORDER BY user_id
    """
    return sql.rows(statement, [keys, *event, *times])


def _arrive_elsewhere(
    sql: Sql, words: dict[str, str], expiry: str, times: list[Any], event: list[Any], keys: Any
) -> list[tuple[Any, ...]]:
    """Where one transaction writes at a time nothing is waited for: three plain statements."""
    insert = _fill(INSERT, **words, locked=f"({LOCKED})")
    # the ids of the sub-select stand behind the event's id, in the order of the text
    inserted = sql.rows(insert, [event[0], keys, *event[1:]])
    if not inserted:
        return []
    silent = {key: quiet for key, _, quiet in inserted}
    raised = _fill(RAISE, expiry=expiry)
    rows = sql.rows(
        f"{raised} WHERE i.user_id {{in_keys}} RETURNING user_id, version, unread, unseen",
        [*times, sql.keys(user_id_of(key) for key in silent)],
    )
    return sorted((*row, silent[row[0]]) for row in rows)


def _fill(template: str, **words: str) -> str:
    """Replaces only the words given; table names are left to `Sql.text`."""
    for name, text in words.items():
        template = template.replace(f"{{{name}}}", text)
    return template


def stored_recipients(event: Event, user_ids: Sequence[Any], *, using: str) -> list[Recipient]:
    """Those of `user_ids` in whose inbox the event stands now, as `arrive` would tell of them."""
    sql = Sql(using)
    rows = sql.rows(
        """
        SELECT n.user_id, n.arrived, i.unread, i.unseen, n.silent
        FROM {notification} n JOIN {inbox} i ON i.user_id = n.user_id
        WHERE n.event_id = %s AND n.deleted_at IS NULL AND n.user_id {in_keys}
        ORDER BY n.user_id
        """,
        [event.pk, sql.keys(user_ids)],
    )
    return [
        Recipient(user_id=user_id_of(key), version=v, unread=r, unseen=s, silent=bool(quiet))
        for key, v, r, s, quiet in rows
    ]
