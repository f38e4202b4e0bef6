"""Right before messages are handed over: what is still to be sent, and in which words.

Between planning and now the notification may have been read, acknowledged, archived, deleted or
muted, the device may have gone to somebody else, the claim may be another worker's. What is
dropped here is decided; what has to wait is given back.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import F, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import JSONObject, Now
from django.utils import timezone

from notifications import inbox
from notifications.models import Channel, Event, Filter, Notification
from notifications.templating.wording import Said, push_words
from routing import presence
from routing.push import planning, quiet_hours
from routing.push.deliveries import Change, Claim
from routing.push.models import Delivery, DeliveryQuerySet
from routing.push.notes import Words
from routing.push.outcomes import Address
from routing.push.pausing import PAUSED, SUSPENDED, Blocked
from routing.push.quiet_hours import QuietHours

State = Delivery.State


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A delivery that is to be sent now."""

    row: Delivery
    words: Words
    #: The badge, unless the event says otherwise: the recipient's own, or the unread ones.
    unread: int | None
    address: Address
    #: The database's time when it was read.
    at: datetime


@dataclass(slots=True, kw_only=True)
class Reread:
    ready: list[Ready] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Context:
    """What several deliveries share."""

    at: datetime
    acked: dict[Any, int]
    unread: dict[Any, int]
    hours: dict[Any, QuietHours]
    blocked: Blocked
    #: What a push says by (event, user), where a template has words for it.
    said: dict[tuple[int | None, Any], Said] = field(default_factory=dict)


class _NotNow(Exception):
    """Why a delivery is not sent now: for good (a final state), or not before `due`."""

    def __init__(
        self, state: str, reason: str, *, due: datetime | None = None, quiet: bool = False
    ) -> None:
        super().__init__(reason)
        self.state, self.reason, self.due, self.quiet = state, reason, due, quiet


def reread(claim: Claim, *, limit: timedelta, blocked: Blocked, using: str) -> Reread:
    """Looks at claimed rows again; `limit` is how long handing them over may take.

    Rows that are not this claim's any more, or whose lease ends within `limit`, are left out.
    """
    held = Delivery.objects.using(using).filter(
        pk__in=claim.ids, claim=claim.id, state=State.SENDING, lease__gte=Now() + limit
    )
    users = set(held.exclude(user=None).values_list("user_id", flat=True))
    positions = inbox.positions(users, using=using)
    context = _Context(
        at=timezone.now(),
        acked=presence.acked(users, epoch=positions.epoch),
        unread={user_id: stand.unread for user_id, stand in positions.inboxes.items()},
        hours=quiet_hours.of_users(users, using=using),
        blocked=blocked,
    )
    found = Reread()
    # Last, so that nothing is older than what it says. In the order in which they were claimed.
    rows = sorted(_rows(held), key=lambda row: (row.rank, row.due, row.pk))
    events = _events({row.event_id for row in rows}, using)
    types = {event.type_id for event in events.values()}
    chosen = _choices(users, types, using)
    readers = [
        (events[row.event_id], row.user_id, row.direct) for row in rows if row.event_id in events
    ]
    context.said.update(push_words(readers, using=using))
    for row in rows:
        try:
            event = events.get(row.event_id)
            if event is None:
                # Retention or a deletion took it: keys to it carry no constraint.
                raise _NotNow(State.SKIPPED, "event deleted")
            row.event = event
            row.chosen = chosen.get(  # type: ignore[attr-defined]
                (row.user_id, event.type_id)
            )
            found.ready.append(_ready(row, context))
        except _NotNow as reason:
            found.changes.append(_change(row, reason))
    _fold(found, using)
    return found


def _rows(held: DeliveryQuerySet) -> "QuerySet[Delivery]":
    mine = {"user": OuterRef("user_id"), "event": OuterRef("event_id")}
    notification = Notification.objects.using(held.db).filter(**mine)
    columns = ("arrived", "read_at", "archived_at", "expired_at", "deleted_at")
    words = ("title", "message", "url")
    active = F("device__user__is_active") if _has_active() else Value(True)
    return held.select_related("device").annotate(
        user_active=active,
        notification=Subquery(
            notification.values(found=JSONObject(**{name: F(name) for name in (*columns, *words)}))[
                :1
            ]
        ),
        now=Now(),
    )


def _has_active() -> bool:
    return any(field.name == "is_active" for field in get_user_model()._meta.get_fields())


def _events(ids: set[int], using: str) -> dict[int, Event]:
    """Apart from the rows: many rows are of few events."""
    return Event.objects.using(using).select_related("type").in_bulk(ids)


def _choices(users: set[Any], types: set[int], using: str) -> dict[tuple[Any, int], bool]:
    """What these users have chosen of the channel push."""
    rows = Filter.objects.using(using).filter(user__in=users, type__in=types, channel=Channel.PUSH)
    return {(row.user_id, row.type_id): row.enabled for row in rows}


