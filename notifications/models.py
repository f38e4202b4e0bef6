"""The domain's tables. Every name is in docs/glossary.md, every index says which query it serves.

Keys to users and events in the rows that fan-out writes carry no database constraint: a user who
is deleted meanwhile must not make a chunk fail, and constraints cost 40 % of a fan-out.
"""

import secrets
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from notifications import related
from notifications.counts.models import Count as Count
from notifications.counts.models import Process as Process
from notifications.records import Announcement as Announcement
from notifications.records import LeftOut as LeftOut
from notifications.signals import Words
from notifications.templating.models import AbstractTemplate as AbstractTemplate
from notifications.templating.models import Template as Template

USER = settings.AUTH_USER_MODEL


class Priority(models.TextChoices):
    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


class Channel(models.TextChoices):
    INBOX = "inbox"
    LIVE = "live"
    PUSH = "push"


class EventTypeQuerySet(models.QuerySet["EventType"]):
    def active(self) -> "EventTypeQuerySet":
        return self.filter(active=True)


class EventType(models.Model):
    """A declared kind of occurrence; its declaration in code is the truth, this row its copy."""

    name = models.CharField(max_length=100, unique=True)
    title = models.CharField(max_length=300)
    description = models.CharField(max_length=1000, blank=True)
    critical = models.BooleanField(default=False)
    inbox = models.BooleanField(default=True)
    live = models.BooleanField(default=True)
    push = models.BooleanField(default=True)
    priority = models.CharField(max_length=10, choices=Priority.choices, default=Priority.NORMAL)
    lifetime = models.DurationField(null=True)
    active = models.BooleanField(default=True)

    objects = EventTypeQuerySet.as_manager()

    class Meta:
        db_table = "hub_eventtype"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Event(models.Model):
    """Something that happened once. Its id, from the database's sequence, is public."""

    type = models.ForeignKey(EventType, models.PROTECT, related_name="events")
    author = models.ForeignKey(
        USER, models.SET_NULL, null=True, related_name="+", db_constraint=False
    )
    title = models.CharField(max_length=200, blank=True)
    message = models.TextField(max_length=4000, blank=True)
    url = models.CharField(max_length=2000, blank=True)
    data = models.JSONField(null=True)
    tag = models.CharField(max_length=64, blank=True)
    priority = models.CharField(max_length=10, choices=Priority.choices, default=Priority.NORMAL)
    timestamp = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True)
    #: The number that the broadcast counter gave it; null for events with named recipients.
    broadcast = models.BigIntegerField(null=True)
    #: What the caller wants of the push road; null leaves it to the event type.
    push = models.JSONField(null=True)

    #: The slug of the template that it was rendered from, and what its gaps were filled with.
    template = models.CharField(max_length=100, blank=True)
    context = models.JSONField(null=True)

    #: Set on what `send_notification()` answers to a repeated idempotency key; not stored.
    repeated = False
    #: What the template's variants say, by language, until the sending process has fanned out;
    #: None where that is not known here; not stored.
    variants: "dict[str, Words] | None" = None

    objects = related.EventQuerySet.as_manager()

    class Meta:
        db_table = "hub_event"
        ordering = ["-id"]
        indexes = [
            # take-in: the broadcasts above an inbox's position
            models.Index(
                fields=["broadcast"], name="hub_event_broadcast", condition=~Q(broadcast=None)
            ),
            # the expiry sweep: has any event expired since the last one?
            models.Index(
                fields=["expires_at"], name="hub_event_expires", condition=~Q(expires_at=None)
            ),
            # retention: the last event before a time
            models.Index(fields=["timestamp"], name="hub_event_timestamp"),
            # looking events up by what a team groups them by
            models.Index(fields=["tag"], name="hub_event_tag", condition=~Q(tag="")),
            models.Index(fields=["template"], name="hub_event_template", condition=~Q(template="")),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.title or self.message[:40]}"

    def link(self, *objects: Any) -> None:
        """Links it to saved objects; to what it is linked already it stays so."""
        using = str(self._state.db)
        related.store(self, related.links_of(objects, using=using), using=using)

    def replace_links(self, *objects: Any, model: Any = None) -> None:
        """Links it to exactly these objects; with `model` only links to that model change."""
        related.replace(self, objects, model=model)

    def linked(self, model: Any) -> "models.QuerySet[Any]":
        """The objects of a model that it is linked to."""
        return related.objects_of(self, model)


