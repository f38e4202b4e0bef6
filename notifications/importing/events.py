"""Old events and the notifications of them, as the hub has them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import models

from notifications import inbox
from notifications.conf import conf
from notifications.errors import HubError
from notifications.importing.report import Report
from notifications.importing.running import Run
from notifications.importing.tables import Row, Source
from notifications.models import Event, EventType, RelatedObject
from notifications.words import (
    FORBIDDEN,
    LINE_ENDS,
    MAX_MESSAGE,
    MAX_TAG,
    MAX_TITLE,
    clean_data,
    clean_url,
)

EVENTS = "events"
NOTIFICATIONS = "notifications"
TOO_OLD = 'it is older than HUB["RETENTION"] keeps'

MAX_TEMPLATE = 100  # characters of a slug

Link = tuple[int, str]  # a content type's id here, and the object's key as text


@dataclass(slots=True, kw_only=True)
class OldEvent:
    """An event as the other system had it; `stored` cuts it to what the hub takes."""

    type: EventType
    timestamp: datetime
    title: str = ""
    message: str = ""
    url: str = ""
    data: Any = None
    tag: str = ""
    template: str = ""
    author_id: Any = None
    push: Any = None
    links: list[Link] = field(default_factory=list)

    def stored(self, sheet: Report) -> Event:
        """The row, unsaved; `sheet` is told what had to be changed."""
        return Event(
            type=self.type,
            author_id=self.author_id,
            title=_cut(" ".join(self.title.split()), MAX_TITLE, "title", sheet),
            message=_cut(LINE_ENDS.sub("\n", self.message), MAX_MESSAGE, "message", sheet),
            url=_url(self.url, sheet),
            data=_data(self.data, sheet),
            tag=_cut(self.tag, MAX_TAG, "tag", sheet),
            template=self.template[:MAX_TEMPLATE],
            push=self.push,
            priority=self.type.priority,
            timestamp=self.timestamp,
        )


def _cut(text: str, limit: int, field_name: str, sheet: Report) -> str:
    text = FORBIDDEN.sub("", text)
    if len(text) <= limit:
        return text
    sheet.change(EVENTS, f"{field_name} cut to {limit:,} characters")
    return text[: limit - 1] + "…"


def _url(url: str, sheet: Report) -> str:
    try:
        return clean_url(url)
    except HubError:
        sheet.change(EVENTS, "url left out: neither http, https nor a path")
        return ""


def _data(data: Any, sheet: Report) -> Any:
    try:
        return clean_data(data)
    except HubError:
        sheet.change(EVENTS, "data left out: not JSON that an event takes, or over 16 KiB")
        return None


def store_events(run: Run, olds: Sequence[OldEvent], sheet: Report) -> list[int]:
    """Stores events under the next ids, in the order given, with their links; returns the ids.

    In a dry run it says what it would change, and all ids are 0.
    """
    events = [old.stored(sheet) for old in olds]
    sheet.imported[EVENTS] += len(events)
    if run.dry_run:
        return [0] * len(events)
    Event.objects.using(run.using).bulk_create(events)
    links = [
        RelatedObject(event=event, content_type_id=content_type, object_id=object_id)
        for event, old in zip(events, olds, strict=True)
        for content_type, object_id in dict.fromkeys(old.links)
    ]
    RelatedObject.objects.using(run.using).bulk_create(links)
    return [event.pk for event in events]


def store_notifications(run: Run, rows: Sequence[inbox.Past], sheet: Report) -> None:
    """Stores them in their inboxes, the first one first."""
    made = len(rows)
    if rows and not run.dry_run:
        inbox.ensure({row.user_id for row in rows}, using=run.using)
        made = inbox.store_past(rows, using=run.using)
    sheet.imported[NOTIFICATIONS] += made
    sheet.known[NOTIFICATIONS] += len(rows) - made


def too_old(run: Run, at: datetime) -> bool:
    """Retention would delete it within the hour."""
    return at < run.at - conf().retention


class ContentTypes:
    """Content types of the old database, as this one has them."""

    def __init__(self, source: Source) -> None:
        self._here: dict[Any, ContentType] = {}
        if not source.has("django_content_type"):
            return
        table = source.quoted(source.renamed.get("django_content_type", "django_content_type"))
        for key, label, model in source.all(f"SELECT id, app_label, model FROM {table}"):
            try:
                self._here[key] = ContentType.objects.get_by_natural_key(label, model)
            except ContentType.DoesNotExist:
                continue

    def link(self, content_type: Any, object_id: Any) -> Link | None:
        """None where there is no object, or its model is not there."""
        found = self._here.get(content_type)
        if found is None or object_id in (None, "") or len(str(object_id)) > 255:
            return None
        return found.pk, str(object_id)

    def label(self, content_type: Any) -> str | None:
        found = self._here.get(content_type)
        return None if found is None else f"{found.app_label}.{found.model}"

    def model(self, content_type: Any) -> type[models.Model] | None:
        found = self._here.get(content_type)
        return None if found is None else found.model_class()

    def names(self, wanted: Iterable[tuple[Any, Any]]) -> dict[tuple[Any, str], str]:
        """What these objects call themselves, as far as they are there."""
        by_type: dict[Any, set[str]] = {}
        for content_type, object_id in wanted:
            if content_type is not None and object_id not in (None, ""):
                by_type.setdefault(content_type, set()).add(str(object_id))
        found = {}
        for content_type, ids in by_type.items():
            model = self.model(content_type)
            if model is not None:
                for key, name in _names(model, ids).items():
                    found[content_type, key] = name
        return found


def _names(model: type[models.Model], ids: Iterable[str]) -> dict[str, str]:
    keys = []
    for text in ids:
        try:
            keys.append(model._meta.pk.to_python(text))
        except Exception:  # noqa: S112 - whatever a key's field makes of another's text
            continue
    found = {}
    for row in model._base_manager.filter(pk__in=keys):
        try:
            found[str(row.pk)] = str(row)
        except Exception:  # noqa: S112 - a team's own __str__, of what may be half gone
            continue
    return found


def text_of(row: Row, name: str) -> str:
    value = row.get(name)
    return "" if value is None else str(value)
