"""Plans deliveries: who of those that a notification reached is to be pushed to, and when.

Runs inside the transaction of a fan-out, under the locks of its inboxes: it reads and inserts, it
asks nobody and locks nothing.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Max
from django.utils import timezone

from notifications import EVERYONE
from notifications.event_types import declaration_of
from notifications.models import Channel, Event, Filter, Priority
from routing import presence
from routing.conf import conf
from routing.push import applications, quiet_hours
from routing.push.models import Delivery, Device, Walk

RANKS = {
    Priority.HIGH: Delivery.Rank.HIGH,
    Priority.NORMAL: Delivery.Rank.NORMAL,
    Priority.LOW: Delivery.Rank.LOW,
}


def plan(event: Event, recipients: Any, using: str) -> None:
    """For `notified`: plans the event's deliveries to `recipients`, or the walk of a broadcast."""
    if event.push is False:
        return
    if recipients is EVERYONE:
        plan_walk(event, using=using)
        return
    pushable = [recipient.user_id for recipient in recipients if recipient.pushable]
    if pushable:
        plan_users(event, pushable, using=using)


def plan_walk(event: Event, *, using: str) -> None:
    """Devices that are registered by now are walked through by the worker."""
    last = Device.objects.using(using).aggregate(last=Max("id"))["last"]
    if last is not None:
        Walk.objects.using(using).bulk_create(
            [Walk(event_id=event.pk, last=last)], ignore_conflicts=True
        )


def plan_users(event: Event, user_ids: Sequence[Any], *, using: str) -> int:
    """Plans for the active devices of these users; returns how many deliveries that makes."""
    devices = list(
        Device.objects.using(using)
        .active()
        .filter(user__in=user_ids)
        .order_by("pk")
        .only("user_id", "backend", "application_id", "origin")
    )
    return plan_devices(event, devices, using=using)


def plan_devices(event: Event, devices: Iterable[Device], *, using: str) -> int:
    """Plans for devices whose users have the notification; what is planned already stays."""
    at = timezone.now()
    if event.expires_at is not None and event.expires_at <= at:
        return 0
    found = list(devices)
    wanted = unmuted(event, {device.user_id for device in found}, using=using)
    found = [device for device in found if device.user_id in wanted]
    if not found:
        return 0
    times = _times(event, wanted, at=at, using=using)
    known = applications.current(using=using)
    rows = []
    for device in found:
        application = known.of_device(device.backend, device.application_id)
        due, quiet = times[device.user_id]
        rows.append(
            Delivery(
                event_id=event.pk,
                user_id=device.user_id,
                device_id=device.pk,
                application=application,
                backend=device.backend,
                origin=device.origin,
                rank=RANKS[Priority(event.priority)],
                due=due,
                quiet=quiet,
                expires_at=expiry(event, due),
                created_at=at,
            )
        )
    Delivery.objects.using(using).bulk_create(rows, ignore_conflicts=True)
    return len(rows)


def unmuted(event: Event, user_ids: Iterable[Any], *, using: str) -> set[Any]:
    """Those who get pushes of this type. Nobody can switch off a critical one."""
    users = set(user_ids)
    if event.type.critical or not users:
        return users
    rows = Filter.objects.using(using).filter(
        type=event.type_id, channel=Channel.PUSH, user__in=users
    )
    chosen = dict(rows.values_list("user_id", "enabled"))
    default = default_of(event)
    return {user_id for user_id in users if chosen.get(user_id, default)}


def default_of(event: Event) -> bool:
    """Whether the event is pushed to who has chosen nothing. A sender that gives push options, or
    true, wants it pushed; what the user has chosen counts more."""
    return bool(event.type.push) if event.push is None else event.push is not False


def _times(
    event: Event, users: Iterable[Any], *, at: datetime, using: str
) -> dict[Any, tuple[datetime, bool]]:
    """When each user's deliveries are due, and whether it is quiet hours that they wait for."""
    if event.type.critical:
        return dict.fromkeys(users, (at, False))
    users = list(users)
    grace = grace_of(event)
    looking = presence.looking(users) if grace else set()
    hours = quiet_hours.of_users(users, using=using)
    found = {}
    for user_id in users:
        due = at + grace if user_id in looking else at
        end = hours[user_id].end_after(due) if user_id in hours else None
        found[user_id] = (end or due, end is not None)
    return found


def grace_of(event: Event) -> timedelta:
    """How long an acknowledgement is waited for."""
    declared = declaration_of(event.type.name)
    if declared is not None and declared.grace is not None:
        return declared.grace
    return conf().grace


def expiry(event: Event, due: datetime) -> datetime:
    """When nothing is tried any more, whatever the delivery waits for."""
    latest = due + conf().push_wait
    return latest if event.expires_at is None else min(latest, event.expires_at)
