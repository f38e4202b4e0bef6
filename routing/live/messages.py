"""What the hub's processes tell each other through the layer: hints, made in one place.

Every message survives msgpack: it holds integers, text, bytes, lists and dicts with text as keys.
An event's JSON is made once per change; receivers join it to a short head of their own.
"""

import hashlib
import re
import time
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from notifications.representation import encode, event_json, moment
from notifications.signals import (
    Arrived,
    Broadcast,
    Change,
    Deleted,
    Imported,
    Marked,
    Position,
    Words,
)

#: The group that every server process is in.
EVERYBODY = "hub.everybody"
#: Up to so many recipients are told through their own groups, more through everybody's.
NAMED = 8
#: Ids that one frame carries; a change of more is a bare hint, and sockets read.
MAX_TOLD = 100

#: A user's id as it stands in messages and as the registry's key: UUIDs as text.
Key = int | str
Message = dict[str, Any]
Outgoing = tuple[str, Message]  # the group, and what it is told
Told = tuple[Key, int, int, int, bool]  # user, version, unread, unseen, silent

USER, WORDS = attrgetter("user_id"), attrgetter("words")

PLAIN = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


def key_of(user_id: Any) -> Key:
    return user_id if isinstance(user_id, int) else str(user_id)


def user_group(key: Key) -> str:
    """A name that any layer accepts, whatever the users' keys look like."""
    if isinstance(key, int):
        return f"hub.user.i.{key}"
    if PLAIN.fullmatch(key):
        return f"hub.user.t.{key}"
    return f"hub.user.h.{hashlib.sha256(key.encode()).hexdigest()}"


def outgoing(change: Change) -> list[Outgoing]:
    """What a committed change tells whom."""
    if isinstance(change, Arrived):
        return _arrived(change)
    if isinstance(change, Broadcast):
        return [(EVERYBODY, {"type": "hub.broadcast", "number": change.number})]
    if isinstance(change, Imported):
        # Of more inboxes reconcile tells within seconds; an import has no hurry.
        return [_hint(position) for position in change.positions[:NAMED]]
    if len(change.ids) > MAX_TOLD:
        return [_hint(change.position)]
    key = key_of(change.position.user_id)
    message = {
        "type": "hub.changed",
        "user": key,
        "version": change.position.version,
        "frame": encode(_frame(change)),
    }
    return [(user_group(key), message)]


def _hint(position: Position) -> Outgoing:
    """That the inbox has changed, without the change: its sockets read it."""
    key = key_of(position.user_id)
    return user_group(key), {"type": "hub.hint", "user": key, "version": position.version}


def ended(user_id: Any) -> list[Outgoing]:
    """A session, token or account of this user may have ended: look now."""
    key = key_of(user_id)
    return [(user_group(key), {"type": "hub.ended", "user": key})]


def _arrived(change: Arrived) -> list[Outgoing]:
    """One message for everybody, or one for each; of each language where a template has several."""
    readers: dict[Words | None, list[Sequence[Any]]] = {}  # `Told`: a recipient's first five
    own = any(map(WORDS, change.recipients))
    if not own and set(map(type, map(USER, change.recipients))) == {int}:
        readers[None] = [told[:5] for told in change.recipients]
    else:
        for told in change.recipients:
            readers.setdefault(told.words, []).append([key_of(told.user_id), *told[1:5]])
    many = len(change.recipients) > NAMED
    # tells, in milliseconds since 1970, how long the way to the sockets was
    at = time.time_ns() // 1_000_000
    found: list[Outgoing] = []
    for words, rows in readers.items():
        shared: Message = {
            "type": "hub.arrived",
            "id": change.event.pk,
            "event": encode(event_json(change.event, words)),
            "at": at,
        }
        # columns: half as much to decode as rows
        if many:
            found.append((EVERYBODY, {**shared, "to": _columns(rows)}))
        else:
            found += [(user_group(row[0]), {**shared, "to": _columns([row])}) for row in rows]
    return found


def _columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return list(map(list, zip(*rows, strict=True)))


def _frame(change: Marked | Deleted) -> dict[str, Any]:
    position = change.position
    frame: dict[str, Any] = {
        "action": "marked" if isinstance(change, Marked) else "deleted",
        "version": position.version,
        "unread": position.unread,
        "unseen": position.unseen,
    }
    if isinstance(change, Deleted):
        return {**frame, "ids": list(change.ids)}
    frame |= {"state": change.state, "at": moment(change.at)}
    if change.up_to is None:
        return {**frame, "ids": list(change.ids)}
    frame["up_to"] = change.up_to
    if change.type is not None:
        frame["type"] = change.type
    return frame
