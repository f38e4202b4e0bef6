"""What a push says: an event's words and options, before a backend renders them.

The options are what a sender gives as `push`: a mapping with the keys of `OPTIONS`
(docs/push.md says what each does).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.utils import translation
from django.utils.translation import ngettext

from notifications.models import Event
from notifications.templating.wording import Said
from routing.push.outcomes import Note, UnsupportedOption

OPTIONS = {
    "title": str,
    "body": str,
    "url": str,
    "data": object,
    "priority": str,
    "ttl": int,
    "replace": bool,
    "badge": object,
    "silent": bool,
    "sound": object,
    "image": str,
    "icon": str,
    "actions": list,
    "options": dict,
    "raw": dict,
}
PRIORITIES = ("low", "normal", "high")


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """One user's own words where a template was rendered for them; None: the event's."""

    title: str | None = None
    message: str | None = None
    url: str | None = None
    #: What a push says instead of title and message, in the user's language; empty: those two.
    push_title: str = ""
    push_body: str = ""

    def said(self, said: Said) -> "Words":
        """With what a template says in a push."""
        return replace(self, push_title=said.title, push_body=said.body, url=said.url or self.url)


def options_of(event: Event) -> Mapping[str, Any]:
    """The sender's push options. Raises `UnsupportedOption`."""
    given = event.push
    if given is None or isinstance(given, bool):
        return {}
    check_options(given)
    found: Mapping[str, Any] = given
    return found


def check_options(given: Any) -> None:
    """Raises `UnsupportedOption` with a sentence."""
    if not isinstance(given, Mapping):
        raise UnsupportedOption("push options must be an object")
    for key, value in given.items():
        kind = OPTIONS.get(key)
        if kind is None:
            raise UnsupportedOption(f"there is no push option {key!r}")
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise UnsupportedOption(f"the push option {key} must be of type {kind.__name__}")
    if given.get("priority", "normal") not in PRIORITIES:
        raise UnsupportedOption("the push option priority must be low, normal or high")
    if given.get("ttl", 0) < 0:
        raise UnsupportedOption("the push option ttl must not be negative")
    badge = given.get("badge")
    if badge is not None and (type(badge) is not int or badge < 0) and badge is not False:
        raise UnsupportedOption("the push option badge must be an integer from 0 on, or false")


def collapse_id(event: Event) -> str:
    """By which a device recognises two pushes as one: those of an event, or of a tag that
    replaces. At most 32 characters of base64url, which every provider takes."""
    if replaces(event):
        return hashlib.sha256(f"tag {event.tag}".encode()).hexdigest()[:32]
    if event._state.adding:  # nothing is recorded of it: its call has given it a mark
        return f"push-{event.mark[:24]}"  # type: ignore[attr-defined]
    return f"event-{event.pk}"


def replaces(event: Event) -> bool:
    return bool(event.tag) and isinstance(event.push, Mapping) and event.push.get("replace", False)


def note_of(
    event: Event,
    *,
    words: Words,
    unread: int | None,
    folded: int,
    locale: str,
    at: datetime,
    ttl: timedelta,
) -> Note:
    """The note for one delivery. Raises `UnsupportedOption`.

    `unread` is the badge unless the options say otherwise; `folded` says how many others of the
    quiet hours this push stands for; `ttl` is for events that say nothing of it.
    """
    options = options_of(event)
    own = words.push_title or _first(words.title, event.title) or event.type.title
    title = options.get("title", own)
    body = options.get("body", words.push_body or _first(words.message, event.message))
    if folded and unread:
        title, body = _several(unread, locale), title
    badge = options.get("badge", unread)
    return Note(
        title=title,
        body=body,
        url=options.get("url", _first(words.url, event.url)),
        data=options.get("data", event.data),
        tag=event.tag if replaces(event) else "",
        collapse_id=collapse_id(event),
        priority=options.get("priority", event.priority),
        ttl=ttl_of(event, options, at=at, default=ttl),
        badge=None if badge is False else badge,
        silent=options.get("silent", False),
        sound=options.get("sound"),
        image=options.get("image", ""),
        icon=options.get("icon", ""),
        actions=tuple(options.get("actions", ())),
        event_id=event.pk,
        event_type=event.type.name,
        options=options.get("options", {}),
        raw=options.get("raw", {}),
    )


def _first(own: str | None, shared: str) -> str:
    return shared if own is None else own


def ttl_of(event: Event, options: Mapping[str, Any], *, at: datetime, default: timedelta) -> int:
    """Seconds for which a provider keeps it: as asked for, and never beyond the event's end."""
    wanted: int = options.get("ttl", int(default.total_seconds()))
    if event.expires_at is not None:
        wanted = min(wanted, int((event.expires_at - at).total_seconds()))
    return max(wanted, 0)


def _several(unread: int, locale: str) -> str:
    """What is said where several pushes waited for the end of quiet hours."""
    with translation.override(locale.replace("_", "-") or None):
        return ngettext(
            "%(count)d unread notification", "%(count)d unread notifications", unread
        ) % {"count": unread}
