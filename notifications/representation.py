"""How clients see events and notifications: one place for REST answers and for frames.

The shapes are those of docs/protocol.md; tests compare them with its golden examples.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.utils.dateparse import parse_datetime

from notifications.audiences import key_field, stored_key
from notifications.models import Event, EventType
from notifications.signals import Words


def encode(value: Any) -> bytes:
    """Compact UTF-8 JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def moment(value: datetime | None) -> str | None:
    """A time as ISO 8601 in UTC with microseconds, e.g. `2026-11-01T12:00:00.000000Z`."""
    if value is None:
        return None
    # its end is "+00:00"; strftime would take three times as long
    return value.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def stored_moment(value: Any) -> datetime | None:
    """A time as a plain cursor gives it: aware on PostgreSQL, naive UTC or text on SQLite."""
    if isinstance(value, str):
        value = parse_datetime(value)
    if value is None:
        return None
    found: datetime = value
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _time(value: Any) -> str | None:
    """A `{time:...}` of a row, as clients see it."""
    if value is None or (isinstance(value, str) and value.endswith("Z")):
        return value
    return moment(stored_moment(value))


def author_names(keys: Iterable[Any]) -> dict[Any, str]:
    """The shown names of users by stored key: full name where there is one, else user name."""
    wanted = {key for key in keys if key is not None}
    if not wanted:
        return {}
    users = get_user_model()._default_manager.in_bulk(wanted)
    return {stored_key(key): shown_name(user) for key, user in users.items()}


def shown_name(user: Any) -> str:
    full_name = getattr(user, "get_full_name", str)()
    return str(full_name or user.get_username())


def event_type_json(row: EventType) -> dict[str, Any]:
    return {
        "id": row.pk,
        "name": row.name,
        "title": row.title,
        "description": row.description,
    }


def event_json(event: Event, words: Words | None = None) -> dict[str, Any]:
    """An event whose `type` and `author` are loaded, as recipients with these words see it."""
    author = event.author if event.author_id is not None else None
    own = words or Words()
    return {
        "id": event.pk,
        "type": event_type_json(event.type),
        "author": author and {"id": stored_key(author.pk), "name": shown_name(author)},
        "title": event.title if own.title is None else own.title,
        "message": event.message if own.message is None else own.message,
        "url": event.url if own.url is None else own.url,
        "data": event.data,
        "tag": event.tag,
        "priority": event.priority,
        "timestamp": moment(event.timestamp),
        "expires_at": moment(event.expires_at),
    }


#: What a statement selects of a notification `n`, its event `e` and its type `t`, in the order
#: that `notification_json` reads. On PostgreSQL a `{time:...}` is text as clients see it.
COLUMNS = """
    n.id, n.event_id, n.arrived, n.version, {time:n.seen_at}, {time:n.read_at},
    {time:n.archived_at}, {time:n.expired_at}, n.deleted_at, n.silent, {text:n.title},
    {text:n.message}, {text:n.url}, {text:e.title}, {text:e.message}, {text:e.url}, e.data,
    {text:e.tag}, {text:e.priority}, {time:e.timestamp}, {time:e.expires_at}, e.author_id, t.id,
    {text:t.name}, {text:t.title}, {text:t.description}
"""
WIDTH = 26
ROW_ID, EVENT_ID, ARRIVED, VERSION = 0, 1, 2, 3
AUTHOR_ID = 21


def author_key(value: Any) -> Any:
    """A user's key as a plain cursor gives it (SQLite keeps UUIDs as text), as Python has it."""
    return None if value is None else key_field().to_python(value)


def rows_json(rows: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """Rows of `COLUMNS` as clients see them; one more query where any of them has an author."""
    names = author_names({author_key(row[AUTHOR_ID]) for row in rows})
    return [notification_json(row, names) for row in rows]


def notification_json(row: tuple[Any, ...], names: Mapping[Any, str]) -> dict[str, Any]:
    """One row of `COLUMNS`; a deleted one as `{id, version, deleted: true}`."""
    (
        _,
        event_id,
        arrived,
        version,
        seen_at,
        read_at,
        archived_at,
        expired_at,
        deleted_at,
        silent,
        own_title,
        own_message,
        own_url,
        title,
        message,
        url,
        data,
        tag,
        priority,
        timestamp,
        expires_at,
        author_id,
        type_id,
        type_name,
        type_title,
        type_description,
    ) = row
    if deleted_at is not None or type_id is None:
        # Without a type the event itself is gone: as good as deleted to its readers.
        return {"id": event_id, "version": version, "deleted": True}
    author = None
    if author_id is not None:
        key = stored_key(author_key(author_id))
        author = {"id": key, "name": names[key]} if key in names else None
    return {
        "id": event_id,
        "arrived": arrived,
        "version": version,
        "seen_at": _time(seen_at),
        "read_at": _time(read_at),
        "archived_at": _time(archived_at),
        "expired_at": _time(expired_at),
        "silent": bool(silent),
        "event": {
            "id": event_id,
            "type": {
                "id": type_id,
                "name": type_name,
                "title": type_title,
                "description": type_description,
            },
            "author": author,
            "title": title if own_title is None else own_title,
            "message": message if own_message is None else own_message,
            "url": url if own_url is None else own_url,
            "data": json.loads(data) if isinstance(data, str) else data,
            "tag": tag,
            "priority": priority,
            "timestamp": _time(timestamp),
            "expires_at": _time(expires_at),
        },
    }