class RelatedObject(models.Model):
    """A link from an event to any object of the application."""

    event = models.ForeignKey(Event, models.CASCADE, related_name="related_objects")
    content_type = models.ForeignKey("contenttypes.ContentType", models.CASCADE, related_name="+")
    object_id = models.CharField(max_length=255)
    created_at = models.DateTimeField(default=timezone.now)

    objects = related.RelatedObjectQuerySet.as_manager()

    class Meta:
        db_table = "hub_relatedobject"
        constraints = [
            models.UniqueConstraint(
                fields=["content_type", "object_id", "event"], name="hub_one_link_per_object"
            )
        ]

    def __str__(self) -> str:
        return f"{self.content_type_id}:{self.object_id}"


#: More than an Audience row is ever put off; see `fanout.LONGEST_BACKOFF`.
FURTHEST_DUE = timedelta(minutes=2)


class AudienceQuerySet(models.QuerySet["Audience"]):
    def waiting(self) -> "AudienceQuerySet":
        return self.filter(state=Audience.State.WAITING)

    def due(self, at: datetime) -> "AudienceQuerySet":
        # No row waits that long: such a time was written, or is compared, by a clock that is wrong.
        return self.waiting().filter(Q(due__lte=at) | Q(due__gt=at + FURTHEST_DUE))

    def parked(self) -> "AudienceQuerySet":
        return self.filter(state=Audience.State.PARKED)


class Audience(models.Model):
    """Whom an event addresses, until it is fanned out: at most 500 user ids, or everyone."""

    class Lane(models.IntegerChoices):
        SMALL = 0
        BULK = 1

    class State(models.TextChoices):
        WAITING = "waiting"
        PARKED = "parked"

    event = models.ForeignKey(
        Event, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="audiences"
    )
    everyone = models.BooleanField(default=False)
    user_ids = models.JSONField(default=list)
    #: The notifications are stored; only the receivers of `notified` are to be asked again.
    plan_only = models.BooleanField(default=False)
    lane = models.SmallIntegerField(choices=Lane.choices, default=Lane.SMALL)
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    due = models.DateTimeField()
    attempts = models.PositiveIntegerField(default=0)
    last_error = models.CharField(max_length=500, blank=True)

    objects = AudienceQuerySet.as_manager()

    class Meta:
        db_table = "hub_audience"
        indexes = [
            # the worker's claim: what is due, small before bulk
            models.Index(
                fields=["lane", "due"], name="hub_audience_due", condition=Q(state="waiting")
            )
        ]

    def __str__(self) -> str:
        whom = "everyone" if self.everyone else f"{len(self.user_ids)} users"
        return f"{self.event_id} for {whom}"


