"""What became of an event, for everybody it addressed and for one user of them.

The domain tells of inboxes; a road that wants its part told adds a `Teller`. Every part costs a
constant number of queries.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from django.db.models import Count, Q
from django.utils import timezone

from notifications import filters, left_out
from notifications.audiences import stored_key
from notifications.conf import conf
from notifications.models import (
    Audience,
    Channel,
    Event,
    Filter,
    Inbox,
    LeftOut,
    Notification,
)
from notifications.sql import Sql

Rule = LeftOut.Rule

NOT_ADDRESSED = "Not addressed."

NAMED = """
    SELECT state FROM {audience} WHERE event_id = %s
    AND EXISTS (SELECT 1 FROM json_each(user_ids) WHERE json_quote(value) = %s)
"""
NAMED_POSTGRES = "SELECT state FROM {audience} WHERE event_id = %s AND user_ids @> %s::jsonb"

#: What each rule is called on the page, of n users.
RULES = {
    Rule.MUTED: "muted the type",
    Rule.INACTIVE: "inactive users",
    Rule.UNKNOWN: "unknown users",
    Rule.EXPIRED: "expired before it arrived",
    Rule.ALREADY: "had it already",
    Rule.DROPPED: "dropped by hand while it was parked",
    Rule.CHANGED: "a filter or the user changed at that moment",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One line: what, how many (or which), and what there is to add."""

    what: str
    value: Any
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    title: str
    facts: Sequence[Fact] = ()
    #: A table instead of facts: its heads, and rows as long as they are.
    heads: Sequence[str] = ()
    rows: Sequence[Sequence[Any]] = ()
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """Something that happened to the event for one user; `at` is None where no time was kept."""

    what: str
    at: datetime | None = None
    note: str = ""


@dataclass(slots=True, kw_only=True)
class Story:
    """What became of the event for one user: the verdict in a sentence, and what happened."""

    user: Any
    verdict: str
    happenings: list[Happening] = field(default_factory=list)


class Teller(Protocol):
    """A part of the trace. Whoever lacks the permission is not told this part."""

    permission: str

    def of_event(self, event: Event, *, using: str) -> list[Section]: ...

    def of_user(
        self, event: Event, user: Any, notification: Notification | None, *, using: str
    ) -> list[Happening]: ...


tellers: list[Teller] = []


def add(teller: Teller) -> None:
    """For a road, at the start."""
    if teller not in tellers:
        tellers.append(teller)


# of everybody


def of_event(event: Event, *, using: str) -> list[Section]:
    """The domain's part: five queries. Counting the notifications of an event reads as many rows
    as it has, found by the index on `event`."""
    stored = Notification.objects.using(using).filter(event=event.pk).order_by()
    numbers = stored.aggregate(
        total=Count("pk"),
        silent=Count("pk", filter=Q(silent=True)),
        **{
            name: Count(f"{name}_at") for name in ("seen", "read", "archived", "expired", "deleted")
        },
    )
    return [_fan_out(event, numbers["total"], using), _states(numbers)]


def fan_out(event: Event, *, using: str) -> Section:
    """How far the event has come."""
    return _fan_out(event, Notification.objects.using(using).filter(event=event.pk).count(), using)


def _fan_out(event: Event, total: int, using: str) -> Section:
    facts = [Fact(what="Stored", value=event.timestamp)]
    if event.broadcast is not None:
        note = "Inboxes take it in when their users are there; so the numbers still grow."
        facts.append(Fact(what="Broadcast", value=f"number {event.broadcast}", note=note))
    facts.append(Fact(what="Fanned out to", value=total))
    counts = left_out.counts(event.pk, using=using)
    for rule, label in RULES.items():
        if rule in counts:
            value = counts[rule] if counts[rule] >= 0 else "everybody"
            facts.append(Fact(what=f"Left out: {label}", value=value))
    if not counts:
        facts.append(Fact(what="Left out", value=0))
    facts += _waiting(event, using)
    return Section(title="Fan-out", facts=facts)


def _waiting(event: Event, using: str) -> list[Fact]:
    rows = Audience.objects.using(using).filter(event=event.pk).order_by()
    facts = []
    groups = rows.values_list("state", "plan_only").annotate(number=Count("pk"))
    for state, plan_only, number in groups:
        what = "Audiences whose push is still to be planned" if plan_only else "Audiences to go"
        facts.append(Fact(what=what, value=number, note=state))
    if facts:
        error = rows.exclude(last_error="").values_list("last_error", flat=True).first()
        facts.append(Fact(what="Their last error", value=error or "none"))
    return facts


def _states(numbers: dict[str, int]) -> Section:
    facts = [
        Fact(what=name.capitalize(), value=numbers[name])
        for name in ("seen", "read", "archived", "deleted", "expired")
    ]
    facts.append(
        Fact(what="Arrived silently", value=numbers["silent"], note="the channel live was off")
    )
    return Section(title="In the inboxes", facts=facts)


# of one user


def of_user(event: Event, user: Any, *, using: str) -> tuple[Story, Notification | None]:
    """What became of the event for this user, as far as it is kept."""
    row = Notification.objects.using(using).filter(user=user.pk, event=event.pk).first()
    if row is not None:
        return Story(user=user, verdict=_verdict(row), happenings=_happenings(event, row)), row
    records = left_out.of_user(event.pk, user.pk, using=using)
    if records:
        last = records[-1]
        verdict = _left_out_verdict(event, user, last, using)
        happened = Happening(what=f"Left out: {RULES[Rule(last.rule)]}", at=last.at)
        return Story(user=user, verdict=verdict, happenings=[happened]), None
    return Story(user=user, verdict=_no_record(event, user, using)), None


