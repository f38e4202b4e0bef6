"""What hand-written statements need to run on PostgreSQL and on SQLite alike."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from types import SimpleNamespace
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import DatabaseError, InterfaceError, OperationalError, connections, models

from notifications.audiences import key_field
from notifications.models import (
    Audience,
    Event,
    EventType,
    Filter,
    HubState,
    Inbox,
    LeftOut,
    Notification,
    has_field,
)

#: A chunk is read as one stretch of users' keys while at most so many of them are others' per key
#: of its own: finding a key alone costs five times as much as passing one by in its order.
STRETCH = 4
FEW = 20  # of fewer keys each is looked up

#: SQLSTATEs after which repeating the transaction helps: serialization failure, deadlock.
REPEATABLE = {"40001", "40P01"}


@dataclass(frozen=True, slots=True)
class Keys:
    """The users of a chunk, as conditions of a statement.

    Where their keys lie close together, on PostgreSQL, their rows are read in one go from the first
    to the last: before version 17 it looks each key of an array up from the index's root.
    """

    #: The parameter of `among`.
    parameter: Any
    #: The first and the last key, where they lie close together.
    stretch: tuple[int, int] | None = None

    def among(self, column: str) -> str:
        """That `column` is one of them; takes `parameter`."""
        if self.stretch is None:
            return f"{column} {{in_keys}}"
        # by the sum no index is found: the array is a filter, looked up by hash
        return f"TRUE {self.near(column)} AND {column} + 0 {{in_keys}}"

    def near(self, column: str) -> str:
        """What is true of `column` besides, where it is one of them; takes no parameter."""
        if self.stretch is None:
            return ""
        first, last = self.stretch
        return f"AND {column} BETWEEN {first:d} AND {last:d}"


@dataclass(frozen=True, slots=True)
class Written:
    """`{time:column}` or `{text:column}` in a statement: how a column is selected."""

    pattern: str

    def __format__(self, column: str) -> str:
        return self.pattern.replace("*", column)


#: As `representation.moment` writes it: to read a time and write it again takes Python longer.
TIME = """to_char(* AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""


class Sql:
    """Table names and parameters for one database alias."""

    def __init__(self, using: str) -> None:
        self.connection: Any = connections[using]
        self.postgres: bool = self.connection.vendor == "postgresql"
        self.names = _names(using, self.connection.vendor, settings.AUTH_USER_MODEL)

    @property
    def key_type(self) -> str:
        """The database's type of users' keys."""
        return str(key_field().rel_db_type(self.connection))

    @property
    def prepares(self) -> bool:
        """Whether statements may stay prepared on a connection, so that they are planned once.

        As whoever set the database up says, by psycopg's own option: Django leaves it None, since
        a connection pooler may give each transaction another connection (docs/settings.md).
        """
        options = self.connection.settings_dict.get("OPTIONS", {})
        return self.postgres and options.get("prepare_threshold") is not None

    def text(self, template: str) -> str:
        """`template` with table names filled in: `{inbox}`, `{in_keys}` and the other `names`."""
        return template.format_map(self.names)

    def key(self, value: Any) -> Any:
        """A user's key as a parameter (SQLite keeps UUIDs as 32 hexadecimal digits)."""
        return key_field().get_db_prep_value(value, self.connection)

    def keys(self, values: Iterable[Any]) -> Any:
        """Users' keys, converted or as an Audience row holds them, as the one parameter of
        `{in_keys}`. As one text: a driver would quote, and the server parse, each for itself."""
        found = list(values)
        plain = are_integers(found)
        if not plain:
            found = [self.key(value) for value in found]
        if not self.postgres:
            return json.dumps(found)
        if plain:
            return "{" + str(found)[1:-1] + "}"
        return "{" + ",".join(map(_element, found)) + "}"

    def chunk(self, values: Sequence[Any]) -> Keys:
        """Users' keys, as `keys` takes them, for a statement over a chunk of users."""
        parameter = self.keys(values)
        if not (self.postgres and values and are_integers(values)):
            return Keys(parameter)
        first, last = min(values), max(values)
        near = len(values) >= FEW and last - first < STRETCH * len(values)
        return Keys(parameter, (first, last) if near else None)

    @contextmanager
    def merging(self, keys: Keys) -> Iterator[None]:
        """Joins a stretch to others by merging, in the caller's transaction. PostgreSQL thinks that
        looking up row by row costs about the same: it costs a fan-out a twentieth, and where it
        does not know yet how many have filters, each user is compared with all of these."""
        if keys.stretch is not None:
            self.run("SET LOCAL enable_nestloop = off", [])
        yield
        if keys.stretch is not None:
            self.run("SET LOCAL enable_nestloop TO DEFAULT", [])

    def time(self, value: datetime | None) -> Any:
        return self.connection.ops.adapt_datetimefield_value(value)

    def rows(self, template: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
        with self.connection.cursor() as cursor:
            cursor.execute(self.text(template), parameters)
            found: list[tuple[Any, ...]] = cursor.fetchall()
            return found

    def rows_again(
        self, template: str, parameters: list[Any], *, varied: bool = False
    ) -> list[tuple[Any, ...]]:
        """`rows` of a statement that names its rows and is run again and again with the same text:
        PostgreSQL plans it once per connection where it `prepares`, else every time.

        Its columns are to have types that no migration changes, and each parameter a type that
        the text tells (casts). `varied`: the text is another one this time.
        """
        with self._cursor_again(varied) as cursor:
            self._again(cursor, template, parameters, varied=varied)
            found: list[tuple[Any, ...]] = cursor.fetchall()
            return found

    def rows_in_order(self, template: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
        """`rows` of a statement that reads some rows of many in the order of an index.

        Planned each time, since only so can it be told to: where users have few rows on average
        the planner would read and sort all rows of one who has many.
        """
        with self.connection.cursor() as cursor:
            self._execute_under(SOME_IN_ORDER, cursor, template, parameters)
            found: list[tuple[Any, ...]] = cursor.fetchall()
            if self.postgres and (
                self.connection.in_atomic_block or not self.connection.autocommit
            ):
                cursor.execute(AS_BEFORE)  # what else is in the caller's transaction
            return found

    def run_again(self, template: str, parameters: list[Any]) -> None:
        """As `rows_again`, where nothing is answered."""
        with self._cursor_again(varied=False) as cursor:
            self._again(cursor, template, parameters, varied=False)

    def _cursor_again(self, varied: bool) -> Any:
        if varied or not self.prepares:
            return self.connection.cursor()
        # Django's own cursor writes the parameters into the text: another text each time. This is
        # how it wraps one (errors, the log of queries), without making its own one first.
        self.connection.ensure_connection()
        return self.connection._prepare_cursor(_prepared_cursor()(self.connection.connection))

    def _again(self, cursor: Any, template: str, parameters: list[Any], *, varied: bool) -> None:
        if self.prepares and not varied:
            statement = _text(template, self.connection.alias, settings.AUTH_USER_MODEL)
            cursor.execute(statement, list(map(_unknown, parameters)))
        else:
            self._execute_under(NAMED_ROWS, cursor, template, parameters)

    def _execute_under(
        self, limits: str, cursor: Any, template: str, parameters: list[Any]
    ) -> None:
        """`limits` is a statement that sets, for a transaction, how PostgreSQL plans."""
        options = self.connection.settings_dict.get("OPTIONS", {})
        if not self.postgres or options.get("server_side_binding"):
            cursor.execute(self.text(template), parameters)
            return
        # both go out as one message, and so are one transaction
        cursor.execute(f"{limits};{self.text(template)}", parameters)
        cursor.nextset()

    def run(self, template: str, parameters: list[Any]) -> int:
        with self.connection.cursor() as cursor:
            cursor.execute(self.text(template), parameters)
            return int(cursor.rowcount)

    def run_many(self, template: str, parameters: list[list[Any]]) -> None:
        with self.connection.cursor() as cursor:
            cursor.executemany(self.text(template), parameters)

    def limit_lock_wait(self, milliseconds: int) -> None:
        """For this transaction, which names its rows: whoever waits longer for a lock fails and
        tries again later.

        What is joined without hashing and without bitmaps comes, and is locked, in the order of
        the keys.
        """
        if self.postgres:
            limit = f"set_config('lock_timeout', '{milliseconds:d}', true)"
            self.run(f"{NAMED_ROWS}, {limit}, {IN_ORDER}", [])


@cache  # per statement it would cost more than sending one
def _names(using: str, vendor: str, user_model: str) -> dict[str, Any]:
    """What stands for the words in braces; `vendor` and `user_model` tell apart what is cached."""
    connection = connections[using]
    postgres = vendor == "postgresql"
    quote = connection.ops.quote_name
    user = get_user_model()
    in_array = f"= ANY(%s::{key_field().rel_db_type(connection)}[])"
    # The epoch as clients see it. A restore or a failover changes the identifier or the timeline
    # of a PostgreSQL cluster; elsewhere `manage.py new_epoch` is a step of restoring. The timeline
    # is the one that is written to: the control file tells of a new one after its first checkpoint
    # only; in hexadecimal, as WAL files are named. Once for all rows, and as one call: an operator
    # or a scan of a function costs a small statement several percent each.
    cluster = """(SELECT concat_ws('.', (pg_control_system()).system_identifier,
        ltrim(left(pg_walfile_name(pg_current_wal_lsn()), 8), '0')))"""
    return {
        "inbox": quote(Inbox._meta.db_table),
        "notification": quote(Notification._meta.db_table),
        "event": quote(Event._meta.db_table),
        "audience": quote(Audience._meta.db_table),
        "left_out": quote(LeftOut._meta.db_table),
        "type": quote(EventType._meta.db_table),
        "filter": quote(Filter._meta.db_table),
        "state": quote(HubState._meta.db_table),
        "users": quote(user._meta.db_table),
        "user_key": quote(str(user._meta.pk.column)),
        "in_keys": in_array if postgres else "IN (SELECT value FROM json_each(%s))",
        "epoch": f"concat_ws('.', s.epoch, {cluster})" if postgres else "s.epoch",
        "time": Written(TIME if postgres else "*"),
        # of no length, for `Sql.rows_again`
        "text": Written("*::text" if postgres else "*"),
        "is_active": f"AND u.{quote('is_active')}" if has_field(user, "is_active") else "",
        "least": "LEAST" if postgres else "min",
        "for_update": "FOR UPDATE" if postgres else "",
    }


@lru_cache(maxsize=200)
def _text(template: str, using: str, user_model: str) -> str:
    """`Sql.text` of what is run again and again; `user_model` tells apart what is cached."""
    return Sql(using).text(template)


@cache
def columns_of(model: type[models.Model], using: str, *, table: str = "t") -> tuple[str, list[str]]:
    """All columns of a table, `t`, on PostgreSQL for `Sql.rows_again`, and what they are called in
    `from_db`. With casts: a prepared statement lives on when a migration makes a column longer."""
    connection, fields = connections[using], model._meta.concrete_fields

    def column(field: Any) -> str:
        name = connection.ops.quote_name(field.column)
        return f"{table}.{name}::{type_of(field, connection)}"

    return ", ".join(map(column, fields)), [field.attname for field in fields]


def type_of(field: Any, connection: Any) -> str:
    """The type of a column, whatever its length."""
    return "text" if isinstance(field, models.CharField) else str(field.rel_db_type(connection))


@cache
def _prepared_cursor() -> Any:
    from psycopg import Cursor  # late: nobody needs it on SQLite

    class Prepared(Cursor[Any]):
        def execute(self, query: Any, params: Any = None, **more: Any) -> Any:
            answer = super().execute(query, params, prepare=True, **more)
            # where Django's log of queries looks; psycopg leaves it empty for what is prepared
            shown: Any = SimpleNamespace(query=query.encode())
            self._query = self._query or shown
            return answer

    return Prepared


def _unknown(value: Any) -> str | None:
    """A parameter as text, whose type the statement says. By what Python has (a small integer, a
    large one, None) each mixture would be another statement to prepare."""
    if value is None or type(value) is str:
        return value
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _off(*names: str) -> str:
    return ", ".join(f"set_config('{name}', 'off', true)" for name in names)


#: For a transaction, or a statement, that names the rows that it is about: reading a whole table is
#: never the better plan; old statistics (a fresh import, a table that grew) would have it so.
#: Nor is compiling the plan: what has to be read whole all the same looks too dear to the planner.
LIMITED = "enable_seqscan", "jit"
LIMITS = _off(*LIMITED)
NAMED_ROWS = f"SELECT {LIMITS}"

#: Plans that keep the order of the users' keys.
KEEPS_ORDER = "enable_hashjoin", "enable_bitmapscan"
IN_ORDER = _off(*KEEPS_ORDER)

#: Row by row in the order of an index; a merge would first sort all of a user's by another key.
ROW_BY_ROW = *LIMITED, *KEEPS_ORDER, "enable_mergejoin"
SOME_IN_ORDER = f"SELECT {_off(*ROW_BY_ROW)}"
AS_BEFORE = ";".join(f"SET LOCAL {name} TO DEFAULT" for name in ROW_BY_ROW)


def are_integers(values: Iterable[Any]) -> bool:
    """Whether all are plain integers, as most users' keys are."""
    return set(map(type, values)) <= {int}


def _element(key: Any) -> str:
    """A key inside the text of an array (PostgreSQL manual, 8.15.2)."""
    return '"' + str(key).replace("\\", "\\\\").replace('"', '\\"') + '"'


def is_repeatable(error: DatabaseError) -> bool:
    """Whether the transaction that failed may simply be repeated at once."""
    return getattr(error.__cause__, "sqlstate", None) in REPEATABLE


def is_passing(error: Exception) -> bool:
    """Whether the fault lies in the moment (locks, connections) rather than in the rows."""
    return isinstance(error, OperationalError | InterfaceError)


def fault(error: Exception) -> str:
    """An error for the log, without the words of notifications.

    PostgreSQL quotes the whole row that it refuses, below the first line; what a receiver
    raises may hold anything.
    """
    lines = str(error).splitlines() if isinstance(error, DatabaseError | InterfaceError) else []
    return ": ".join([type(error).__name__, *lines[:1]])
