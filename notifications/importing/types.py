"""Event types of imported events: the declared ones, and inactive rows for all others."""

from collections.abc import Iterable

from django.db import connections

from notifications import event_types
from notifications.importing.errors import UnusableOption
from notifications.importing.running import Run
from notifications.models import EventType
from notifications.words import FORBIDDEN

WHAT = "event types"
NOT_DECLARED = "inactive: not declared in EVENT_TYPES"
#: More are hardly types: an old verb may hold names.
MOST_NEW = 100


class TypeBook:
    """Event types by name. One that nobody declares is stored inactive, as a type is whose
    declaration was taken away: its events stay, new ones are refused."""

    def __init__(self, run: Run) -> None:
        self.run = run
        if not run.dry_run:
            event_types.sync(using=run.using)
        rows = EventType.objects.using(run.using)
        self._rows = {row.name: row for row in rows}
        # a dry run synchronises nothing, so the table may not have them yet
        for name, declared in event_types.declared_types().items():
            self._rows.setdefault(name, EventType(name=name, **declared.stored()))

    def check(self, names: Iterable[str], *, remedy: str) -> None:
        """Raises `UnusableOption` where so many would be new that they cannot be types."""
        new = {name for name in names if name not in self._rows}
        if len(new) > MOST_NEW:
            raise UnusableOption(f"More than {MOST_NEW} event types would be made. {remedy}")

    def named(self, name: str, *, title: str, description: str = "") -> EventType:
        """The type of this name, made if there is none: before the chunks, if it can be known."""
        name = " ".join(FORBIDDEN.sub("", name).split())[:100] or "imported"
        row = self._rows.get(name)
        if row is None:
            row = EventType(
                name=name,
                title=FORBIDDEN.sub("", title or name)[:300],
                description=FORBIDDEN.sub("", description or "")[:1000],
                active=False,
            )
            if not self.run.dry_run:
                row, _ = EventType.objects.using(self.run.using).get_or_create(
                    name=name,
                    defaults={
                        "title": row.title,
                        "description": row.description,
                        "active": False,
                    },
                )
            if not connections[self.run.using].in_atomic_block:
                self._rows[name] = row  # one made in a chunk goes with it if that is rolled back
            self.run.report.imported[WHAT] += 1
            self.run.report.change(WHAT, NOT_DECLARED)
        return row