def _verdict(row: Notification) -> str:
    if row.deleted_at:
        return "It arrived, and was deleted."
    if row.expired_at:
        return "It arrived, and has expired."
    where = "in the archive" if row.archived_at else "in the inbox"
    if row.read_at:
        return f"It is {where}, read."
    return f"It is {where}, {'seen, but not read' if row.seen_at else 'not seen yet'}."


def _happenings(event: Event, row: Notification) -> list[Happening]:
    silent = "silently: the channel live was off" if row.silent else ""
    found = [Happening(what="Stored", at=event.timestamp)]
    found.append(
        Happening(what=f"Arrived, as number {row.arrived}", at=row.arrived_at, note=silent)
    )
    found += [
        Happening(what=name.capitalize(), at=getattr(row, f"{name}_at"))
        for name in ("seen", "read", "archived", "expired", "deleted")
        if getattr(row, f"{name}_at")
    ]
    return found


def _left_out_verdict(event: Event, user: Any, record: LeftOut, using: str) -> str:
    rule = Rule(record.rule)
    if rule == Rule.MUTED:
        return f"They had muted {event.type.name}: {muting(event, user, record.at, using=using)}."
    return {
        Rule.INACTIVE: "They were inactive.",
        Rule.UNKNOWN: "There was no such user yet.",
        Rule.EXPIRED: "The event had expired before it could arrive.",
        Rule.ALREADY: "They had it already; what they had was purged since.",
        Rule.DROPPED: "They were addressed, and somebody dropped the parked audience.",
    }.get(rule, "Their filter, or they themselves, changed at that very moment.")


def muting(
    event: Event, user: Any, at: datetime, *, channel: str = Channel.INBOX, using: str
) -> str:
    """Which filter mutes the event's type for the user, and since when; what became of it since."""
    row = (
        Filter.objects.using(using)
        .filter(user=user.pk, type=event.type_id, channel=channel)
        .first()
    )
    if row is None:
        return f"the channel {channel} is off by default, and they have chosen nothing else"
    when = timezone.localtime(row.changed_at).strftime("%Y-%m-%d %H:%M:%S %Z")
    if not row.enabled:
        changed = "" if row.changed_at <= at else ", changed again after this event"
        return f"their filter has the channel {channel} off since {when}{changed}"
    return f"their filter had the channel {channel} off then; it is on again since {when}"


def _no_record(event: Event, user: Any, using: str) -> str:
    """Neither a notification nor a record of being left out."""
    inbox = Inbox.objects.using(using).filter(pk=user.pk).first()
    if event.broadcast is not None:
        return _broadcast_verdict(event, user, inbox, using)
    state = _waiting_for(event, user, using)
    if state is not None:
        return f"They are addressed; the fan-out to them is {state}."
    for rule in _of_everybody(event, using):
        how = "expired" if rule == Rule.EXPIRED else "was dropped by hand"
        return f"It was for everybody, and {how} before anybody could get it."
    purged = timezone.now() - conf().tombstones
    if inbox is not None and inbox.floor > 0 and event.timestamp < purged:
        return "Not addressed; or they had it, and deleted it so long ago that no trace is kept."
    return NOT_ADDRESSED


def _of_everybody(event: Event, using: str) -> list[str]:
    rows = LeftOut.objects.using(using).filter(event=event.pk, user_ids__isnull=True)
    return list(rows.values_list("rule", flat=True)[:1])


def _broadcast_verdict(event: Event, user: Any, inbox: Inbox | None, using: str) -> str:
    if inbox is None or inbox.broadcast < (event.broadcast or 0):
        over = event.expires_at is not None and event.expires_at <= timezone.now()
        if over:
            return "Addressed, as everybody; it expired before they came back."
        if not getattr(user, "is_active", True):
            return "Addressed, as everybody; but they are inactive."
        if not _told(event, user, using):
            why = muting(event, user, timezone.now(), using=using)
            return f"Addressed, as everybody. They have not been back, and mute it now: {why}."
        return "Addressed, as everybody. It arrives when they come back."
    joined = getattr(user, "date_joined", None)
    if joined is not None and joined > event.timestamp:
        return "Not addressed: they signed up after this broadcast."
    if event.expires_at is not None and event.expires_at <= timezone.now():
        return "Addressed, as everybody; it expired before they came back."
    return "No trace: they signed up after this broadcast, or deleted it long ago."


def _told(event: Event, user: Any, using: str) -> bool:
    choices = {choice.type.pk: choice.channels for choice in filters.read(user.pk)}
    return bool(choices.get(event.type_id, {}).get(Channel.INBOX, True))


def _waiting_for(event: Event, user: Any, using: str) -> str | None:
    """The state of the Audience row that names the user, if one still does."""
    rows = Audience.objects.using(using).filter(event=event.pk)
    if rows.filter(everyone=True).exists():
        return str(rows.filter(everyone=True).values_list("state", flat=True)[0])
    sql = Sql(using)
    key = json.dumps(stored_key(user.pk))
    found = sql.rows(NAMED_POSTGRES if sql.postgres else NAMED, [event.pk, key])
    return str(found[0][0]) if found else None
