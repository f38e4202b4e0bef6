"""How an import runs: chunks, each in a transaction of its own, so that it can be interrupted.

A chunk that fails is halved until the row that it fails for stands alone; that row is a fault in
the report, and the rest goes on.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

from django.db import DatabaseError, InterfaceError, OperationalError, router, transaction
from django.utils import timezone

from notifications.fanout import repeated
from notifications.importing.errors import Interrupted
from notifications.importing.report import Report
from notifications.importing.tables import Row, Source
from notifications.models import Imported
from notifications.sql import Sql, fault, is_passing
from notifications.worker import SQLITE_PAUSE

logger = logging.getLogger(__name__)

CHUNK = 500  # old rows in one transaction
MAX_FAULTS = 100  # that are told one by one

#: Settles a chunk: writes what it becomes (unless it is a dry run) and says so in the report.
Settle = Callable[[Sequence[Row], Report], None]


def _no_progress(_: int) -> None:
    """For callers without a progress bar."""


@dataclass(slots=True)
class Run:
    """One import: from where, with which options, and what it has done so far."""

    source: Source
    dry_run: bool = False
    using: str = field(default_factory=lambda: router.db_for_write(Imported))
    report: Report = field(default_factory=Report)
    #: Told how many old rows were settled.
    progress: Callable[[int], object] = _no_progress
    at: datetime = field(default_factory=timezone.now)

    def settle(self, what: str, rows: Iterable[Row], settle: Settle) -> None:
        """Settles all rows, in chunks. A row's `others` are rows that it speaks for.

        Raises `Interrupted`; what is settled stays.
        """
        pause = 0.0 if Sql(self.using).postgres else SQLITE_PAUSE
        for chunk in self._chunks(rows):
            self._settle(what, chunk, settle)
            time.sleep(pause)
            self.progress(sum(1 + len(row.get("others", ())) for row in chunk))

    def _chunks(self, rows: Iterable[Row]) -> Iterator[list[Row]]:
        waiting = iter(rows)
        try:
            while chunk := list(islice(waiting, CHUNK)):
                yield chunk
        except (OperationalError, InterfaceError) as error:
            raise _interrupted(error) from error

    def _settle(self, what: str, rows: Sequence[Row], settle: Settle) -> None:
        try:
            sheet = repeated(lambda: self._settle_once(rows, settle))
        except (DatabaseError, InterfaceError, ValueError, TypeError) as error:
            if is_passing(error):
                raise _interrupted(error) from error
            if len(rows) > 1:
                half = len(rows) // 2
                self._settle(what, rows[:half], settle)
                self._settle(what, rows[half:], settle)
                return
            sheet = Report(fault_count=1)
            line = f"{what} {rows[0].get('id')}: {fault(error)}"
            logger.warning("import_from fault %s", line)
            if self.report.fault_count < MAX_FAULTS:
                sheet.faults.append(line)
        self.report.add(sheet)

    def _settle_once(self, rows: Sequence[Row], settle: Settle) -> Report:
        sheet = Report()
        if self.dry_run:
            settle(rows, sheet)
            return sheet
        with transaction.atomic(using=self.using):
            _alone(self.using)
            settle(rows, sheet)
        return sheet

    def known(self, source: str, keys: Iterable[Any]) -> dict[str, int]:
        """What became of these old rows already, by their keys as text."""
        wanted = [str(key) for key in keys]
        found = Imported.objects.using(self.using).filter(source=source, key__in=wanted)
        return dict(found.values_list("key", "object_id"))

    def remember(self, source: str, became: Mapping[Any, int]) -> None:
        """In the transaction that stores what they became; a dry run remembers nothing."""
        if self.dry_run:
            return
        Imported.objects.using(self.using).bulk_create(
            [Imported(source=source, key=str(key), object_id=n) for key, n in became.items()]
        )


def _interrupted(error: Exception) -> Interrupted:
    return Interrupted(
        f"The database: {fault(error)}. What is imported stays; run the import again to go on."
    )


def _alone(using: str) -> None:
    """One import at a time settles a chunk: what another has done is seen after its commit.

    On SQLite one transaction writes at a time anyway.
    """
    sql = Sql(using)
    if sql.postgres:
        table = sql.connection.ops.quote_name(Imported._meta.db_table)
        sql.run(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE", [])
