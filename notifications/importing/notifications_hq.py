"""django-notifications-hq: one table, in which each recipient has a row of their own.

Rows of one send, equal in everything but the recipient, become one event. Its verb becomes the
event type, what it is about the title and the related objects.
"""

import hashlib
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model

from notifications import inbox
from notifications.importing import people
from notifications.importing.events import (
    NOTIFICATIONS,
    TOO_OLD,
    ContentTypes,
    OldEvent,
    store_events,
    store_notifications,
    text_of,
    too_old,
)
from notifications.importing.report import Report
from notifications.importing.running import Run
from notifications.importing.tables import Query, Row, columns_of, json_of
from notifications.importing.types import MOST_NEW, TypeBook
from notifications.models import EventType, Notification

SYSTEM = "django-notifications-hq"
TABLE = "notifications_notification"
SOURCE = "notifications-hq:notification"
SEND_SOURCE = "notifications-hq:send"

OBJECTS = ("actor", "target", "action_object")
#: What a send gives to all its recipients alike.
SHARED = (
    "timestamp", "verb", "description", "level", "public", "emailed", "data",
    *(f"{name}_{part}" for name in OBJECTS for part in ("content_type_id", "object_id")),
)  # fmt: skip
OWN = ("id", "recipient_id", "unread", "readed", "deleted")


