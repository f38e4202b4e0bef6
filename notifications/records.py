"""What is kept beside events: who was left out of them, and what people compose in the admin."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

USER = settings.AUTH_USER_MODEL


class LeftOut(models.Model):
    """Users of one audience whom an event did not reach, by the rule that left them out.

    One row per rule and transaction of a fan-out, of a few chunks of ids at most; none where
    everybody got it, so that a send costs nothing for it. Goes with its event.
    """

    class Rule(models.TextChoices):
        MUTED = "muted"
        INACTIVE = "inactive"
        UNKNOWN = "unknown"
        EXPIRED = "expired"
        ALREADY = "already"  # had it from another row of the same audience
        DROPPED = "dropped"  # a person dropped the parked audience
        #: Left out, and a moment later no rule would have: a filter or a user had just changed.
        CHANGED = "changed"

    event = models.ForeignKey(
        "hub_notifications.Event",
        models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="left_out",
    )
    rule = models.CharField(max_length=10, choices=Rule.choices)
    number = models.PositiveIntegerField()
    #: The users' keys; null where a broadcast expired, or was dropped, before anybody got it.
    user_ids = models.JSONField(null=True)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "hub_leftout"
        verbose_name_plural = "left out"
        indexes = [
            # the trace of an event
            models.Index(fields=["event"], name="hub_leftout_event")
        ]

    def __str__(self) -> str:
        return f"{self.number} left out of {self.event_id}: {self.rule}"


class AnnouncementQuerySet(models.QuerySet["Announcement"]):
    def queued(self) -> "AnnouncementQuerySet":
        return self.filter(state=Announcement.State.QUEUED)


class Announcement(models.Model):
    """Words and an audience that a person puts together in the admin and sends, once."""

    class State(models.TextChoices):
        DRAFT = "draft"
        QUEUED = "queued"
        SENT = "sent"
        FAILED = "failed"

    type = models.ForeignKey("hub_notifications.EventType", models.PROTECT, related_name="+")
    title = models.CharField(max_length=200, blank=True)
    message = models.TextField(max_length=4000, blank=True)
    url = models.CharField(
        "URL", max_length=2000, blank=True, help_text="http, https or a path of this site."
    )
    data = models.JSONField(null=True, blank=True, help_text="JSON for programs; often none.")
    tag = models.CharField(max_length=64, blank=True)
    priority = models.CharField(
        max_length=10,
        blank=True,
        choices=[("", "as the event type has it"), *((p, p) for p in ("low", "normal", "high"))],
    )
    expires_at = models.DateTimeField(null=True, blank=True)
    #: Whom it addresses; `notifications.announcements` says how.
    audience = models.JSONField(default=dict)
    state = models.CharField(max_length=10, choices=State.choices, default=State.DRAFT)
    made_by = models.ForeignKey(
        USER, models.SET_NULL, null=True, db_constraint=False, related_name="+"
    )
    #: Tells one wording from the next: what was previewed is what is sent.
    changed_at = models.DateTimeField(default=timezone.now)
    queued_at = models.DateTimeField(null=True)
    #: What it became. Events go with retention; the number stays.
    event_id = models.BigIntegerField(null=True)
    error = models.CharField(max_length=500, blank=True)

    objects = AnnouncementQuerySet.as_manager()

    class Meta:
        db_table = "hub_announcement"
        ordering = ["-id"]
        # Composing is `add_event`, looking is `view_event`: there is nothing else to permit.
        default_permissions = ()
        indexes = [
            # the worker: what a person wants sent
            models.Index(
                fields=["queued_at"], name="hub_announcement_queue", condition=Q(state="queued")
            )
        ]

    def __str__(self) -> str:
        return self.title or self.message[:40] or f"announcement {self.pk}"
