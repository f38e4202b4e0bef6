"""The push road's tables: whom the hub is to providers, where it sends, and the book of it.

Keys to users and events in the rows that are planned inside a fan-out carry no database
constraint: a user who is deleted meanwhile must not make a chunk fail.
"""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from notifications.models import Event

if TYPE_CHECKING:
    from routing.push.results import Results

USER = settings.AUTH_USER_MODEL

#: After so long a suspended device is tried again.
SUSPENSION = timedelta(hours=24)


class Application(models.Model):
    """Credentials of one app at one provider, from settings or made in the admin.

    One that is declared in settings has its row too, for what is not a setting: pauses, alerts,
    and the version that tells workers that the credentials are others now.
    """

    name = models.CharField(max_length=100, unique=True)
    #: The name of a backend (`HUB["BACKENDS"]`).
    backend = models.CharField(max_length=50)
    #: Devices that name no application use the default one of their backend.
    is_default = models.BooleanField("default", default=False)
    active = models.BooleanField(default=True)
    #: Whether its credentials stand in settings.
    declared = models.BooleanField(default=False, editable=False)
    #: Sealed by `routing.push.credentials`; empty where settings hold them.
    credentials = models.TextField(blank=True, editable=False)
    #: Tells one set of credentials from another, and nothing of them.
    fingerprint = models.CharField(max_length=64, blank=True, editable=False)
    version = models.PositiveIntegerField(default=1, editable=False)
    #: Messages on their way at once, per worker; null: what the backend allows.
    concurrency = models.PositiveIntegerField(null=True, blank=True)
    #: What a person should look at, and since when.
    alert = models.CharField(max_length=300, blank=True, editable=False)
    alerted_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        db_table = "hub_application"
        ordering = ["backend", "name"]
        constraints = [
            models.UniqueConstraint(
                fields=["backend"], condition=Q(is_default=True), name="hub_one_default"
            )
        ]

    def __str__(self) -> str:
        return self.name


class Reachable:
    """What can be pushed to directly: a device, or a queryset. Inactive ones are skipped."""

    def send_message(self: Any, message: str = "", **more: Any) -> "Results":
        """A direct push: `direct.send_message`."""
        from routing.push import direct  # late: it is made of these models

        return direct.send_message(self, message, **more)

    async def asend_message(self: Any, message: str = "", **more: Any) -> "Results":
        from routing.push import direct

        return await direct.asend_message(self, message, **more)

    def subscribe(self: Any, topic: str) -> "Results":
        """Adds to a topic at the provider: `topics.subscribe`."""
        from routing.push import topics

        return topics.subscribe(self, topic)

    def unsubscribe(self: Any, topic: str) -> "Results":
        from routing.push import topics

        return topics.unsubscribe(self, topic)


class DeviceQuerySet(Reachable, models.QuerySet["Device"]):
    def active(self) -> "DeviceQuerySet":
        return self.filter(active=True)

    def live(self) -> "DeviceQuerySet":
        return self.filter(live=True)

    def suspended(self) -> "DeviceQuerySet":
        return self.filter(suspended_until__gt=Now())