class Notification(models.Model):
    """One event in one user's inbox. Clients know it by the event's id.

    A deleted one stays as a tombstone until its time is over, so that others hear of the deletion.
    """

    user = models.ForeignKey(
        USER, models.CASCADE, db_constraint=False, db_index=False, related_name="+"
    )
    event = models.ForeignKey(
        Event, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    arrived = models.BigIntegerField()
    version = models.BigIntegerField()
    seen_at = models.DateTimeField(null=True)
    read_at = models.DateTimeField(null=True)
    archived_at = models.DateTimeField(null=True)
    expired_at = models.DateTimeField(null=True)
    deleted_at = models.DateTimeField(null=True)
    silent = models.BooleanField(default=False)
    #: When `arrived` was given, by the database's clock; null for rows older than this column.
    arrived_at = models.DateTimeField(null=True, db_default=Now())
    #: The user's own words where a template was rendered in their language; null: the event's.
    title = models.CharField(max_length=200, null=True)  # noqa: DJ001
    message = models.TextField(max_length=4000, null=True)  # noqa: DJ001
    url = models.CharField(max_length=2000, null=True)  # noqa: DJ001

    class Meta:
        db_table = "hub_notification"
        constraints = [
            # fan-out's ON CONFLICT; also the list, newest event first
            models.UniqueConstraint(fields=["user", "event"], name="hub_one_per_recipient")
        ]
        indexes = [
            # resume
            models.Index(fields=["user", "version"], name="hub_notification_version")
        ]

    def __str__(self) -> str:
        return f"{self.event_id} for {self.user_id}"


class Inbox(models.Model):
    """One narrow row per user. No index but its key, so that its updates stay HOT."""

    user = models.OneToOneField(
        USER, models.CASCADE, primary_key=True, db_constraint=False, related_name="+"
    )
    version = models.BigIntegerField(default=0)
    unread = models.IntegerField(default=0)
    unseen = models.IntegerField(default=0)
    total = models.IntegerField(default=0)
    #: The highest version of a purged tombstone: a cursor below it cannot be resumed.
    floor = models.BigIntegerField(default=0)
    #: The number of the last broadcast that was taken in.
    broadcast = models.BigIntegerField(default=0)
    next_expiry = models.DateTimeField(null=True)
    #: Whether the push road has to be asked when something arrives.
    pushable = models.BooleanField(default=False)

    class Meta:
        db_table = "hub_inbox"
        verbose_name_plural = "inboxes"

    def __str__(self) -> str:
        return f"inbox of {self.user_id} at {self.version}"


class Filter(models.Model):
    """A user's choice for one event type on one channel; where there is none the type decides."""

    user = models.ForeignKey(USER, models.CASCADE, related_name="+")
    type = models.ForeignKey(EventType, models.CASCADE, related_name="filters", db_index=False)
    channel = models.CharField(max_length=10, choices=Channel.choices)
    enabled = models.BooleanField()
    changed_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "hub_filter"
        constraints = [
            # fan-out: the choices of a chunk of users for one type and channel
            models.UniqueConstraint(fields=["type", "channel", "user"], name="hub_one_choice")
        ]

    def __str__(self) -> str:
        return f"{self.user_id} {self.type_id} {self.channel} {'on' if self.enabled else 'off'}"


class IdempotencyKey(models.Model):
    """A send that was made under a key: repeating it answers with the same event."""

    #: Empty for server code, else who asked: "token:<id>", "user:<id>" or "key:<id>".
    scope = models.CharField(max_length=100, blank=True)
    key = models.CharField(max_length=200)
    digest = models.CharField(max_length=64)
    event_id = models.BigIntegerField()
    made_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "hub_idempotencykey"
        constraints = [models.UniqueConstraint(fields=["scope", "key"], name="hub_one_per_key")]
        indexes = [
            # retention: keys older than 30 days
            models.Index(fields=["made_at"], name="hub_idempotency_made")
        ]

    def __str__(self) -> str:
        return f"{self.scope}:{self.key}"


def new_epoch_text() -> str:
    return secrets.token_hex(8)


class HubState(models.Model):
    """The one row of what is true of the whole hub: its epoch and its broadcast counter."""

    epoch = models.CharField(max_length=32, default=new_epoch_text)
    broadcast = models.BigIntegerField(default=0)

    class Meta:
        db_table = "hub_state"
        constraints = [models.CheckConstraint(condition=Q(id=1), name="hub_one_state")]

    def __str__(self) -> str:
        return f"epoch {self.epoch}, broadcast {self.broadcast}"


class Token(models.Model):
    """A bearer token of a user; only its hash is kept."""

    user = models.ForeignKey(USER, models.CASCADE, related_name="+")
    name = models.CharField(max_length=100, blank=True)
    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(default=timezone.now)
    last_used_at = models.DateTimeField(null=True)

    #: Where the user's inbox stood when the token was looked for; by `tokens.find`, if asked.
    inbox_stand: tuple[Any, ...] | None = None

    class Meta:
        db_table = "hub_token"
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"token {self.pk} of {self.user_id}"


class Imported(models.Model):
    """A row of another system that was imported, by which a repeated import passes it over.

    Written in the transaction that stores what became of the row. Of no use once the other
    system's tables are gone.
    """

    #: Which table of which system, e.g. "fcm-devices:fcm_devices_device".
    source = models.CharField(max_length=100)
    #: The row's primary key there, as text.
    key = models.CharField(max_length=64)
    #: The event, device or other row of the hub that it became.
    object_id = models.BigIntegerField()

    class Meta:
        db_table = "hub_imported"
        verbose_name_plural = "imported"
        constraints = [
            # the import: which rows of a chunk are known already?
            models.UniqueConstraint(fields=["source", "key"], name="hub_imported_once")
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.key}: {self.object_id}"


class ServiceKeyQuerySet(models.QuerySet["ServiceKey"]):
    def live(self) -> "ServiceKeyQuerySet":
        in_time = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
        return self.filter(in_time, revoked_at=None)


class ServiceKey(models.Model):
    """A credential of another program. It is no user: it has no inbox, and may what it names.

    A revoked one stays, so that its name says later whose calls those were.
    """

    name = models.CharField(max_length=100)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    #: Names out of `notifications.service_keys.SCOPES`.
    scopes = models.JSONField(default=list)
    #: The names of the event types that it may send; null: every one.
    event_types = models.JSONField(null=True, default=list)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True, editable=False)
    last_used_at = models.DateTimeField(null=True, editable=False)

    objects = ServiceKeyQuerySet.as_manager()

    class Meta:
        db_table = "hub_servicekey"
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.name} ({self.pk})"

    @property
    def is_live(self) -> bool:
        over = self.expires_at is not None and self.expires_at <= timezone.now()
        return self.revoked_at is None and not over


def has_field(model: Any, name: str) -> bool:
    return any(field.name == name for field in model._meta.get_fields())
