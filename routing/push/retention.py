"""What the push road forgets: finished deliveries, faults, devices that are long inactive."""

import logging
from datetime import timedelta

from django.contrib.auth import get_user_model
from django.db.models import Exists, OuterRef
from django.utils import timezone

from routing.conf import conf
from routing.push import devices
from routing.push.deliveries import alias
from routing.push.models import Delivery, Fault

logger = logging.getLogger(__name__)

CHUNK = 500  # rows deleted by one statement
FAULTS_KEPT = timedelta(days=7)


def prune_some() -> bool:
    """One chunk of everything that is over; returns whether there may be more."""
    using = alias()
    removed = prune_deliveries(using=using)
    old = timezone.now() - FAULTS_KEPT
    Fault.objects.using(using).filter(at__lt=old).delete()
    devices.prune(using=using)
    if removed:
        logger.info("pruned deliveries=%s", removed)
    return removed == CHUNK


def prune_orphans() -> bool:
    """A chunk of rows of users who are gone; it looks through the whole book, so seldom."""
    return remove_orphans(using=alias()) == CHUNK


def prune_deliveries(*, using: str) -> int:
    """A chunk of deliveries that have been finished for so long as they are kept."""
    settings = conf()
    kept = settings.delivery_retention if settings.persist_deliveries else timedelta(0)
    rows = Delivery.objects.using(using).filter(finished_at__lt=timezone.now() - kept)
    ids = list(rows.order_by("finished_at").values_list("pk", flat=True)[:CHUNK])
    return rows.filter(pk__in=ids).delete()[0] if ids else 0


def remove_orphans(*, using: str) -> int:
    """Deliveries that were planned for a user while the user was deleted."""
    users = get_user_model()._default_manager.using(using).filter(pk=OuterRef("user_id"))
    rows = Delivery.objects.using(using).exclude(user=None).filter(~Exists(users))
    ids = list(rows.order_by().values_list("pk", flat=True)[:CHUNK])
    return Delivery.objects.using(using).filter(pk__in=ids).delete()[0] if ids else 0
