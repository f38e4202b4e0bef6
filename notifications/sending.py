"""send_notification(): the one door through which something that happened enters the hub."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from asgiref.sync import sync_to_async
from django.db import models, router
from django.utils import timezone

from notifications import measures, related
from notifications.audiences import Addressed, address, user_key
from notifications.errors import InvalidAudience, InvalidField
from notifications.event_types import declaration_of
from notifications.models import Event
from notifications.opening import Opening, ask
from notifications.storing import Draft, store
from notifications.templating import wording
from notifications.words import (
    MAX_KEY,
    MAX_MESSAGE,
    MAX_TAG,
    MAX_TITLE,
    MAX_TYPE,
    clean_data,
    clean_priority,
    clean_text,
    clean_time,
    clean_url,
)


@measures.sends
def send_notification(
    type: str,
    *,
    users: Any,
    title: str = "",
    message: str = "",
    data: Any = None,
    url: str = "",
    author: Any = None,
    tag: str = "",
    priority: str | None = None,
    related_objects: Iterable[models.Model] = (),
    idempotency_key: str | None = None,
    expires_at: datetime | None = None,
    push: Mapping[str, Any] | bool | None = None,
    template: "str | wording.Wording | None" = None,
    context: Mapping[str, Any] | None = None,
    scope: str = "",
) -> Event:
    """Stores what happened and tells the users whom it concerns.

    `users` is a user, an id, an iterable of either, a queryset, or `EVERYONE`; ids that no active
    user has are left out, an empty iterable stores the event and tells nobody. `data` is any JSON
    up to 16 KiB, checked against the type's schema. `expires_at` is a time with a zone.

    `template` is a template's slug, `context` the JSON that fills its gaps; a context alone means
    the template that is named as the type is. What the template says goes before `title`,
    `message` and `url`, and is stored for each user in their language (docs/templates.md).

    Outside a transaction the event is committed when the call returns; inside `atomic()` exactly
    when the caller's transaction is. With an `idempotency_key` (unique within `scope`) a repeated
    call returns the first call's event, which then has `repeated = True`.

    Raises a `HubError` (see `notifications.errors`) for a caller's mistake, before anything is
    stored; after that nothing in Redis, a provider, a receiver or a lock makes it raise.
    """
    using = router.db_for_write(Event)
    audience = address(users, using=using)
    opening = ask(clean_text("type", type, limit=MAX_TYPE), audience.first, using=using)
    event = _validated(
        opening,
        using,
        title=title,
        message=message,
        data=data,
        url=url,
        tag=tag,
        priority=priority,
        expires_at=expires_at,
        push=push,
        author=author,
    )
    # read once: it may be an iterator
    objects = list(related_objects) if isinstance(related_objects, Iterable) else related_objects
    links = related.links_of(objects, using=using)
    key = clean_text("idempotency_key", idempotency_key or "", limit=MAX_KEY)
    given = [event.title, event.message, event.url]
    once = False
    if template is not None or context is not None:
        said = wording.apply(event, template, context, users=users, related_objects=objects)
        once = bool(links) and not said.base.allow_duplicates
    draft = Draft(
        event=event,
        audience=audience,
        links=links,
        scope=scope,
        key=key,
        digest=_digest(event, given, audience, links) if key else "",
        using=using,
        once=once,
    )
    return store(draft, opening)


#: The same function for async code. It runs on the thread that Django's own async database
#: functions use, so that a test's transaction holds.
asend_notification = sync_to_async(send_notification, thread_sensitive=True)


def _validated(opening: Opening, using: str, *, author: Any, **given: Any) -> Event:
    """The event with its type and author set; nothing is stored. Raises `HubError`."""
    words = {
        "title": clean_text("title", given["title"], limit=MAX_TITLE),
        "message": clean_text("message", given["message"], limit=MAX_MESSAGE, lines=True),
        "url": clean_url(given["url"]),
        "tag": clean_text("tag", given["tag"], limit=MAX_TAG),
    }
    row = opening.type
    data = clean_data(given["data"])
    declared = declaration_of(row.name)
    if declared is not None:
        declared.check_data(data)
    push = given["push"]
    if push is not None and not isinstance(push, bool):
        if not isinstance(push, Mapping):
            raise InvalidField.of("push", "must be options, true, false or None")
        push = clean_data(dict(push))
    at = timezone.now()
    expires_at = clean_time("expires_at", given["expires_at"])
    if expires_at is None and row.lifetime is not None:
        expires_at = at + row.lifetime
    event = Event(
        pk=opening.event_id,
        type=row,
        data=data,
        priority=clean_priority(given["priority"], row.priority),
        timestamp=at,
        expires_at=expires_at,
        push=push,
        **words,
    )
    if author is not None:
        event.author = _author(author, using)
    return event


def _author(author: Any, using: str) -> Any:
    if not isinstance(author, models.Model):
        raise InvalidField.of("author", "must be a user")
    try:
        user_key(author, using=using)
    except InvalidAudience:
        raise InvalidField.of("author", "must be a saved user") from None
    return author


def _digest(
    event: Event, given: list[str], audience: Addressed, links: list[tuple[int, str]]
) -> str:
    """What two calls under one key must share to be the same call. Lifetimes are left out: they
    count from the moment of the call; and what a template says: it may be edited in between.
    `given` is the sender's title, message and url."""
    lifetime = event.type.lifetime
    content = [
        event.type.name,
        *given,
        event.data,
        event.tag,
        event.priority,
        str(event.author_id or ""),
        str(event.expires_at) if lifetime is None and event.expires_at else "",
        event.push,
        links,
        audience.fingerprint(),
    ]
    if event.template:
        content += [event.template, event.context]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