class NotificationsHq:
    """Raises `ImportFault` where the table is not there or not its."""

    def __init__(self, run: Run, *, event_type: str = "") -> None:
        """All events are of `event_type`, or else each of a type named after its verb."""
        self.run, self.event_type = run, event_type
        needs = {"id", "recipient_id", "verb", "timestamp", "actor_object_id"}
        self.table = run.source.table(TABLE, needs=needs, of=SYSTEM)
        self.content_types = ContentTypes(run.source)
        self.book = TypeBook(run)
        self.user_label = get_user_model()._meta.label_lower
        self._dry_ends: dict[str, int] = {}  # what a dry run does not remember

    @property
    def total(self) -> int:
        return self.table.rows

    def run_all(self) -> None:
        self._make_types()
        query = Query(
            self.run.source,
            f"{self.table.name} t",
            {**columns_of(self.table, *OWN, *SHARED)},
            order=("timestamp", "id"),
            times=frozenset({"timestamp"}),
        )
        self.run.settle(NOTIFICATIONS, query, self._settle)

    def _make_types(self) -> None:
        if self.event_type:
            self._type("")
            return
        rows = self.run.source.all(
            f"SELECT DISTINCT verb FROM {self.table.name} ORDER BY verb LIMIT {MOST_NEW * 10}"
        )
        verbs = [verb or "" for (verb,) in rows]
        self.book.check(
            {type_name(verb) for verb in verbs},
            remedy="Verbs here are not few enough to be types: give --event-type NAME.",
        )
        for verb in verbs:
            self._type(verb)

    def _settle(self, rows: Sequence[Row], sheet: Report) -> None:
        run = self.run
        known = run.known(SOURCE, (row["id"] for row in rows))
        users = people.existing(self._users(rows), using=run.using)
        taken: list[Row] = []
        for row in rows:
            at = run.source.time(row["timestamp"])
            if str(row["id"]) in known:
                sheet.known[NOTIFICATIONS] += 1
            elif users.get(row["recipient_id"]) is None:
                sheet.skip(NOTIFICATIONS, people.USER_GONE)
            elif at is None or too_old(run, at):
                sheet.skip(NOTIFICATIONS, TOO_OLD)
            else:
                taken.append({**row, "at": at, "user": users[row["recipient_id"]]})
        if taken:
            self._store(taken, users, sheet)

    def _users(self, rows: Sequence[Row]) -> set[Any]:
        return {row["recipient_id"] for row in rows} | {
            row["actor_object_id"] for row in rows if self._is_user(row)
        }

    def _is_user(self, row: Row) -> bool:
        return self.content_types.label(row["actor_content_type_id"]) == self.user_label

    def _store(self, rows: list[Row], users: dict[Any, Any], sheet: Report) -> None:
        """One event per send, also where its recipients are spread over two chunks."""
        run = self.run
        digests = {row["id"]: digest_of(row) for row in rows}
        sends = run.known(SEND_SOURCE, set(digests.values())) | self._dry_ends
        have = self._recipients(sends, rows)
        names = self.content_types.names(
            (row[f"{name}_content_type_id"], row[f"{name}_object_id"])
            for row in rows
            for name in OBJECTS
        )
        # where in `new` the event of a row is, or which stored one it has
        new: list[OldEvent] = []
        place: dict[int, int] = {}
        open_sends: dict[str, tuple[int, set[Any]]] = {}
        for row in rows:
            digest = digests[row["id"]]
            if digest in sends and (row["user"], sends[digest]) not in have:
                have.add((row["user"], sends[digest]))
                continue
            index, told = open_sends.get(digest, (-1, set()))
            if index < 0 or row["user"] in told:
                index, told = len(new), set()
                new.append(self._event(row, users, names))
                open_sends[digest] = index, told
            told.add(row["user"])
            place[row["id"]] = index
        ids = store_events(run, new, sheet)
        became = {
            row["id"]: ids[place[row["id"]]] if row["id"] in place else sends[digests[row["id"]]]
            for row in rows
        }
        past = [self._past(row, became[row["id"]]) for row in rows]
        deleted = sum(1 for row in past if row.deleted_at is not None)
        if deleted:
            sheet.change(NOTIFICATIONS, "deleted there, so deleted here", deleted)
        store_notifications(run, past, sheet)
        run.remember(SOURCE, became)
        # only a send at the very end of the chunk can go on in the next one
        last = rows[-1]["timestamp"]
        ends = {digests[row["id"]] for row in rows if row["timestamp"] == last}
        going_on = {
            digest: ids[index]
            for digest, (index, _) in open_sends.items()
            if digest in ends and digest not in sends
        }
        run.remember(SEND_SOURCE, going_on)
        if run.dry_run:
            self._dry_ends = going_on

    def _recipients(self, sends: dict[str, int], rows: list[Row]) -> set[tuple[Any, int]]:
        if not sends:
            return set()
        found = Notification.objects.using(self.run.using).filter(
            event__in=sends.values(), user__in={row["user"] for row in rows}
        )
        return set(found.values_list("user_id", "event_id"))

    def _event(
        self, row: Row, users: dict[Any, Any], names: dict[tuple[Any, str], str]
    ) -> OldEvent:
        verb = text_of(row, "verb")
        named = {
            name: names.get((row[f"{name}_content_type_id"], text_of(row, f"{name}_object_id")))
            for name in OBJECTS
        }
        author = users.get(row["actor_object_id"]) if self._is_user(row) else None
        linked = [name for name in OBJECTS if not (name == "actor" and author is not None)]
        links = (
            self.content_types.link(row[f"{name}_content_type_id"], row[f"{name}_object_id"])
            for name in linked
        )
        return OldEvent(
            type=self._type(verb),
            timestamp=row["at"],
            title=title_of(verb, named),
            message=text_of(row, "description"),
            data=self._data(row),
            author_id=author,
            links=[link for link in links if link is not None],
        )

    def _type(self, verb: str) -> EventType:
        if self.event_type:
            return self.book.named(self.event_type, title=self.event_type)
        return self.book.named(type_name(verb), title=verb)

    def _data(self, row: Row) -> dict[str, Any]:
        """What an event has no field for."""
        found: dict[str, Any] = {"verb": text_of(row, "verb"), "level": row["level"]}
        for name in OBJECTS:
            if row[f"{name}_object_id"] not in (None, ""):
                label = self.content_types.label(row[f"{name}_content_type_id"])
                found[name] = {"type": label, "id": text_of(row, f"{name}_object_id")}
        for name in ("public", "emailed"):
            if row[name] is not None:
                found[name] = bool(row[name])
        if row["data"] not in (None, ""):
            found["data"] = json_of(row["data"])
        return found

    def _past(self, row: Row, event_id: int) -> inbox.Past:
        """It has no time of reading: what was read counts as read when it came."""
        unread = row["unread"] if row["unread"] is not None else not row["readed"]
        at: datetime = row["at"]
        return inbox.Past(
            user_id=row["user"],
            event_id=event_id,
            read_at=None if unread else at,
            deleted_at=self.run.at if row["deleted"] else None,
        )


def type_name(verb: str) -> str:
    """An event type's name for a verb: `commented on` becomes `commented_on`."""
    return re.sub(r"\W+", "_", verb.lower()).strip("_")[:100] or "notification"


def title_of(verb: str, named: dict[str, str | None]) -> str:
    """What happened, in one line, as that system itself words it."""
    words = [named["actor"], verb, named["action_object"]]
    if named["target"]:
        words += ["on" if named["action_object"] else None, named["target"]]
    return " ".join(word for word in words if word)


def digest_of(row: Row) -> str:
    """Equal for the rows of one send; `key` of an `Imported` row, which it just fits."""
    text = repr([str(row[name]) for name in SHARED])
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()
