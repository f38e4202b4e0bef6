"""The push road's part of an event's trace: deliveries, and what providers answered."""

from typing import Any

from django.db.models import Count, Exists, Min, OuterRef, Q

from notifications import inbox
from notifications.models import Channel, Event, Filter, Notification
from notifications.tracing import Fact, Happening, Section, muting
from routing.presence import Presence
from routing.push.models import Delivery, Device, Walk
from routing.push.planning import default_of

State = Delivery.State

MOST_ANSWERS = 50  # different answers of providers that are listed
MOST_DELIVERIES = 100  # of one user
TAKEN = (State.SENT, State.DEBUG)


class PushTeller:
    """See `notifications.tracing.Teller`."""

    permission = "hub_routing.view_delivery"

    def of_event(self, event: Event, *, using: str) -> list[Section]:
        """Five queries."""
        rows = Delivery.objects.using(using).filter(event=event.pk).order_by()
        numbers = rows.aggregate(
            planned=Count("pk"),
            sent=Count("pk", filter=Q(state__in=TAKEN)),
            users=Count("user", distinct=True, filter=Q(state__in=TAKEN)),
        )
        facts = [
            Fact(
                what="Acknowledged by",
                value=acknowledged(event.pk, using=using),
                note="users whose page was open and showed it",
            ),
            Fact(
                what="Pushed to",
                value=numbers["users"],
                note=f"users, on {numbers['sent']} of {numbers['planned']} devices planned for",
            ),
        ]
        walk = Walk.objects.using(using).filter(pk=event.pk).first()
        if walk is not None:
            so_far = f"up to device {walk.position} of {walk.last}"
            facts.append(Fact(what="Still walking", value=so_far, note=walk.last_error))
        return [
            Section(title="Push", facts=facts),
            *_by_state(rows),
            *_by_answer(rows),
        ]

    def of_user(
        self, event: Event, user: Any, notification: Notification | None, *, using: str
    ) -> list[Happening]:
        """At most seven queries."""
        found = _acknowledged(user, notification, using)
        rows = list(
            Delivery.objects.using(using)
            .filter(event=event.pk, user=user.pk)
            .select_related("application")
            .order_by("pk")[:MOST_DELIVERIES]
        )
        ids = [row.device_id for row in rows if row.device_id]
        devices = Device.objects.using(using).in_bulk(ids)
        for row in rows:
            found += _of_delivery(row, devices.get(row.device_id or 0))
        if notification is not None and not rows:
            found.append(_not_pushed(event, user, notification, using))
        return found


def _by_state(rows: Any) -> list[Section]:
    """How the deliveries of each provider stand."""
    counts = rows.values_list("backend", "application__name", "state").annotate(n=Count("pk"))
    table: dict[tuple[str, str], dict[str, int]] = {}
    for backend, application, state, number in counts:
        table.setdefault((backend, application or "none"), {})[state] = number
    shown = [state for state in State.values if any(state in row for row in table.values())]
    if not table:
        return []
    return [
        Section(
            title="Deliveries by provider",
            heads=["Provider", "Application", *shown],
            rows=[
                [*key, *(row.get(state, 0) for state in shown)]
                for key, row in sorted(table.items())
            ],
        )
    ]


def _by_answer(rows: Any) -> list[Section]:
    """What was said, in the provider's own words, the most frequent first."""
    answers = (
        rows.exclude(error="", status=None)
        .values_list("backend", "state", "status", "error")
        .annotate(number=Count("pk"), first=Min("pk"))
        .order_by("-number", "first")[:MOST_ANSWERS]
    )
    found = [
        [backend, state, "" if status is None else status, error or "accepted", number]
        for backend, state, status, error, number, _ in answers
    ]
    if not found:
        return []
    return [
        Section(
            title="In the provider's words",
            heads=["Provider", "State", "Status", "Answer", "Deliveries"],
            rows=found,
            note="What the hub decided itself (skipped, expired, cancelled) stands here too.",
        )
    ]


def acknowledged(event_id: int, *, using: str) -> int:
    """How many users have acknowledged the event, by two queries."""
    epoch = inbox.positions([], using=using).epoch
    rows = Presence.objects.using(using).filter(
        user=OuterRef("user_id"), epoch=epoch, acked__gte=OuterRef("arrived")
    )
    stored = Notification.objects.using(using).filter(event=event_id).order_by()
    return stored.filter(Exists(rows)).count()


def _acknowledged(user: Any, notification: Notification | None, using: str) -> list[Happening]:
    if notification is None:
        return []
    row = Presence.objects.using(using).filter(user=user.pk).first()
    at = f"connected until {row.until:%Y-%m-%d %H:%M:%S %Z}" if row and row.until else ""
    epoch = inbox.positions([], using=using).epoch
    if row is not None and row.epoch == epoch and row.acked >= notification.arrived:
        what = f"Acknowledged: an open page showed everything up to number {row.acked}"
        return [Happening(what=what, note=at)]
    return [Happening(what="Not acknowledged by an open page", note=at)]


def _of_delivery(row: Delivery, device: Device | None) -> list[Happening]:
    where = f"{row.backend} {device.short_hash}" if device is not None else row.backend
    if device is not None and device.name:
        where += f", {device.name}"
    elif row.device_id is None:
        where += f", {row.kind} {row.recipient}" if row.recipient else ", a device deleted since"
    application = row.application.name if row.application is not None else "no application"
    found = [
        Happening(
            what=f"Push planned to {where}",
            at=row.created_at,
            note=f"by {application}" + (", after quiet hours" if row.quiet else ""),
        )
    ]
    said = [f"{row.attempts} {'attempt' if row.attempts == 1 else 'attempts'}"]
    if row.status is not None:
        said.append(f"status {row.status}")
    if row.error:
        said.append(f"answer: {row.error}")
    if row.provider_id:
        said.append(f"the provider's id {row.provider_id}")
    if row.may_have_arrived and row.state != State.SENT:
        said.append("an attempt without an answer may have arrived")
    if row.state in Delivery.WAITING_STATES:
        said.append(f"due {row.due:%Y-%m-%d %H:%M:%S %Z}")
    found.append(
        Happening(
            what=f"Push {row.state} to {where}",
            at=row.sent_at or row.finished_at,
            note="; ".join(said),
        )
    )
    return found


def _not_pushed(event: Event, user: Any, notification: Notification, using: str) -> Happening:
    """Why there is no delivery, as far as it can be told now."""
    if event.push is False:
        why = "the sender wanted none"
    elif _mutes(event, user, using):
        at = notification.arrived_at or event.timestamp
        why = muting(event, user, at, channel=Channel.PUSH, using=using)
        if not default_of(event) and "by default" not in why:
            why = f"{why}; the type is not pushed by default"
    elif not Device.objects.using(using).active().filter(user=user.pk).exists():
        why = "no active device"
    else:
        why = "no device was active when it arrived, or the record of it is over"
    return Happening(what="Not pushed", note=why)


def _mutes(event: Event, user: Any, using: str) -> bool:
    """Whether no push of this type goes to the user, by their filter or by the type's default."""
    rows = Filter.objects.using(using).filter(
        type=event.type_id, channel=Channel.PUSH, user=user.pk
    )
    chosen = rows.values_list("enabled", flat=True).first()
    return not event.type.critical and not (default_of(event) if chosen is None else chosen)
