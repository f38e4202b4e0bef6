"""Django REST Notifications: its event types, filters, events and notifications.

Its tables have the names of django-notifications-hq's; which they are is told by their columns.
"""

from collections.abc import Sequence
from typing import Any

from notifications import inbox
from notifications.importing import people
from notifications.importing.events import (
    EVENTS,
    NOTIFICATIONS,
    TOO_OLD,
    OldEvent,
    store_events,
    store_notifications,
    text_of,
    too_old,
)
from notifications.importing.report import Report
from notifications.importing.running import Run
from notifications.importing.tables import Query, Row, columns_of, json_of
from notifications.importing.types import TypeBook
from notifications.models import Channel, EventType, Filter

SYSTEM = "Django REST Notifications"
FILTERS = "filters"
EVENT_SOURCE = "rest-notifications:event"
NOTIFICATION_SOURCE = "rest-notifications:notification"


class RestNotifications:
    """Raises `ImportFault` where the tables are not there or not its."""

    def __init__(self, run: Run) -> None:
        self.run = run
        table = run.source.table
        self.types = table("notifications_eventtype", needs={"id", "name", "title"}, of=SYSTEM)
        self.events = table(
            "notifications_event", needs={"id", "timestamp", "type_id", "title"}, of=SYSTEM
        )
        self.notifications = table(
            "notifications_notification", needs={"id", "user_id", "event_id", "readed"}, of=SYSTEM
        )
        self.filters = table("notifications_notificationsfilter", needs={"user_id"}, of=SYSTEM)
        self.enabled = table(
            "notifications_notificationsfilter_types_enabled",
            needs={"notificationsfilter_id", "eventtype_id"},
            of=SYSTEM,
        )
        self.book = TypeBook(run)
        self.type_of: dict[int, EventType] = {}

    @property
    def total(self) -> int:
        return self.filters.rows + self.events.rows + self.notifications.rows

    def run_all(self) -> None:
        for key, name, title, description in self._declared():
            self.type_of[key] = self.book.named(name, title=title, description=description or "")
        self.run.settle(FILTERS, self._filter_rows(), self._settle_filters)
        self.run.settle(EVENTS, self._event_rows(), self._settle_events)
        self.run.settle(NOTIFICATIONS, self._notification_rows(), self._settle_notifications)

    def _declared(self) -> list[tuple[int, str, str, str | None]]:
        description = "description" if "description" in self.types.columns else "NULL"
        rows = self.run.source.all(
            f"SELECT id, name, title, {description} FROM {self.types.name} ORDER BY id"
        )
        return [(key, name, title, text) for key, name, title, text in rows]

    # Filters: what was muted there is off in the channel inbox here.

    def _filter_rows(self) -> Query:
        return Query(
            self.run.source,
            f"{self.filters.name} t",
            columns_of(self.filters, "id", "user_id"),
            order=("id",),
        )

    def _settle_filters(self, rows: Sequence[Row], sheet: Report) -> None:
        marks = ", ".join(["%s"] * len(rows))
        chosen = set(
            self.run.source.all(
                "SELECT notificationsfilter_id, eventtype_id"
                f" FROM {self.enabled.name} WHERE notificationsfilter_id IN ({marks})",
                [row["id"] for row in rows],
            )
        )
        users = people.existing({row["user_id"] for row in rows}, using=self.run.using)
        wanted = []
        for row in rows:
            user_id = users.get(row["user_id"])
            if user_id is None:
                sheet.skip(FILTERS, people.USER_GONE)
                continue
            for key, kind in self.type_of.items():
                enabled = (row["id"], key) in chosen
                if kind.critical and not enabled:
                    sheet.skip(FILTERS, "its event type is critical here: it cannot be muted")
                elif enabled != kind.inbox:
                    wanted.append((user_id, kind, enabled))
        self._store_filters(wanted, sheet)

    def _store_filters(self, wanted: list[tuple[Any, EventType, bool]], sheet: Report) -> None:
        rows = Filter.objects.using(self.run.using).filter(
            user__in={user_id for user_id, _, _ in wanted}, channel=Channel.INBOX
        )
        have = set(rows.values_list("user_id", "type_id"))
        new = [row for row in wanted if (row[0], row[1].pk) not in have]
        sheet.known[FILTERS] += len(wanted) - len(new)
        sheet.imported[FILTERS] += len(new)
        if not self.run.dry_run:
            Filter.objects.using(self.run.using).bulk_create(
                [
                    Filter(user_id=user_id, type=kind, channel=Channel.INBOX, enabled=enabled)
                    for user_id, kind, enabled in new
                ],
                ignore_conflicts=True,
            )

    # Events by their time, so that their ids, by which lists are ordered, follow it.

    def _event_rows(self) -> Query:
        wanted = ("id", "timestamp", "author_id", "type_id", "title", "message", "data")
        return Query(
            self.run.source,
            f"{self.events.name} t",
            columns_of(self.events, *wanted),
            order=("timestamp", "id"),
            times=frozenset({"timestamp"}),
        )

    def _settle_events(self, rows: Sequence[Row], sheet: Report) -> None:
        run = self.run
        known = run.known(EVENT_SOURCE, (row["id"] for row in rows))
        users = people.existing({row["author_id"] for row in rows}, using=run.using)
        new: dict[int, OldEvent] = {}
        for row in rows:
            at = run.source.time(row["timestamp"])
            kind = self.type_of.get(row["type_id"])
            if str(row["id"]) in known:
                sheet.known[EVENTS] += 1
            elif at is None or kind is None:
                sheet.skip(EVENTS, "it has no time or no type")
            elif too_old(run, at):
                sheet.skip(EVENTS, TOO_OLD)
            else:
                new[row["id"]] = OldEvent(
                    type=kind,
                    timestamp=at,
                    title=text_of(row, "title"),
                    message=text_of(row, "message"),
                    data=json_of(row["data"]),
                    author_id=users.get(row["author_id"]),
                )
        stored = store_events(run, list(new.values()), sheet)
        run.remember(EVENT_SOURCE, dict(zip(new, stored, strict=True)))

    # Notifications by their events' time, so that their numbers follow it.

    def _notification_rows(self) -> Query:
        return Query(
            self.run.source,
            f"{self.notifications.name} n JOIN {self.events.name} e ON e.id = n.event_id",
            {
                **columns_of(self.notifications, "id", "user_id", "event_id", "readed", alias="n"),
                "timestamp": 'e."timestamp"',
            },
            order=("timestamp", "event_id", "id"),
            times=frozenset({"timestamp"}),
        )

    def _settle_notifications(self, rows: Sequence[Row], sheet: Report) -> None:
        run = self.run
        known = run.known(NOTIFICATION_SOURCE, (row["id"] for row in rows))
        events = run.known(EVENT_SOURCE, {row["event_id"] for row in rows})
        users = people.existing({row["user_id"] for row in rows}, using=run.using)
        new: dict[int, inbox.Past] = {}
        for row in rows:
            at, user_id = run.source.time(row["timestamp"]), users.get(row["user_id"])
            event_id = events.get(str(row["event_id"]))
            if str(row["id"]) in known:
                sheet.known[NOTIFICATIONS] += 1
            elif user_id is None:
                sheet.skip(NOTIFICATIONS, people.USER_GONE)
            elif at is None or (too_old(run, at) and event_id is None):
                sheet.skip(NOTIFICATIONS, TOO_OLD)
            elif event_id is None and not run.dry_run:
                sheet.skip(NOTIFICATIONS, "its event was not imported")
            else:
                read_at = run.source.time(row["readed"])
                new[row["id"]] = inbox.Past(
                    user_id=user_id, event_id=event_id or 0, read_at=read_at
                )
        store_notifications(run, list(new.values()), sheet)
        run.remember(NOTIFICATION_SOURCE, {key: row.event_id for key, row in new.items()})
