"""How an event arrives in inboxes: the one statement that numbers, stores and counts.

The order inside it is the contract (docs/architecture.md): lock the inboxes in user order, insert
with ON CONFLICT DO NOTHING, raise only the inboxes whose row was inserted. Whether a user has the
event already is never decided by a sub-select: a statement's snapshot is older than the lock that
it waited for.

An event that nobody in the chunk can have yet goes a shorter way: the inboxes are raised first, in
user order as well, which is all the lock there is, and a row that does exist after all fails the
statement instead of leaving a hole.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import repeat
from operator import itemgetter
from typing import Any

from django.db.models import JSONField

from notifications.inbox.rows import user_id_of
from notifications.models import Event
from notifications.signals import Recipient, Words
from notifications.sql import LIMITS, Keys, Sql

LOCKED = """
    SELECT i.user_id, i.version FROM {inbox} i
    WHERE i.user_id {in_keys}
    ORDER BY i.user_id {for_update}
"""
INSERT = """
    INSERT INTO {notification} (user_id, event_id, arrived, version, silent {columns})
    SELECT l.user_id, %s, l.version + 1, l.version + 1, {silent} {values}
    FROM {locked} l
    JOIN {existing}
    {filters}
    {words}
    WHERE {told}
    ON CONFLICT (user_id, event_id) DO NOTHING
    RETURNING user_id, version, silent
"""
EXISTING = "{users} u ON u.{user_key} = l.user_id AND {among_users} {is_active}"
# Each by itself: a plan that is kept from when there were few users must not read them all.
EACH_EXISTING = """
    LATERAL (SELECT FROM {users} u WHERE u.{user_key} = l.user_id {is_active} OFFSET 0) u ON TRUE
"""
FRESH = """
    WITH raised AS (
        {raise}
        FROM (
            SELECT l.user_id, {silent} AS silent
            FROM (
                SELECT u.{user_key} AS user_id FROM {users} u WHERE {among_users} {is_active}
            ) l
            {filters}
            WHERE {told}
            ORDER BY l.user_id
        ) n
        WHERE i.user_id = n.user_id {near}
        RETURNING i.user_id, i.version, i.unread, i.unseen, n.silent, i.pushable
    ), inserted AS (
        INSERT INTO {notification} (user_id, event_id, arrived, version, silent)
        SELECT user_id, %s, version, version, silent FROM raised
    )
"""
# One row for all: a row for each costs PostgreSQL a tenth of the statement. Few are silent, and
# few pushable.
TOLD = """
    SELECT array_agg(user_id), array_agg(version), array_agg(unread), array_agg(unseen),
        array_agg(user_id) FILTER (WHERE silent), array_agg(user_id) FILTER (WHERE pushable)
    FROM raised
"""
FILTERS = """
    LEFT JOIN {filter} fi ON fi.type_id = %s AND fi.channel = 'inbox' AND fi.user_id = l.user_id
        {near_fi}
    LEFT JOIN {filter} fl ON fl.type_id = %s AND fl.channel = 'live' AND fl.user_id = l.user_id
        {near_fl}
"""
# The own words of some: a row for each text there is, and who gets which.
WORDS = """
    LEFT JOIN ({texts}) w ON w.number = CASE {whose} END
"""
TEXT = """
    SELECT {number} AS number, CAST(%s AS text) AS title, CAST(%s AS text) AS message,
        CAST(%s AS text) AS url
"""
EXPIRY = "next_expiry = {least}(COALESCE(i.next_expiry, %s), %s),"
RAISE = """
    UPDATE {inbox} AS i
    SET {expiry} version = i.version + 1, unread = i.unread + 1, unseen = i.unseen + 1,
        total = i.total + 1
"""
RAISED = """
    FROM inserted n WHERE i.user_id = n.user_id {near}
    RETURNING i.user_id, i.version, i.unread, i.unseen, n.silent, i.pushable
