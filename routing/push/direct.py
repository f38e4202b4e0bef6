"""Direct pushes: to devices, to a user's devices, or to a topic, without an inbox in between.

A direct push has an event without audience. Its deliveries go the way of all others: through the
worker, with retries and a visible state. With `persist=False` they go at once, without a row.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone

from notifications.models import Event, EventType
from routing.conf import conf
from routing.push import applications, notes
from routing.push.backends.base import PushBackend
from routing.push.deliveries import alias
from routing.push.models import Application, Delivery, Device
from routing.push.outcomes import (
    Address,
    InvalidAddress,
    Note,
    Outcome,
    PayloadTooLarge,
    Prepared,
    Verdict,
)
from routing.push.planning import RANKS
from routing.push.sending import time_limit

#: The type of events that nobody declared: it is inactive, so that no list of types shows it.
TYPE = "direct_push"
CHUNK = 500  # deliveries stored by one statement
KINDS = ("topic", "condition", "alias")


class NothingToSend(ValueError):
    """There is no device, or no application, to send to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One place that a direct push goes to."""

    application: Application
    address: Address
    device: Device | None = None


def targets_of(devices: Iterable[Device], *, using: str) -> list[Target]:
    """Active devices that have an application; all others are left out."""
    known = applications.current(using=using)
    found = []
    for device in devices:
        application = known.of_device(device.backend, device.application_id)
        if device.active and application is not None:
            found.append(Target(application=application, address=_address(device), device=device))
    return found


def _address(device: Device) -> Address:
    about = {
        "environment": device.environment, "type": device.type, "locale": device.locale,
    }  # fmt: skip
    return Address(
        token=device.token, extra={**device.extra, **about}, registered_at=device.registered_at
    )


def recipient(application: Application, *, kind: str, recipient: str) -> Target:
    """A topic, condition or alias that only the provider knows."""
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}")
    return Target(application=application, address=Address(token=recipient, kind=kind))


def make_event(
    *, title: str, message: str, push: Mapping[str, Any], using: str, save: bool
) -> Event:
    """The event of a direct push. Raises `UnsupportedOption`."""
    notes.check_options(push)
    rows = EventType.objects.using(using)
    kind, _ = rows.get_or_create(name=TYPE, defaults={"title": "Message", "active": False})
    event = Event(
        type=kind,
        title=title,
        message=message,
        push=dict(push),
        priority=push.get("priority", "normal"),
        timestamp=timezone.now(),
    )
    if save:
        event.save(using=using)
    return event


def push(
    targets: Sequence[Target],
    *,
    title: str = "",
    message: str = "",
    options: Mapping[str, Any] | None = None,
    using: str | None = None,
) -> Event:
    """Plans a push to each target; the worker sends it. Returns the event.

    Raises `UnsupportedOption`, and `PayloadTooLarge` before anything is stored.
    """
    database = alias(using)
    given = dict(options or {})
    check(targets, title=title, message=message, options=given, using=database)
    at = timezone.now()
    with transaction.atomic(using=database):
        event = make_event(title=title, message=message, push=given, using=database, save=True)
        rows = [_row(event, target, at) for target in targets]
        Delivery.objects.using(database).bulk_create(rows, batch_size=CHUNK)
    return event


def _row(event: Event, target: Target, at: Any) -> Delivery:
    device = target.device
    return Delivery(
        event_id=event.pk,
        user_id=device.user_id if device is not None else None,
        device_id=device.pk if device is not None else None,
        application=target.application,
        backend=target.application.backend if device is None else device.backend,
        origin=device.origin if device is not None else "",
        recipient="" if device is not None else target.address.token,
        kind=target.address.kind,
        direct=True,
        rank=RANKS[event.priority],  # type: ignore[index]
        due=at,
        expires_at=at + conf().push_wait,
        created_at=at,
    )


def send_to_user(user: Any, *, title: str = "", message: str = "", **options: Any) -> Event:
    """A direct push to all active devices of a user. Raises `NothingToSend`."""
    return send_to_devices(
        Device.objects.using(alias()).active().filter(user=user),
        title=title,
        message=message,
        **options,
    )


def send_to_device(device: Device, *, title: str = "", message: str = "", **options: Any) -> Event:
    """A direct push to one device. Raises `NothingToSend` where it is inactive."""
    return send_to_devices([device], title=title, message=message, **options)


def send_to_devices(
    devices: Iterable[Device], *, title: str = "", message: str = "", **options: Any
) -> Event:
    """A direct push to devices, e.g. a queryset of them. Raises `NothingToSend`."""
    targets = targets_of(devices, using=alias())
    if not targets:
        raise NothingToSend("there is no active device to send to")
    return push(targets, title=title, message=message, options=options)


def note_for(event: Event, *, target: Target) -> Note:
    return notes.note_of(
        event,
        words=notes.Words(),
        unread=None,
        folded=0,
        locale=str(target.address.extra.get("locale", "")),
        at=timezone.now(),
        ttl=conf().push_ttl,
    )


def check(
    targets: Sequence[Target], *, title: str, message: str, options: Mapping[str, Any], using: str
) -> None:
    """Renders it once per application: what is too long for a provider is said before anything is
    stored. Raises `UnsupportedOption`, `PayloadTooLarge` or `InvalidAddress`."""
    event = make_event(title=title, message=message, push=options, using=using, save=False)
    seen: dict[int, Target] = {}
    for target in targets:
        seen.setdefault(target.application.pk, target)
    for target in seen.values():
        kind = applications.backend_of(target.application)
        backend = kind(applications.credentials_of(target.application))
        backend.render(note_for(event, target=target), target.address, ref=0)


def send_now(
    targets: Sequence[Target],
    *,
    title: str = "",
    message: str = "",
    options: Mapping[str, Any] | None = None,
    batch_size: int = 100,
    using: str | None = None,
) -> Counter[str]:
    """Sends at once and keeps no row: nothing is retried, and no device is judged by the answers.

    Returns how often each verdict was given. Raises `UnsupportedOption`.
    """
    database = alias(using)
    event = make_event(
        title=title, message=message, push=dict(options or {}), using=database, save=False
    )
    found: Counter[str] = Counter()
    groups: dict[int, list[Target]] = {}
    for target in targets:
        groups.setdefault(target.application.pk, []).append(target)
    for group in groups.values():
        kind = applications.backend_of(group[0].application)
        backend = kind(applications.credentials_of(group[0].application))
        prepared: list[Prepared] = []
        for number, target in enumerate(group):
            try:
                backend.check_address(target.address)
                note = note_for(event, target=target)
                prepared.append(backend.render(note, target.address, ref=number))
            except (InvalidAddress, PayloadTooLarge):
                found[Verdict.REFUSED.value] += 1
        found.update(asyncio.run(_send(backend, prepared, batch_size)))
    return found


async def _send(
    backend: PushBackend, prepared: Sequence[Prepared], batch_size: int
) -> Counter[str]:
    found: Counter[str] = Counter()
    await backend.open()
    try:
        for start in range(0, len(prepared), batch_size):
            batch = prepared[start : start + batch_size]
            missing = {message.ref for message in batch}
            try:
                async with asyncio.timeout(time_limit(type(backend)).total_seconds()):
                    async with aclosing(backend.send(batch)) as answers:
                        async for ref, outcome in answers:
                            if ref in missing:
                                missing.remove(ref)
                                found[_word(outcome)] += 1
            except Exception:
                found[Verdict.RETRY.value] += len(missing)
                missing = set()
            found[Verdict.RETRY.value] += len(missing)
    finally:
        await backend.aclose()
    return +found


def _word(outcome: Outcome) -> str:
    return outcome.verdict.value
