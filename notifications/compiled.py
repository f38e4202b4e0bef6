"""Statements that the ORM writes once: of what every request asks for, writing it anew takes longer
than the database's answer.
"""

from typing import Any, Generic, NamedTuple, TypeVar

from django.db import models

from notifications.sql import Sql, type_of

Row = TypeVar("Row", bound=models.Model)


class Beside(NamedTuple):
    """What else a statement answers of whom the foreign key names: columns, and joins that give
    exactly one row of them. `{key}` stands for the foreign key."""

    columns: str
    joins: str


class ByText(Generic[Row]):
    """The one row that has a text in a unique field, with the row that one foreign key points to.

    `Model.from_db` and the fields' converters make them, as the ORM does: whatever the other
    model is, it is what a query for it would have given.
    """

    def __init__(
        self, model: type[Row], *, field: str, related: str, beside: Beside | None = None
    ) -> None:
        self._model, self._field, self._related, self._beside = model, field, related, beside
        self._compiled: dict[str, _Compiled] = {}

    def get(self, text: str, *, using: str) -> tuple[Row, tuple[Any, ...]] | None:
        """The row, and what stands beside it."""
        compiled = self._compiled.get(using)
        if compiled is None:
            rows = self._model._default_manager.using(using).select_related(self._related)
            query = rows.filter(**{self._field: ""}).order_by()
            compiled = self._compiled[using] = _Compiled(query, self._related, self._beside)
        sql = Sql(using)
        found = (sql.rows_again if sql.prepares else sql.rows)(compiled.statement, [text])
        if not found:
            return None
        width = compiled.width
        return compiled.row(list(found[0][:width]), sql.connection), found[0][width:]


class _Compiled:
    def __init__(self, rows: models.QuerySet[Any], related: str, beside: Beside | None) -> None:
        compiler: Any = rows.query.get_compiler(rows.db)
        statement, parameters = compiler.as_sql()
        if parameters != ("",):
            raise ValueError("the text must be the only parameter")
        columns = [column for column, _, _ in compiler.select]
        names = [name for _, (name, _), _ in compiler.select]
        self._link: Any = rows.model._meta.get_field(related)
        self._names = [column.target.attname for column in columns]
        if compiler.connection.vendor == "postgresql":
            # what stays prepared lives on when a migration makes a column longer
            cast = [
                f"{name}::{type_of(column.target, compiler.connection)}"
                for name, column in zip(names, columns, strict=True)
            ]
            statement = statement.replace(", ".join(names), ", ".join(cast), 1)
        if beside is not None:
            selected, _, rest = statement.partition(" FROM ")
            tables, _, condition = rest.rpartition(" WHERE ")
            joins = beside.joins.replace("{key}", names[self._names.index(self._link.attname)])
            statement = f"{selected}, {beside.columns} FROM {tables} {joins} WHERE {condition}"
        self.statement = statement
        self.width = len(columns)
        self._converters = compiler.get_converters(columns)
        self._model, self._using = rows.model, rows.db
        # a row's own columns come first
        self._own = len(rows.model._meta.concrete_fields)

    def row(self, values: list[Any], connection: Any) -> Any:
        for position, (converters, column) in self._converters.items():
            for convert in converters:
                values[position] = convert(values[position], column, connection)
        own, names = self._own, self._names
        row = self._model.from_db(self._using, names[:own], values[:own])
        other = self._link.related_model.from_db(self._using, names[own:], values[own:])
        self._link.set_cached_value(row, other)
        return row