"""


@dataclass(frozen=True, slots=True)
class _Parts:
    """The writing parts of the statement for one event, with their parameters."""

    insert: str
    insert_parameters: list[Any]
    raised: str
    raised_parameters: list[Any]


FIRST = itemgetter(0)

#: The own words of some users, by id; all others have the event's.
OwnWords = Mapping[Any, Words]
NONE: OwnWords = {}


def arrive(
    event: Event,
    user_ids: Sequence[Any],
    *,
    using: str,
    words: OwnWords = NONE,
    fresh: bool = False,
) -> list[Recipient]:
    """Stores `event` in the inboxes of these users, as far as they exist, are active and have
    not muted its type; whoever has it already keeps it as it is.

    Takes the ids of a few chunks (`fanout.TOGETHER`); runs inside the caller's transaction, READ
    COMMITTED. `fresh`: nobody is thought to have it; then somebody who has raises
    `IntegrityError`, and the transaction is to be repeated without. Returns those who got it now,
    in user order.
    """
    sql = Sql(using)
    keys = sql.chunk(user_ids)
    if not sql.postgres:
        return _recipients(sql, _arrive_in_steps(sql, event, keys, words), words)
    if fresh and not words:
        return _told(_arrive_fresh(sql, event, keys))
    return _told(_arrive_at_once(sql, event, keys, words), words)


def _told(row: tuple[Any, ...], words: OwnWords = NONE) -> list[Recipient]:
    """Of the one row of `TOLD`."""
    users, versions, unread, unseen, silent, pushable = row
    if users is None:
        return []
    quiet = map(set(silent).__contains__, users) if silent else repeat(False)
    pushed = map(set(pushable).__contains__, users) if pushable else repeat(False)
    own = map(words.get, users) if words else repeat(None)
    make: Any = tuple.__new__  # past the class's own call, for thousands of rows
    rows = zip(users, versions, unread, unseen, quiet, pushed, own)  # noqa: B905 - some repeat
    found = list(map(partial(make, Recipient), rows))
    found.sort(key=FIRST)  # they come so, but PostgreSQL does not promise it
    return found


def _recipients(sql: Sql, rows: list[tuple[Any, ...]], words: OwnWords = NONE) -> list[Recipient]:
    """Of rows of user, version, unread, unseen, silent and pushable."""
    make: Any = tuple.__new__  # past the class's own call, for thousands of rows
    if sql.postgres:
        found = [make(Recipient, (*row, None)) for row in rows]
    else:
        found = [
            make(Recipient, (user_id_of(key), *numbers, bool(silent), bool(pushable), None))
            for key, *numbers, silent, pushable in rows
        ]
    return [told._replace(words=words.get(told.user_id)) for told in found] if words else found


def _words(sql: Sql, words: OwnWords) -> tuple[dict[str, str], list[Any]]:
    """What the insert says of own words, and its parameters; nothing where nobody has any."""
    if not words:
        return {"columns": "", "values": "", "words": ""}, []
    readers: dict[Words, list[Any]] = {}
    for user_id, own in words.items():
        readers.setdefault(own, []).append(user_id)
    texts, whose, parameters = [], [], []
    for number, own in enumerate(readers, start=1):
        texts.append(TEXT.replace("{number}", str(number)))
        whose.append(f"WHEN l.user_id {{in_keys}} THEN {number}")
        parameters += [own.title, own.message, own.url]
    parameters += [sql.keys(users) for users in readers.values()]
    join = _fill(WORDS, texts=" UNION ALL ".join(texts), whose=" ".join(whose))
    named = {"columns": ", title, message, url", "values": ", w.title, w.message, w.url"}
    return {**named, "words": join}, parameters


def _choices(event: Event, keys: Keys) -> tuple[dict[str, str], list[Any]]:
    """What the filters of these users say of this event, and the parameters of that."""
    if event.type.critical:
        return {"told": "TRUE", "silent": "FALSE", "filters": ""}, _types(event)
    inbox, live = (str(flag).upper() for flag in (event.type.inbox, event.type.live))
    told, silent = f"COALESCE(fi.enabled, {inbox})", f"NOT COALESCE(fl.enabled, {live})"
    near = {f"near_{name}": keys.near(f"{name}.user_id") for name in ("fi", "fl")}
    filters = _fill(FILTERS, **near)
    return {"told": told, "silent": silent, "filters": filters}, _types(event)


def _types(event: Event) -> list[Any]:
    """The parameters of `FILTERS`."""
    return [] if event.type.critical else [event.type_id, event.type_id]


def _raise(sql: Sql, event: Event) -> tuple[str, list[Any]]:
    expiry = "" if event.expires_at is None else EXPIRY
    return _fill(RAISE, expiry=expiry), _ends(sql, event)


def _ends(sql: Sql, event: Event) -> list[Any]:
    """The parameters of `EXPIRY`."""
    return [] if event.expires_at is None else [sql.time(event.expires_at)] * 2


def _parts(
    sql: Sql, event: Event, keys: Keys, words: OwnWords, *, locked: str, each: bool = False
) -> _Parts:
    """`locked` is the SQL of what stands for the locked inboxes; with `each` their users are
    looked up one by one."""
    choices, types = _choices(event, keys)
    own, texts = _words(sql, words)
    raised, raised_parameters = _raise(sql, event)
    among = [] if each else [keys.parameter]
    existing = EACH_EXISTING if each else _fill(EXISTING, among_users=keys.among("u.{user_key}"))
    return _Parts(
        insert=_fill(INSERT, locked=locked, existing=existing, **choices, **own),
        insert_parameters=[event.pk, *among, *types, *texts],
        raised=raised,
        raised_parameters=raised_parameters,
    )


def _arrive_fresh(sql: Sql, event: Event, keys: Keys) -> tuple[Any, ...]:
    choices, types = _choices(event, keys)
    raised, raised_parameters = _raise(sql, event)
    statement = _fill(
        FRESH + TOLD,
        **{"raise": raised, **choices},
        among_users=keys.among("u.{user_key}"),
        near=keys.near("i.user_id"),
    )
    # the parameters of what the expiry is set to stand before the others
    with sql.merging(keys):
        [row] = sql.rows(statement, [*raised_parameters, keys.parameter, *types, event.pk])
    return row


def _arrive_at_once(sql: Sql, event: Event, keys: Keys, words: OwnWords) -> tuple[Any, ...]:
    parts = _parts(sql, event, keys, words, locked="locked")
    locked = LOCKED.replace("i.user_id {in_keys}", keys.among("i.user_id"))
    statement = f"""
        WITH locked AS MATERIALIZED ({locked}), inserted AS ({parts.insert}),
            raised AS ({parts.raised} {_fill(RAISED, near=keys.near("i.user_id"))})
        {TOLD}
    """
    parameters = [keys.parameter, *parts.insert_parameters, *parts.raised_parameters]
    with sql.merging(keys):
        [row] = sql.rows(statement, parameters)
    return row


def _arrive_in_steps(sql: Sql, event: Event, keys: Keys, words: OwnWords) -> list[tuple[Any, ...]]:
    """Where one transaction writes at a time nothing is waited for: three plain statements."""
    parts = _parts(sql, event, keys, words, locked=f"({LOCKED})")
    # the ids of the sub-select stand behind the event's id, in the order of the text
    event_id, *others = parts.insert_parameters
    inserted = sql.rows(parts.insert, [event_id, keys.parameter, *others])
    if not inserted:
        return []
    silent = {key: quiet for key, _, quiet in inserted}
    rows = sql.rows(
        f"{parts.raised} WHERE i.user_id {{in_keys}}"
        " RETURNING user_id, version, unread, unseen, pushable",
        [*parts.raised_parameters, sql.keys(silent)],
    )
    return sorted((*row[:4], silent[row[0]], row[4]) for row in rows)


# The limits hold for the rest of a transaction, too: what it reads is planned to name its rows.
STORE = """
    WITH locked AS MATERIALIZED (
        SELECT i.user_id, i.version, i.pushable FROM {inbox} i
        WHERE i.user_id {in_keys} AND (SELECT {limits}) IS NOT NULL
        ORDER BY i.user_id FOR UPDATE
    ), stored AS (
        INSERT INTO {event} ({columns}) SELECT {values}
        WHERE (%s OR NOT EXISTS (SELECT 1 FROM locked WHERE pushable))
            AND (SELECT count(*) FROM locked) = %s
        RETURNING id
    ), inserted AS ({insert}), raised AS ({raise} {raised})
    SELECT stored.id, raised.* FROM stored LEFT JOIN raised ON TRUE ORDER BY raised.user_id