class Device(Reachable, models.Model):
    """An address that can be pushed to. Its token and keys stand in no repr, list or log."""

    class Reason(models.TextChoices):
        LOGOUT = "logout"
        HANDED_OVER = "handed_over"
        GONE = "gone"
        CAPPED = "capped"

    #: Nobody's where it was registered without signing in (`HUB["OPEN_REGISTRATION"]`): such a
    #: device gets direct pushes only.
    user = models.ForeignKey(USER, models.CASCADE, null=True, related_name="+")
    backend = models.CharField(max_length=50)
    application = models.ForeignKey(Application, models.SET_NULL, null=True, related_name="devices")
    environment = models.CharField(max_length=20, blank=True)
    token = models.TextField()
    #: SHA-256 of the token: what is unique, searched for, and shown in part.
    token_hash = models.CharField(max_length=64)
    #: What else the backend needs: keys of a browser's subscription.
    extra = models.JSONField(default=dict)
    #: What is paused together at the provider's end; a browser vendor for Web Push.
    origin = models.CharField(max_length=255, blank=True)
    name = models.CharField(max_length=100, blank=True)
    type = models.CharField(max_length=20, blank=True)
    client_id = models.CharField(max_length=255, blank=True)
    app_version = models.CharField(max_length=50, blank=True)
    os_version = models.CharField(max_length=50, blank=True)
    locale = models.CharField(max_length=35, blank=True)
    time_zone = models.CharField(max_length=64, blank=True)
    #: Whether pushes are wanted here.
    active = models.BooleanField(default=True)
    #: Whether this row holds the token; one that was handed over does not any more.
    live = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now)
    registered_at = models.DateTimeField(default=timezone.now)
    #: The last push that its provider took.
    last_used_at = models.DateTimeField(null=True)
    deactivated_at = models.DateTimeField(null=True)
    reason = models.CharField(max_length=20, choices=Reason.choices, blank=True)
    suspended_until = models.DateTimeField(null=True)
    suspended_for = models.CharField(max_length=200, blank=True)

    objects = DeviceQuerySet.as_manager()

    class Meta:
        db_table = "hub_device"
        ordering = ["-id"]
        constraints = [
            # registration: who has this token now?
            models.UniqueConstraint(
                fields=["backend", "token_hash"], condition=Q(live=True), name="hub_one_live_device"
            ),
            models.CheckConstraint(
                condition=Q(live=True) | Q(active=False), name="hub_active_is_live"
            ),
        ]
        indexes = [
            # planning: the devices of a chunk of users
            models.Index(fields=["user"], name="hub_device_active", condition=Q(active=True)),
            # the walk of a broadcast
            models.Index(fields=["id"], name="hub_device_walk", condition=Q(active=True)),
            # lifting suspensions, and the check whether all of an application are suspended
            models.Index(
                fields=["application", "suspended_until"],
                name="hub_device_suspended",
                condition=~Q(suspended_until=None),
            ),
            # searching by token where the row is no longer live
            models.Index(fields=["token_hash"], name="hub_device_token"),
        ]

    def __str__(self) -> str:
        return f"{self.backend} {self.short_hash}"

    @property
    def inactivity(self) -> str:
        """Why nothing is sent to it."""
        return f"device inactive: {self.reason}" if self.reason else "device inactive"

    @property
    def short_hash(self) -> str:
        """By which people and logs speak of the token."""
        return self.token_hash[:12]


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def waiting(self) -> "DeliveryQuerySet":
        return self.filter(state__in=Delivery.WAITING_STATES)

    def unfinished(self) -> "DeliveryQuerySet":
        return self.filter(state__in=Delivery.UNFINISHED)

    def finished(self) -> "DeliveryQuerySet":
        return self.exclude(state__in=Delivery.UNFINISHED)

    def due(self) -> "DeliveryQuerySet":
        """By the database's clock, as all times of the worker."""
        return self.waiting().filter(due__lte=Now())

    def abandoned(self) -> "DeliveryQuerySet":
        """Claimed by a worker whose lease has run out."""
        return self.filter(state=Delivery.State.SENDING, lease__lte=Now())

    def tagged(self, tag: str) -> "DeliveryQuerySet":
        return self.filter(event__tag=tag)

    def from_template(self, slug: str) -> "DeliveryQuerySet":
        return self.filter(event__template=slug)

    def related_to(self, target: Any) -> "DeliveryQuerySet":
        """Whose events are linked to `target`: an object, a queryset, or an iterable of objects."""
        events = Event.objects.using(self.db).related_to(target)
        return self.filter(event__in=events.values("pk"))

    def was_sent(self, slug: str, *objects: Any) -> bool:
        """Whether a provider took one of this template whose event is linked to all `objects`."""
        rows = self.from_template(slug).filter(state__in=Delivery.TAKEN)
        for linked in objects:
            rows = rows.related_to(linked)
        return rows.exists()


