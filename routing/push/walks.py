"""The push of a broadcast: a walk through the devices, in chunks, resumable by any worker.

Before it plans it takes the broadcast in for the devices' owners, so that the badge is right and
a tap finds the notification.
"""

import logging
from datetime import timedelta

from django.db import connections, router, transaction
from django.db.models.functions import Now
from django.utils import timezone

from notifications import inbox
from notifications.models import Event, Notification
from routing.push import planning
from routing.push.models import Device, Walk

logger = logging.getLogger(__name__)

CHUNK = 500  # devices per transaction
BACKOFF = timedelta(seconds=5)  # doubled with every failure
LONGEST_BACKOFF = timedelta(minutes=10)


def walk_due() -> bool:
    """One chunk of the oldest walk that is due; returns whether there was any."""
    using = router.db_for_write(Walk)
    ahead = Walk.objects.using(using).filter(due__lte=Now()).order_by("due", "event_id").first()
    if ahead is None:
        return False
    try:
        return _step(ahead.pk, using)
    except Exception as error:
        # A fault in one chunk must not stop the other walks: it comes up again later.
        logger.exception("walk failed event=%s position=%s", ahead.pk, ahead.position)
        wait = min(BACKOFF * 2 ** min(ahead.attempts, 10), LONGEST_BACKOFF)
        Walk.objects.using(using).filter(pk=ahead.pk, position=ahead.position).update(
            attempts=ahead.attempts + 1, due=Now() + wait, last_error=type(error).__name__
        )
        return True


def _step(event_id: int, using: str) -> bool:
    skip = connections[using].features.has_select_for_update_skip_locked
    with transaction.atomic(using=using):
        walks = Walk.objects.using(using).select_for_update(skip_locked=skip)
        walk = walks.filter(pk=event_id).first()
        if walk is None:
            return False  # another worker has it in hand, or has ended it
        event = Event.objects.using(using).select_related("type").filter(pk=event_id).first()
        over = event is None or (
            event.expires_at is not None and event.expires_at <= timezone.now()
        )
        devices = [] if over else _next(walk, using)
        if event is None or not devices:
            walk.delete()
            return True
        _plan(event, devices, using)
        walk.position, walk.attempts, walk.last_error = devices[-1].pk, 0, ""
        walk.save(using=using)
    return True


def _next(walk: Walk, using: str) -> list[Device]:
    # a device that is nobody's has no inbox for a broadcast to stand in
    devices = Device.objects.using(using).active().exclude(user=None).order_by("pk")
    return list(devices.filter(pk__gt=walk.position, pk__lte=walk.last)[:CHUNK])


def _plan(event: Event, devices: list[Device], using: str) -> None:
    owners = {device.user_id for device in devices}
    inbox.take_in(owners, using=using)
    # Who has muted the type, signed up later or is inactive has no row of it.
    have = set(
        Notification.objects.using(using)
        .filter(event=event.pk, user__in=owners, deleted_at=None)
        .values_list("user_id", flat=True)
    )
    planning.plan_devices(
        event, [device.pk for device in devices if device.user_id in have], using=using
    )
