"""Broadcasts: one event for everyone, taken in by each inbox when its user is there.

The cost of a send is one row. What an inbox has taken in is a number and neither an id nor a
time: ids are drawn before they can be seen, and a late commit would be skipped for ever.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from notifications import left_out
from notifications.inbox.rows import CHUNK, alias, announce, user_id_of
from notifications.inbox.taking_in import take_in_at_once
from notifications.models import Channel, Event, Filter, HubState, Notification
from notifications.representation import stored_moment
from notifications.signals import Arrived, Broadcast, Recipient
from notifications.sql import Sql
from notifications.templating.wording import own_words


def broadcast_number(*, using: str | None = None) -> int:
    """The number of the newest broadcast."""
    return HubState.objects.using(alias(using)).values_list("broadcast", flat=True).get(pk=1)


def stamp_broadcast(event: Event, *, using: str) -> int | None:
    """Gives `event` the next broadcast number, inside the caller's transaction.

    An event that is over already takes no number; neither does one that has its number.
    """
    if event.broadcast is not None:
        return event.broadcast
    if event.expires_at is not None and event.expires_at <= timezone.now():
        return None
    HubState.objects.using(using).filter(pk=1).update(broadcast=F("broadcast") + 1)
    event.broadcast = broadcast_number(using=using)
    event.save(using=using, update_fields=["broadcast"])
    announce(Broadcast(number=event.broadcast), using=using)
    return event.broadcast


def take_in(user_ids: Iterable[Any], *, using: str | None = None) -> int:
    """Takes the broadcasts that wait into these users' inboxes; returns how many rows that made.

    Each unexpired event that its user has not muted takes a number of its own. Sends
    `inbox_changed`, never `notified`.
    """
    database = alias(using)
    wanted = sorted(set(user_ids))
    return sum(
        _take_in_chunk(wanted[start : start + CHUNK], database)
        for start in range(0, len(wanted), CHUNK)
    )


def _take_in_chunk(user_ids: list[Any], using: str) -> int:
    if Sql(using).postgres:
        made = take_in_at_once(user_ids, using=using)
        if made is not None:
            return made
    return _take_in_steps(user_ids, broadcast_number(using=using), using)


@dataclass(slots=True)
class _Behind:
    """A locked inbox that has not taken in all broadcasts."""

    key: Any
    version: int
    unread: int
    unseen: int
    total: int
    broadcast: int
    next_expiry: datetime | None

    def take(self, event: Event) -> None:
        self.version += 1
        self.unread += 1
        self.unseen += 1
        self.total += 1
        if event.expires_at is not None:
            self.next_expiry = min(self.next_expiry or event.expires_at, event.expires_at)


# As `TAKE_IN` holds them.
HOLD_EVENTS = """
    SELECT e.id FROM {event} e
    WHERE e.broadcast > (SELECT min(i.broadcast) FROM {inbox} i WHERE i.user_id {in_keys})
        AND e.broadcast <= %s
    ORDER BY e.broadcast FOR SHARE
"""
LOCK_BEHIND = """
    SELECT i.user_id, i.version, i.unread, i.unseen, i.total, i.broadcast, i.next_expiry
    FROM {inbox} i WHERE i.user_id {in_keys} AND i.broadcast < %s
    ORDER BY i.user_id {for_update}
"""
STORE = """
    UPDATE {inbox} SET version = %s, unread = %s, unseen = %s, total = %s, broadcast = %s,
        next_expiry = %s
    WHERE user_id = %s
"""


def _take_in_steps(user_ids: list[Any], number: int, using: str) -> int:
    """On SQLite, and wherever words are rendered for some."""
    sql, at = Sql(using), timezone.now()
    made = 0
    with transaction.atomic(using=using):
        if sql.postgres:
            sql.rows(HOLD_EVENTS, [sql.keys(user_ids), number])
        # The guard on the position stands in the locked row itself: whoever waited here for
        # another process's take-in finds its own inbox up to date.
        inboxes = [_Behind(*row) for row in sql.rows(LOCK_BEHIND, [sql.keys(user_ids), number])]
        if not inboxes:
            return 0
        for inbox in inboxes:
            inbox.next_expiry = stored_moment(inbox.next_expiry)
        lowest = min(inbox.broadcast for inbox in inboxes)
        events = (
            Event.objects.using(using)
            .filter(broadcast__gt=lowest, broadcast__lte=number)
            .filter(Q(expires_at=None) | Q(expires_at__gt=at))
            .select_related("type", "author")
            .order_by("broadcast")
        )
        choices = _choices([user_id_of(inbox.key) for inbox in inboxes], list(events), using)
        muted: list[tuple[Event, list[Any]]] = []
        for event in events:
            behind = [inbox for inbox in inboxes if inbox.broadcast < (event.broadcast or 0)]
            takers = [
                inbox
                for inbox in behind
                if _told(event, Channel.INBOX, user_id_of(inbox.key), choices)
            ]
            if len(takers) < len(behind):
                taken = {inbox.key for inbox in takers}
                left = [user_id_of(inbox.key) for inbox in behind if inbox.key not in taken]
                muted.append((event, left))
            made += _store_event(event, takers, choices, using)
        left_out.muted(muted, using=using)
        sql.run_many(
            STORE,
            [
                [i.version, i.unread, i.unseen, i.total, number, sql.time(i.next_expiry), i.key]
                for i in inboxes
            ],
        )
    return made


Choices = dict[tuple[Any, int, str], bool]


def _choices(user_ids: list[Any], events: list[Event], using: str) -> Choices:
    rows = Filter.objects.using(using).filter(
        user__in=user_ids, type__in={event.type_id for event in events}
    )
    return {(row.user_id, row.type_id, row.channel): row.enabled for row in rows}


def _told(event: Event, channel: Channel, user_id: Any, choices: Choices) -> bool:
    default = bool(getattr(event.type, channel.value))
    return event.type.critical or choices.get((user_id, event.type_id, channel.value), default)


def _store_event(event: Event, takers: list[_Behind], choices: Choices, using: str) -> int:
    rows, recipients = [], []
    words = own_words(event, [user_id_of(inbox.key) for inbox in takers], using=using)
    for inbox in takers:
        user_id = user_id_of(inbox.key)
        own = words.get(user_id)
        inbox.take(event)
        silent = not _told(event, Channel.LIVE, user_id, choices)
        rows.append(
            Notification(
                user_id=user_id,
                event_id=event.pk,
                arrived=inbox.version,
                version=inbox.version,
                silent=silent,
                **(asdict(own) if own is not None else {}),
            )
        )
        recipients.append(
            Recipient(
                user_id=user_id,
                version=inbox.version,
                unread=inbox.unread,
                unseen=inbox.unseen,
                silent=silent,
                words=own,
            )
        )
    if rows:
        Notification.objects.using(using).bulk_create(rows)
        announce(Arrived(event=event, recipients=recipients), using=using)
    return len(rows)
