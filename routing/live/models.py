"""The live road's table: tickets, by which a socket signs in without cookie or header."""

from django.conf import settings
from django.db import models


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
