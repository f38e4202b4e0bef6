"""The two signals by which word leaves the domain, and what they carry.

`notified` is sent inside the transaction that stores notifications: what its receivers write is
committed or rolled back with them. Arguments: `event`, `recipients` (a list of at most 500
`Recipient`, or `EVERYONE` when a broadcast is stamped) and `using` (the database alias).

`inbox_changed` is sent after the commit. Argument: `change`, one of the classes below. It is only
news: whoever misses it reads the inbox.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.dispatch import Signal

notified = Signal()
inbox_changed = Signal()

#: The `dispatch_uid` under which the push road connects to `notified`. Its inboxes say by
#: `pushable` whether it has anything to do; every other receiver is always asked.
PUSH_ROAD = "hub_push_road"


def only_push_listens() -> bool:
    """Whether no other receiver than the push road waits for `notified`."""
    return all(key[0] == PUSH_ROAD for key, *_ in notified.receivers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """What one user's inbox became: its version and its two counters."""

    user_id: Any
    version: int
    unread: int
    unseen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A user's own words, where a template was rendered in their language; None: the event's."""

    title: str | None = None
    message: str | None = None
    url: str | None = None


class Recipient(NamedTuple):
    """A user in whose inbox an event arrived, and what the inbox became; `version` is also the
    notification's `arrived`. A tuple, since a large fan-out makes one for every user."""

    user_id: Any
    version: int
    unread: int
    unseen: int
    silent: bool
    #: Whether the push road has anything to do for this user; it is asked where nobody knows.
    pushable: bool = True
    words: Words | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """One event in the inboxes of `recipients` (at most 500 per change)."""

    event: Any  # notifications.models.Event, with its type and author loaded
    recipients: Sequence[Recipient]


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """Notifications of one user changed state; `ids` or `up_to` (an `arrived`) says which."""

    position: Position
    state: str
    at: datetime
    ids: Sequence[int] = ()
    up_to: int | None = None
    type: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    position: Position
    ids: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Broadcast:
    """A broadcast was stamped: inboxes below `number` have something to take in."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """Old notifications of another system were stored in these inboxes: nothing to make a sound
    for, so no frame says which; who is connected reads them."""

    positions: Sequence[Position]


Change = Arrived | Marked | Deleted | Broadcast | Imported
