"""The other system's tables: found by looking, whichever version made them, and read in pages.

Nothing of the other system is imported. A column that an older version did not have reads as
None.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from django.db import connections
from django.utils import timezone as zones
from django.utils.dateparse import parse_datetime

from notifications.importing.errors import MissingTable, OtherTable

#: Rows read by one query. Where no index has the order each query sorts the table, so not few.
PAGE = 5_000

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """One table as it is; `name` is quoted."""

    name: str
    columns: frozenset[str]
    rows: int


class Source:
    """The database in which the other system has its tables."""

    def __init__(self, using: str, renamed: Mapping[str, str] | None = None) -> None:
        """`using` is an alias of DATABASES; `renamed` has tables' names by their usual ones."""
        self.using = using
        self.connection: Any = connections[using]
        self.renamed = dict(renamed or {})
        with self.connection.cursor() as cursor:
            self._names = set(self.connection.introspection.table_names(cursor))

    def quoted(self, name: str) -> str:
        return str(self.connection.ops.quote_name(name))

    def has(self, name: str) -> bool:
        return self.renamed.get(name, name) in self._names

    def table(self, name: str, *, needs: Iterable[str], of: str) -> Table:
        """The table of this usual name, which must have the columns `needs`; `of` is the system.

        Raises `MissingTable` and `OtherTable`.
        """
        actual = self.renamed.get(name, name)
        if actual not in self._names:
            raise MissingTable(
                f"The database {self.using!r} has no table {actual!r}, which {of} makes. Is it"
                " another database (--database-from), or has the table another name (--table)?"
            )
        with self.connection.cursor() as cursor:
            described = self.connection.introspection.get_table_description(cursor, actual)
            columns = frozenset(column.name for column in described)
            if lacking := sorted(set(needs) - columns):
                raise OtherTable(
                    f"The table {actual!r} is not {of}'s: it has no column {', '.join(lacking)}."
                )
            cursor.execute(f"SELECT COUNT(*) FROM {self.quoted(actual)}")
            (rows,) = cursor.fetchone()
        return Table(self.quoted(actual), columns, rows)

    def all(self, text: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self.connection.cursor() as cursor:
            cursor.execute(text, list(parameters))
            return list(cursor.fetchall())

    def time(self, value: Any) -> datetime | None:
        """A time of a row, aware. What is stored without a zone is in the database's own zone:
        UTC on SQLite where USE_TZ is on, else TIME_ZONE."""
        if isinstance(value, str):
            value = parse_datetime(value)
        if not isinstance(value, datetime) or zones.is_aware(value):
            return value if isinstance(value, datetime) else None
        zone = zones.get_default_timezone()
        if not self.connection.features.supports_timezones:
            zone = self.connection.timezone or zone
        # brought to UTC, so that no hour that a clock went back stands for two
        return value.replace(tzinfo=zone).astimezone(timezone.utc)  # noqa: UP017


@dataclass(frozen=True, slots=True)
class Query:
    """Rows in a fixed order, a page at a time: memory holds one page.

    `columns` maps what a row calls a value to its SQL, `order` are those by which a row can be
    found again; together they are unique, and never null. `times` are those of `order` that are
    times.
    """

    source: Source
    origin: str  # what stands behind FROM
    columns: Mapping[str, str]
    order: Sequence[str]
    times: frozenset[str] = field(default=frozenset())
    where: str = ""

    def __iter__(self) -> Iterator[Row]:
        names = list(self.columns)
        width = len(names)
        position: tuple[Any, ...] | None = None
        while True:
            rows = self.source.all(self._text(position is not None), position or ())
            for row in rows:
                yield dict(zip(names, row[:width], strict=True))
            if len(rows) < PAGE:
                return
            position = rows[-1][width:]

    def _text(self, further: bool) -> str:
        selected = [f"{text} AS {self.source.quoted(name)}" for name, text in self.columns.items()]
        order = [self.columns[name] for name in self.order]
        conditions = [self.where] if self.where else []
        if further:
            conditions.append(f"({', '.join(order)}) > ({', '.join(['%s'] * len(order))})")
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        # the last columns say where the next page begins, as the database itself compares them
        return (
            f"SELECT {', '.join([*selected, *map(self._position, self.order)])}"
            f" FROM {self.origin} {where} ORDER BY {', '.join(order)} LIMIT {PAGE}"
        )

    def _position(self, name: str) -> str:
        """SQLite compares times as the text that is stored; its driver would make times of it."""
        text = self.columns[name]
        plain = name in self.times and self.source.connection.vendor == "sqlite"
        return f"CAST({text} AS TEXT)" if plain else text


def columns_of(table: Table, *wanted: str, prefix: str = "", alias: str = "t") -> dict[str, str]:
    """The SQL of these columns of a table, by name; of those it does not have, NULL."""
    return {
        f"{prefix}{name}": f'{alias}."{name}"' if name in table.columns else "NULL"
        for name in wanted
    }


def json_of(value: Any) -> Any:
    """JSON as the old column has it: decoded already, or text that holds JSON, or just text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value or None
