"""What a send asks of the database before it stores anything: by one statement on PostgreSQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from notifications import event_types
from notifications.models import Event, EventType
from notifications.sql import Sql, columns_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """The type of a send, and what it may expect; nothing is locked yet."""

    type: EventType
    #: The id that the event will have, where it is drawn beforehand: a commit whose answer was
    #: lost is not repeated under another one.
    event_id: int | None = None
    #: How many of the addressed inboxes there are.
    inboxes: int = 0
    #: Whether the push road has something to do for any of them.
    pushable: bool = False


OPEN = """
    SELECT nextval(pg_get_serial_sequence(%s, 'id'))::bigint, asked.inboxes, asked.pushable,
        {columns}
    FROM {type} t, (
        SELECT count(*) AS inboxes, COALESCE(bool_or(i.pushable), FALSE) AS pushable
        FROM (SELECT pushable FROM {inbox} WHERE user_id {in_keys} LIMIT %s) i
    ) asked
    WHERE t.name = %s AND t.active
"""


def ask(name: str, user_ids: Sequence[Any], *, using: str) -> Opening:
    """`user_ids` are the first that the send addresses. Raises `UnknownEventType`."""
    sql = Sql(using)
    if not sql.postgres:
        return Opening(type=event_types.find(name, using=using))
    columns, names = columns_of(EventType, using)
    # The limit is for the planner: a tenth of what it thinks of is one row, and with that a plan
    # for any array of ids costs no more than one for this array, and is kept.
    parameters = [Event._meta.db_table, sql.keys(user_ids), len(user_ids), name]
    rows = sql.rows_again(OPEN.replace("{columns}", columns), parameters)
    if not rows:
        raise event_types.unknown(name)
    [[event_id, inboxes, pushable, *values]] = rows
    row = EventType.from_db(using, names, values)
    return Opening(type=row, event_id=event_id, inboxes=inboxes, pushable=pushable)