"""


def store_and_arrive(
    event: Event,
    user_ids: Sequence[Any],
    *,
    using: str,
    lock_wait: int,
    words: OwnWords = NONE,
    asked: bool = False,
) -> list[Recipient] | None:
    """Stores the event and lets it arrive by one single statement, on PostgreSQL only.

    If an addressed inbox is still missing nothing is stored and None is returned; so it is where
    one is pushable, unless the receivers of `notified` are `asked` afterwards, in the transaction
    that the caller then has open. `event` has its id already, `lock_wait` is in milliseconds.
    READ COMMITTED.
    """
    sql = Sql(using)
    keys = Keys(sql.keys(user_ids))
    statement, parameters = _storing(sql, event, keys, words)
    parameters = [
        keys.parameter,
        str(lock_wait),
        *(_value(event, field, sql.connection) for field in event._meta.concrete_fields),
        asked,
        len(user_ids),
        *parameters,
    ]
    rows = sql.rows_again(statement, parameters, varied=bool(words))
    if not rows:
        return None
    event._state.adding, event._state.db = False, using
    return _recipients(sql, [row[1:] for row in rows if row[1] is not None], words)


#: `STORE` for sends without words of users' own, by all that its text depends on: to write it
#: again would cost a send as much as to validate it.
_stores: dict[tuple[str, bool, bool, bool, bool], str] = {}


def _storing(sql: Sql, event: Event, keys: Keys, words: OwnWords) -> tuple[str, list[Any]]:
    """`STORE` for this event, and the parameters of what it inserts and raises."""
    using, kind = sql.connection.alias, event.type
    key = (using, kind.critical, kind.inbox, kind.live, event.expires_at is None)
    known = None if words else _stores.get(key)
    if known is not None:
        return known, [event.pk, *_types(event), *_ends(sql, event)]
    locked = "(SELECT locked.* FROM locked, stored)"
    parts = _parts(sql, event, keys, words, locked=locked, each=True)
    columns, values = _columns(using)
    limits = f"concat(set_config('lock_timeout', %s, true), {LIMITS})"
    statement = _fill(STORE, limits=limits, columns=columns, values=values, insert=parts.insert)
    raised = _fill(RAISED, near="")
    statement = _fill(statement, **{"raise": parts.raised, "raised": raised})
    if not words:
        _stores[key] = statement
    return statement, [*parts.insert_parameters, *parts.raised_parameters]


@cache
def _columns(using: str) -> tuple[str, str]:
    """An event's columns, and what stands for their values."""
    connection, fields = Sql(using).connection, Event._meta.concrete_fields
    return (
        ", ".join(connection.ops.quote_name(field.column) for field in fields),
        ", ".join(f"%s::{field.rel_db_type(connection)}" for field in fields),
    )


def _value(event: Event, field: Any, connection: Any) -> Any:
    value = getattr(event, field.attname)
    if isinstance(field, JSONField):
        return None if value is None else json.dumps(value, cls=field.encoder)
    if value is None or type(value) in (str, int):
        return value
    return field.get_db_prep_save(value, connection)


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
        SELECT n.user_id, n.arrived, i.unread, i.unseen, n.silent, i.pushable
        FROM {notification} n JOIN {inbox} i ON i.user_id = n.user_id
        WHERE n.event_id = %s AND n.deleted_at IS NULL AND n.user_id {in_keys}
        ORDER BY n.user_id
        """,
        [event.pk, sql.keys(user_ids)],
    )
    return _recipients(sql, rows)
