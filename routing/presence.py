"""Who looks, and what they acknowledged: written by the live road, read by the push road.

A lease is never ended, it ends: one that is wrong delays a push by the grace time, and that is all.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connections, models, router
from django.utils import timezone

LEASE = timedelta(seconds=60)


class Presence(models.Model):
    """One narrow row per user: what was acknowledged, and until when somebody is there."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        primary_key=True,
        db_constraint=False,
        related_name="+",
    )
    #: The epoch that `acked` belongs to; under another one it counts 0.
    epoch = models.CharField(max_length=100, blank=True)
    #: The highest version that a visible page of the user has acknowledged.
    acked = models.BigIntegerField(default=0)
    #: The end of the lease of whoever is connected; never cleared, only outlived.
    until = models.DateTimeField(null=True)

    class Meta:
        db_table = "hub_presence"
        verbose_name_plural = "presences"

    def __str__(self) -> str:
        return f"{self.user_id} acknowledged {self.acked}"


# Rows without an epoch only renew the lease. Within an epoch `acked` is only ever raised; what
# was acknowledged in another one says nothing of this one.
HOLD = """
    INSERT INTO {table} (user_id, epoch, acked, until) VALUES {rows}
    ON CONFLICT (user_id) DO UPDATE SET
        acked = CASE
            WHEN excluded.epoch = '' THEN {table}.acked
            WHEN excluded.epoch = {table}.epoch THEN {greatest}({table}.acked, excluded.acked)
            ELSE excluded.acked END,
        epoch = CASE WHEN excluded.epoch = '' THEN {table}.epoch ELSE excluded.epoch END,
        until = {greatest}(COALESCE({table}.until, excluded.until), excluded.until)
"""


def hold(rows: Sequence[tuple[Any, str, int]]) -> None:
    """Renews the leases of these users, given as (user, epoch, acknowledged), in user order.

    An empty epoch: nothing was acknowledged.
    """
    if not rows:
        return
    connection = connections[router.db_for_write(Presence)]
    key = get_user_model()._meta.pk
    until = connection.ops.adapt_datetimefield_value(timezone.now() + LEASE)
    statement = HOLD.format(
        table=connection.ops.quote_name(Presence._meta.db_table),
        rows=", ".join(["(%s, %s, %s, %s)"] * len(rows)),
        greatest="GREATEST" if connection.vendor == "postgresql" else "max",
    )
    values = [
        part
        for user_id, epoch, acked in rows
        for part in (key.get_db_prep_value(user_id, connection), epoch, acked, until)
    ]
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def acked(user_ids: Iterable[Any], *, epoch: str) -> dict[Any, int]:
    """What each of these users has acknowledged in this epoch; who has not is left out."""
    rows = Presence.objects.filter(user__in=list(user_ids), epoch=epoch, acked__gt=0)
    return dict(rows.values_list("user_id", "acked"))