class Delivery(models.Model):
    """One push of one event to one device of one user; or, without a device, to a recipient that
    only the provider knows."""

    class State(models.TextChoices):
        WAITING = "WAITING"
        SENDING = "SENDING"
        SENT = "SENT"
        ERROR_RETRY = "ERROR_RETRY"
        ERROR = "ERROR"
        DEBUG = "DEBUG"
        SKIPPED = "SKIPPED"
        EXPIRED = "EXPIRED"
        CANCELLED = "CANCELLED"

    WAITING_STATES = (State.WAITING, State.ERROR_RETRY)
    #: Taken by a provider, or by what stands for one in tests.
    TAKEN = (State.SENT, State.DEBUG)
    UNFINISHED = (State.WAITING, State.ERROR_RETRY, State.SENDING)

    class Rank(models.IntegerChoices):
        """Which of the due ones go first."""

        HIGH = 0
        NORMAL = 1
        LOW = 2

    event = models.ForeignKey(
        "hub_notifications.Event",
        models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    user = models.ForeignKey(
        USER, models.DO_NOTHING, null=True, db_constraint=False, db_index=False, related_name="+"
    )
    device = models.ForeignKey(
        Device, models.DO_NOTHING, null=True, db_constraint=False, db_index=False, related_name="+"
    )
    application = models.ForeignKey(
        Application, models.SET_NULL, null=True, db_constraint=False, db_index=False,
        related_name="+",
    )  # fmt: skip
    backend = models.CharField(max_length=50)
    origin = models.CharField(max_length=255, blank=True)
    #: A topic, condition or alias at the provider, where there is no device.
    recipient = models.CharField(max_length=1000, blank=True)
    kind = models.CharField(max_length=20, default="device")
    #: Planned by hand: no inbox, filter or quiet hours speak for or against it.
    direct = models.BooleanField(default=False)
    #: Left to `send_messages_batch` and its like, while `PUSH_BATCH` is on.
    batch = models.BooleanField(default=False)
    #: The number to show, where the sender gave this recipient one of its own.
    badge = models.PositiveIntegerField(null=True)
    state = models.CharField(max_length=20, choices=State.choices, default=State.WAITING)
    rank = models.SmallIntegerField(choices=Rank.choices, default=Rank.NORMAL)
    due = models.DateTimeField()
    #: After this nothing is tried any more, whatever it waits for.
    expires_at = models.DateTimeField()
    #: From the first attempt on: how long it is tried again.
    give_up_at = models.DateTimeField(null=True)
    #: It waits or waited for the end of quiet hours.
    quiet = models.BooleanField(default=False)
    #: How many others of the quiet hours this one stands for.
    folded = models.PositiveIntegerField(default=0)
    #: Answers of the provider.
    attempts = models.PositiveSmallIntegerField(default=0)
    #: Claims since the last answer.
    claims = models.PositiveSmallIntegerField(default=0)
    claim = models.CharField(max_length=32, blank=True)
    lease = models.DateTimeField(null=True)
    error = models.CharField(max_length=300, blank=True)
    status = models.PositiveSmallIntegerField(null=True)
    provider_id = models.CharField(max_length=255, blank=True)
    may_have_arrived = models.BooleanField(default=False)
    #: Refused by an answer that suspended its device: comes back when a pause is lifted.
    suspended = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        db_table = "hub_delivery"
        verbose_name_plural = "deliveries"
        ordering = ["-id"]
        constraints = [
            # planning's ON CONFLICT: an event reaches a device once, however often it is planned
            models.UniqueConstraint(fields=["event", "device"], name="hub_one_per_device")
        ]
        indexes = [
            # the claim: what is due of one application, by rank and then by age
            models.Index(
                fields=["application", "rank", "due"],
                name="hub_delivery_due",
                condition=Q(state__in=["WAITING", "ERROR_RETRY"]),
            ),
            # a batch: what is due of any application, by rank and then by age
            models.Index(
                fields=["rank", "due"],
                name="hub_delivery_batch",
                condition=Q(batch=True, state__in=["WAITING", "ERROR_RETRY"]),
            ),
            # the claims of workers that are gone
            models.Index(fields=["lease"], name="hub_delivery_lease", condition=Q(state="SENDING")),
            # what ends with its device; what waits for it
            models.Index(
                fields=["device"],
                name="hub_delivery_device",
                condition=Q(state__in=["WAITING", "ERROR_RETRY", "SENDING"]),
            ),
            # one's own, newest first
            models.Index(fields=["user", "-id"], name="hub_delivery_user"),
            # retention
            models.Index(
                fields=["finished_at"], name="hub_delivery_end", condition=~Q(finished_at=None)
            ),
            # re-queued when a pause is lifted
            models.Index(
                fields=["application"], name="hub_delivery_suspended", condition=Q(suspended=True)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event_id} to device {self.device_id}: {self.state}"


class Pause(models.Model):
    """An application (or, for Web Push, one origin of it) whose deliveries wait."""

    class Kind(models.TextChoices):
        FAULT = "fault"  # credentials, or the set-up at the provider: a person has to look
        BUSY = "busy"  # the provider asked for time

    application = models.ForeignKey(Application, models.CASCADE, related_name="pauses")
    #: Empty: the whole application.
    origin = models.CharField(max_length=255, blank=True)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    reason = models.CharField(max_length=200, blank=True)
    since = models.DateTimeField(default=timezone.now)
    #: When one delivery is tried, to see whether it is over (fault); when it ends (busy).
    until = models.DateTimeField()

    class Meta:
        db_table = "hub_pause"
        constraints = [
            models.UniqueConstraint(fields=["application", "origin"], name="hub_one_pause")
        ]

    def __str__(self) -> str:
        return f"{self.application_id} {self.origin} {self.kind}"


class Fault(models.Model):
    """An answer that one foreign registration can provoke; enough of them pause an application.

    They go with the first push that is taken."""

    application = models.ForeignKey(Application, models.CASCADE, related_name="+", db_index=False)
    origin = models.CharField(max_length=255, blank=True)
    user_id = models.CharField(max_length=64)
    reason = models.CharField(max_length=200, blank=True)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "hub_fault"
        indexes = [
            # counting them, and forgetting them
            models.Index(fields=["application", "origin"], name="hub_fault_origin")
        ]

    def __str__(self) -> str:
        return f"{self.application_id} {self.origin} {self.reason}"


class Walk(models.Model):
    """How far the push of a broadcast has come through the devices."""

    event = models.OneToOneField(
        "hub_notifications.Event",
        models.DO_NOTHING,
        primary_key=True,
        db_constraint=False,
        related_name="+",
    )
    #: The last device that was looked at, and the last one there was.
    position = models.BigIntegerField(default=0)
    last = models.BigIntegerField()
    due = models.DateTimeField(default=timezone.now)
    attempts = models.PositiveIntegerField(default=0)
    last_error = models.CharField(max_length=300, blank=True)

    class Meta:
        db_table = "hub_walk"

    def __str__(self) -> str:
        return f"{self.event_id} at device {self.position} of {self.last}"


class Preference(models.Model):
    """A user's quiet hours, by the clock on their wall."""

    user = models.OneToOneField(USER, models.CASCADE, primary_key=True, related_name="+")
    quiet_start = models.TimeField(null=True)
    quiet_end = models.TimeField(null=True)
    time_zone = models.CharField(max_length=64, default="UTC")

    class Meta:
        db_table = "hub_preference"

    def __str__(self) -> str:
        return f"preferences of {self.user_id}"
