"""The roads' tables: who looks (Presence) and how a socket signs in without a cookie (Ticket)."""

from django.conf import settings
from django.db import models


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


class Ticket(models.Model):
    """Signs one socket in, once, within 30 s; only its hash is kept."""

    digest = models.CharField(max_length=64, primary_key=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    #: The session or the token it was made from: its sockets end with that.
    session_key = models.CharField(max_length=64, blank=True)
    token = models.ForeignKey(
        "hub_notifications.Token", models.CASCADE, null=True, related_name="+"
    )
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        db_table = "hub_ticket"

    def __str__(self) -> str:
        return f"ticket of {self.user_id}"


from routing.push import models as push_models  # noqa: E402, F401 - the push road keeps its own tables
