"""When the APNs token of a signing key was issued: one row, so that all processes sign alike."""

import logging
from datetime import UTC, datetime

from asgiref.sync import sync_to_async
from django.db import connections, models, router

from routing.push.backends import apns_issued

logger = logging.getLogger(__name__)


class ProviderToken(models.Model):
    """No token, only its time of issue: with the key, each process makes the same one of it."""

    #: A hash of team, key id and public key.
    key = models.CharField(max_length=64, primary_key=True)
    #: Seconds since 1970, as in the token.
    issued_at = models.BigIntegerField()

    class Meta:
        db_table = "hub_provider_token"

    def __str__(self) -> str:
        return self.key[:12]


def issued_at(key: str, *, at: int, before: int, using: str | None = None) -> int:
    """The time of issue that holds for all; `at` takes its place where it lies before `before`.

    Of several processes that find it too old, one renews it: the update names the time it read.
    """
    rows = ProviderToken.objects.using(using or router.db_for_write(ProviderToken))
    while True:
        found = rows.filter(key=key).values_list("issued_at", flat=True).first()
        if found is None:
            rows.bulk_create([ProviderToken(key=key, issued_at=at)], ignore_conflicts=True)
        elif before <= found <= at + apns_issued.SKEW:
            return found
        elif rows.filter(key=key, issued_at=found).update(issued_at=at):
            logger.info(
                "provider token renewed key=%s issued=%s", key[:12], datetime.fromtimestamp(at, UTC)
            )


def _in_a_thread(key: str, at: int, before: int) -> int:
    try:
        return issued_at(key, at=at, before=before)
    finally:
        # A thread of the pool, which needs it once in 45 minutes.
        connections[router.db_for_write(ProviderToken)].close()


async def store(key: str, *, at: int, before: int) -> int:
    return await sync_to_async(_in_a_thread, thread_sensitive=False)(key, at, before)


apns_issued.share_through(store)
