"""Devices as they are: logout, change, deletion, and the end of an address.

Locks are taken in the order inboxes (by user), devices, deliveries.
"""

import hashlib
import logging
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.db import router, transaction
from django.db.models.functions import Now
from django.utils import timezone

from notifications import inbox
from notifications.errors import HubError, InvalidField
from notifications.models import Inbox
from routing.conf import conf
from routing.push import deliveries, quiet_hours
from routing.push.models import Delivery, Device
from routing.push.signals import device_deactivated, device_updated, tell

logger = logging.getLogger(__name__)

CHUNK = 500  # rows deleted in one transaction
#: What an owner may say of a device.
METADATA = (
    "name", "type", "client_id", "app_version", "os_version", "locale", "time_zone",
)  # fmt: skip
TYPES = ("ios", "android", "web", "windows")

Reason = Device.Reason


class TokenElsewhere(HubError):
    """The device's token belongs to another device row now."""

    code = "token_elsewhere"


def hash_of(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def alias(using: str | None = None) -> str:
    return using or router.db_for_write(Device)


def lock_inboxes(user_ids: Iterable[Any], using: str) -> None:
    """In user order, as a fan-out does; a send then sees all of a registration or nothing.

    None, the owner of devices that are nobody's, has no inbox.
    """
    keys = sorted(set(user_ids) - {None})
    inbox.ensure(keys, using=using)
    rows = Inbox.objects.using(using).select_for_update().filter(pk__in=keys).order_by("pk")
    list(rows.values_list("pk"))


def end(device: Device, reason: Reason, at: datetime, using: str) -> None:
    """The row gives its token up; what waits for it is not sent."""
    was_active = device.active
    device.active, device.live = False, False
    device.deactivated_at, device.reason = at, reason
    device.save(using=using)
    if was_active:
        deactivated(device, reason, using)


def deactivated(device: Device, reason: Reason, using: str) -> None:
    rows = Delivery.objects.using(using).filter(device=device.pk)
    deliveries.skip(rows, reason=f"device inactive: {reason}")
    tell(device_deactivated, using=using, device=device, reason=reason)
    logger.info("deactivated device=%s user=%s reason=%s", device.pk, device.user_id, reason)


def cap(user_id: Any, device: Device, at: datetime, using: str) -> None:
    """At most so many rows per user: the oldest inactive one goes, or else the oldest."""
    rows = Device.objects.using(using).filter(user=user_id).exclude(pk=device.pk)
    most = max(conf().devices_per_user, 1) - 1
    for old in rows.order_by("-active", "-registered_at", "-pk")[most:]:
        _remove(old, Reason.CAPPED, at, using)


def _remove(device: Device, reason: Reason, at: datetime, using: str) -> None:
    if device.active:
        end(device, reason, at, using)
    Delivery.objects.using(using).filter(device=device.pk).update(device=None)
    Device.objects.using(using).filter(pk=device.pk).delete()


def set_pushable(user_ids: Iterable[Any], using: str) -> None:
    """Under the inboxes' locks: whether the push road is to be asked for these users."""
    wanted = sorted(set(user_ids) - {None})
    have = set(Device.objects.using(using).active().filter(user__in=wanted).values_list("user_id"))
    stored = dict(Inbox.objects.using(using).filter(pk__in=wanted).values_list("pk", "pushable"))
    for user_id in wanted:
        pushable = (user_id,) in have
        if stored.get(user_id) != pushable:
            inbox.set_pushable(user_id, pushable, using=using)


def clean_metadata(given: Mapping[str, str]) -> dict[str, str]:
    """What an owner says of a device. Raises `InvalidField`."""
    for key, value in given.items():
        if key not in METADATA:
            raise InvalidField.of(key, "is not known")
        longest = getattr(Device._meta.get_field(key), "max_length", 0)
        if not isinstance(value, str) or len(value) > longest or not value.isprintable():
            raise InvalidField.of(key, f"must be at most {longest} printable characters")
    if given.get("type", "") not in ("", *TYPES):
        raise InvalidField.of("type", f"must be one of {', '.join(TYPES)}")
    if given.get("time_zone"):
        quiet_hours.zone(given["time_zone"])
    return dict(given)


def change(device: Device, *, using: str | None = None, **given: Any) -> Device:
    """Changes what an owner may change: `active` and the metadata.

    Raises `TokenElsewhere` for activating a device whose token another one has now.
    """
    database, at = alias(using), timezone.now()
    said = clean_metadata({key: value for key, value in given.items() if key != "active"})
    with transaction.atomic(using=database):
        lock_inboxes([device.user_id], database)
        rows = Device.objects.using(database).select_for_update()
        row = rows.get(pk=device.pk)
        was_active = row.active
        for key, value in said.items():
            setattr(row, key, value)
        active = given.get("active", was_active)
        if active and not was_active:
            _take_back(row, database)
        if active != was_active:
            row.active, row.deactivated_at = active, None if active else at
            row.reason = "" if active else Reason.LOGOUT
        row.save(using=database)
        set_pushable([row.user_id], database)
        if was_active and not active:
            deactivated(row, Reason.LOGOUT, database)
        else:
            tell(device_updated, using=database, device=row)
    return row


def _take_back(row: Device, using: str) -> None:
    others = Device.objects.using(using).live().exclude(pk=row.pk)
    if others.filter(backend=row.backend, token_hash=row.token_hash).exists():
        raise TokenElsewhere("Another device has this one's token now: register it again.")
    row.live = True


def remove(device: Device, *, using: str | None = None) -> None:
    """Deletes a device; what waits for it is not sent, and the book keeps what was."""
    database = alias(using)
    with transaction.atomic(using=database):
        lock_inboxes([device.user_id], database)
        row = Device.objects.using(database).select_for_update().filter(pk=device.pk).first()
        if row is None:
            return
        _remove(row, Reason.LOGOUT, timezone.now(), database)
        set_pushable([row.user_id], database)


def gone(
    device_id: int, *, registered_at: datetime | None, since: datetime | None, using: str
) -> bool:
    """A provider says that the device will never take anything again.

    Returns False when it registered again since then, and so lives.
    """
    owner = Device.objects.using(using).filter(pk=device_id).values_list("user_id").first()
    if owner is None:
        return True
    [user_id] = owner
    with transaction.atomic(using=using):
        lock_inboxes([user_id], using)
        row = (
            Device.objects.using(using)
            .select_for_update()
            .filter(pk=device_id, user=user_id)
            .first()
        )
        if row is None or not row.active:
            return True
        if row.registered_at != registered_at or (since and row.registered_at > since):
            return False
        row.active, row.deactivated_at, row.reason = False, timezone.now(), Reason.GONE
        row.save(using=using)
        set_pushable([user_id], using)
        deactivated(row, Reason.GONE, using)
    return True


def used(device_ids: Iterable[int], *, using: str) -> None:
    """A provider took a push for each of these."""
    ids = sorted(set(device_ids))
    if ids:
        Device.objects.using(using).filter(pk__in=ids).update(last_used_at=Now())


def prune(*, at: datetime | None = None, using: str | None = None) -> int:
    """Deletes devices that have been inactive for long; returns how many."""
    database, now = alias(using), at or timezone.now()
    old = Device.objects.using(database).filter(
        active=False, deactivated_at__lt=now - conf().inactive_devices
    )
    removed = 0
    while ids := list(old.values_list("pk", flat=True)[:CHUNK]):
        with transaction.atomic(using=database):
            Delivery.objects.using(database).filter(device__in=ids).update(device=None)
            removed += old.filter(pk__in=ids).delete()[0]
    return removed