def _ready(row: Delivery, context: _Context) -> Ready:
    """Raises `_NotNow`."""
    now: datetime = row.now  # type: ignore[attr-defined]
    notification: dict[str, Any] = row.notification or {}  # type: ignore[attr-defined]
    _check_device(row)
    if row.expires_at <= now or (row.event.expires_at and row.event.expires_at <= now):
        raise _NotNow(State.EXPIRED, row.error or "too old")
    if row.give_up_at is not None and row.give_up_at <= now:
        raise _NotNow(State.EXPIRED, row.error or "too old")
    if not row.direct:
        _check_inbox(row, notification, context)
        if not row.event.type.critical:
            _check_wishes(row, context, now)
    _check_pauses(row, context, now)
    own: dict[str, Any] = {key: notification.get(key) for key in ("title", "message", "url")}
    said = context.said.get((row.event_id, row.user_id), Said())
    return Ready(
        row=row,
        words=Words(**own).said(said),
        unread=context.unread.get(row.user_id) if row.badge is None else row.badge,
        address=address_of(row),
        at=now,
    )


def _check_device(row: Delivery) -> None:
    if row.kind != "device":
        return
    device = row.device if row.device_id is not None else None
    if device is None:
        raise _NotNow(State.SKIPPED, "device deleted")
    if not device.active or not device.live:
        raise _NotNow(State.SKIPPED, device.inactivity)
    if device.user_id != row.user_id:
        raise _NotNow(State.SKIPPED, "device of another user")
    if row.user_active is False:  # type: ignore[attr-defined]
        raise _NotNow(State.SKIPPED, "user inactive")


def _check_inbox(row: Delivery, notification: dict[str, Any], context: _Context) -> None:
    if not notification or notification["deleted_at"]:
        raise _NotNow(State.SKIPPED, "deleted")
    for column, word in (("read_at", "read"), ("archived_at", "archived")):
        if notification[column]:
            raise _NotNow(State.SKIPPED, word)
    if notification["expired_at"]:
        raise _NotNow(State.EXPIRED, "expired")
    if notification["arrived"] <= context.acked.get(row.user_id, 0):
        raise _NotNow(State.SKIPPED, "acknowledged")


def _check_wishes(row: Delivery, context: _Context, now: datetime) -> None:
    chosen = row.chosen  # type: ignore[attr-defined]
    if not (planning.default_of(row.event) if chosen is None else chosen):
        raise _NotNow(State.SKIPPED, "muted")
    hours = context.hours.get(row.user_id)
    end = hours.end_after(now) if hours is not None else None
    if end is not None:
        raise _NotNow("", "quiet hours", due=end, quiet=True)


def _check_pauses(row: Delivery, context: _Context, now: datetime) -> None:
    device = row.device
    if device is not None and device.suspended_until and device.suspended_until > now:
        raise _NotNow("", SUSPENDED, due=device.suspended_until)
    if context.blocked.whole or row.origin in context.blocked.origins:
        raise _NotNow("", PAUSED)


def _change(row: Delivery, reason: _NotNow) -> Change:
    final = bool(reason.state)
    return Change(
        id=row.pk,
        claim=row.claim,
        state=reason.state or (State.ERROR_RETRY if row.attempts else State.WAITING),
        attempts=row.attempts,
        # Nobody was asked: this claim does not count.
        claims=max(row.claims - 1, 0),
        due=reason.due,
        give_up_at=row.give_up_at,
        error=str(reason),
        status=row.status,
        provider_id=row.provider_id,
        may_have_arrived=row.may_have_arrived,
        quiet=row.quiet or reason.quiet,
        finished_at=row.now if final else None,  # type: ignore[attr-defined]
    )


def _fold(found: Reread, using: str) -> None:
    """Of what waited for the end of quiet hours each device gets one push: the newest."""
    newest: dict[int, Ready] = {}
    folded: dict[int, int] = {}
    waited = [ready for ready in found.ready if ready.row.quiet and ready.row.device_id]
    for ready in sorted(waited, key=lambda ready: ready.row.event_id):
        newest[ready.row.device_id or 0] = ready
    for device_id, last in newest.items():
        reason = _NotNow(State.SKIPPED, f"one push for all of the quiet hours: {last.row.pk}")
        others = [
            ready
            for ready in waited
            if ready.row.device_id == device_id and ready.row.pk != last.row.pk
        ]
        found.changes += [_change(other.row, reason) for other in others]
        dropped = {other.row.pk for other in others}
        found.ready = [ready for ready in found.ready if ready.row.pk not in dropped]
        folded[device_id] = len(others) + _fold_unclaimed(last.row, str(reason), using)
    for device_id, count in folded.items():
        if count:
            row = newest[device_id].row
            row.folded += count
            Delivery.objects.using(using).filter(pk=row.pk).update(folded=row.folded)


def _fold_unclaimed(last: Delivery, reason: str, using: str) -> int:
    """The same for what this claim had no room for."""
    rows = Delivery.objects.using(using).due().filter(device=last.device_id, quiet=True)
    older = rows.filter(event__lt=last.event_id)
    return older.update(state=State.SKIPPED, error=reason, finished_at=Now())


def address_of(row: Delivery) -> Address:
    """Where it goes: the device's address, or what the provider itself knows."""
    device = row.device
    if device is None:
        return Address(token=row.recipient, kind=row.kind)
    return Address(
        token=device.token,
        kind=row.kind,
        extra={
            **device.extra,
            "environment": device.environment,
            "type": device.type,
            "locale": device.locale,
        },
        registered_at=device.registered_at,
    )
