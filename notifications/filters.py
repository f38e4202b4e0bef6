"""A user's filter: what they want of each event type on each channel."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import router, transaction
from django.utils import timezone

from notifications import event_types
from notifications.errors import CriticalType, InvalidField, UnknownEventType
from notifications.models import Channel, EventType, Filter

CHANNELS = tuple(channel.value for channel in Channel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One active event type, and by channel whether the user gets it there."""

    type: EventType
    channels: Mapping[str, bool]


def read(user_id: Any) -> list[Choice]:
    """The user's whole filter, by the types' names: two queries, however many types there are."""
    types = event_types.active()
    rows = Filter.objects.using(_alias()).filter(user=user_id, type__in=types)
    chosen = {(row.type_id, row.channel): row.enabled for row in rows}
    return [
        Choice(
            type=row,
            channels={
                channel: row.critical or chosen.get((row.pk, channel), getattr(row, channel))
                for channel in CHANNELS
            },
        )
        for row in types
    ]


def replace_types_enabled(user_id: Any, *, types: Sequence[str | int]) -> None:
    """Switches the channel inbox on for the named types and off for all others.

    Types are given by name or by id; critical ones stay on, also unnamed.
    Raises `UnknownEventType`, and `InvalidField` for a type that is named twice.
    """
    active = event_types.active()
    known: dict[str | int, EventType] = {row.name: row for row in active}
    known |= {row.pk: row for row in active}
    enabled: set[int] = set()
    for position, wanted in enumerate(types):
        field = f"types_enabled.{position}"
        row = known.get(wanted)
        if row is None:
            raise _unknown(wanted, field)
        if row.pk in enabled:
            raise InvalidField.of(field, f"names {row.name} a second time")
        enabled.add(row.pk)
    chosen = {
        (row.pk, Channel.INBOX.value): row.pk in enabled for row in active if not row.critical
    }
    _store(user_id, chosen)


def set_channels(user_id: Any, *, types: Mapping[str, Mapping[str, bool]]) -> None:
    """Switches the named channels of the named types, and leaves everything else.

    Raises `UnknownEventType`, `InvalidField` for a channel that does not exist, and
    `CriticalType` for switching off a type that cannot be muted.
    """
    known = {row.name: row for row in event_types.active()}
    chosen: dict[tuple[int, str], bool] = {}
    for name, channels in types.items():
        row = known.get(name)
        if row is None:
            raise _unknown(name, f"types.{name}")
        for channel, enabled in channels.items():
            field = f"types.{name}.{channel}"
            if channel not in CHANNELS:
                raise InvalidField.of(field, "is not a channel")
            if row.critical and not enabled:
                detail = f"{name} is critical: it cannot be switched off."
                raise CriticalType(detail, fields={field: [detail]})
            if not row.critical:
                chosen[row.pk, channel] = enabled
    _store(user_id, chosen)


def _alias() -> str:
    return router.db_for_write(Filter)


def _unknown(wanted: str | int, field: str) -> UnknownEventType:
    detail = f"There is no event type {wanted!r}."
    return UnknownEventType(detail, fields={field: [detail]})


def _store(user_id: Any, chosen: Mapping[tuple[int, str], bool]) -> None:
    """Writes all of it or nothing. Always in the same order and also what is so already: of two
    requests at once the second waits at the first row, and then stands as a whole."""
    using, at = _alias(), timezone.now()
    rows = [
        Filter(user_id=user_id, type_id=type_id, channel=channel, enabled=enabled, changed_at=at)
        for (type_id, channel), enabled in sorted(chosen.items())
    ]
    with transaction.atomic(using=using):
        Filter.objects.using(using).bulk_create(
            rows,
            update_conflicts=True,
            unique_fields=["type", "channel", "user"],
            update_fields=["enabled", "changed_at"],
        )
