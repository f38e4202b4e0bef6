"""Announcements: what people compose in the admin, and the audience that each of them means.

"Send now" only queues: the worker makes the event, and the rows of its audience, in one
transaction with the announcement's new state. So it is sent once, however many users that are.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, time
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connections, router, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.dateparse import parse_date

from notifications.audiences import EVERYONE
from notifications.errors import HubError
from notifications.models import Announcement, Channel, EventType, Filter, Inbox, has_field
from notifications.sending import send_notification
from notifications.sql import fault, is_passing
from notifications.users import keys_of_names

logger = logging.getLogger(__name__)

State = Announcement.State

KINDS = {
    "everyone": "Everyone",
    "names": "Users by name",
    "groups": "Groups",
    "query": "Users by what is known of them",
}
SHOWN = 10  # users named in a preview


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One thing that a query may ask of users. Only these: a lookup that anybody may choose would
    read out password hashes by counting."""

    field: str
    lookup: str
    label: str
    kind: type


CONDITIONS = {
    "staff": Condition(field="is_staff", lookup="exact", label="Staff", kind=bool),
    "joined_from": Condition(
        field="date_joined", lookup="gte", label="Signed up on or after", kind=datetime
    ),
    "joined_before": Condition(
        field="date_joined", lookup="lt", label="Signed up before", kind=datetime
    ),
    "seen_from": Condition(
        field="last_login", lookup="gte", label="Last login on or after", kind=datetime
    ),
    "seen_before": Condition(
        field="last_login", lookup="lt", label="Last login before", kind=datetime
    ),
    "name_contains": Condition(
        field="",  # whatever the user model signs in by
        lookup="icontains",
        label="User name contains",
        kind=str,
    ),
    "email_ends": Condition(
        field="email", lookup="iendswith", label="E-mail address ends with", kind=str
    ),
}


def conditions() -> dict[str, Condition]:
    """Those that the user model has the fields for."""
    model = get_user_model()
    rows = {
        name: row if row.field else replace(row, field=model.USERNAME_FIELD)
        for name, row in CONDITIONS.items()
    }
    return {name: row for name, row in rows.items() if has_field(model, row.field)}


def users_of(audience: Mapping[str, Any], *, using: str | None = None) -> QuerySet[Any]:
    """The users whom an announcement's audience means, inactive ones too.

    Raises `UnknownUser` for a name that no user has.
    """
    database = using or router.db_for_write(Inbox)
    rows: QuerySet[Any] = get_user_model()._default_manager.using(database).order_by("pk")
    kind = audience.get("kind")
    if kind == "everyone":
        return rows
    if kind == "names":
        return rows.filter(pk__in=list(keys_of_names(audience.get("names", []))))
    if kind == "groups":
        return rows.filter(groups__in=audience.get("groups", [])).distinct()
    if kind == "query":
        return rows.filter(_wanted(audience.get("query", {})))
    return rows.none()


def _wanted(query: Mapping[str, Any]) -> Q:
    wanted, known = Q(), conditions()
    for name, value in query.items():
        row = known[name]
        if row.kind is datetime:
            day = parse_date(str(value))
            value = timezone.make_aware(datetime.combine(day, time.min)) if day else None
        wanted &= Q(**{f"{row.field}__{row.lookup}": value})
    return wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """Whom an announcement would reach if it were sent now."""

    total: int
    inactive: int
    muted: int
    names: list[str]

    @property
    def reached(self) -> int:
        return self.total - self.inactive - self.muted


def preview(announcement: Announcement, *, using: str | None = None) -> Preview:
    """Four queries, however large the audience is. Raises `UnknownUser`."""
    users = users_of(announcement.audience, using=using)
    active = users.filter(is_active=True) if has_field(users.model, "is_active") else users
    total, reachable = users.count(), active.count()
    muted = active.filter(_muted(announcement.type)).count()
    names = [user.get_username() for user in users[:SHOWN]]
    return Preview(total=total, inactive=total - reachable, muted=muted, names=names)


def _muted(kind: EventType) -> Q:
    if kind.critical:
        return Q(pk__in=[])
    choices = Filter.objects.filter(user=OuterRef("pk"), type=kind, channel=Channel.INBOX)
    if kind.inbox:
        return Q(Exists(choices.filter(enabled=False)))
    return ~Q(Exists(choices.filter(enabled=True)))


class NotAsPreviewed(Exception):
    """It was changed, or sent, since the page that was looked at was made."""


def queue(announcement: Announcement, *, seen_at: datetime | None) -> None:
    """Lets the worker send it. `seen_at` is the `changed_at` of the wording that was looked over.

    Raises `NotAsPreviewed`, also where it is sent already.
    """
    if seen_at is None:
        raise NotAsPreviewed
    rows = Announcement.objects.filter(pk=announcement.pk, changed_at=seen_at)
    open_ones = rows.filter(state__in=[State.DRAFT, State.FAILED])
    if not open_ones.update(state=State.QUEUED, queued_at=timezone.now(), error=""):
        raise NotAsPreviewed
    announcement.refresh_from_db()


def send_queued() -> bool:
    """Sends the announcement that waits longest; returns whether there was one."""
    using = router.db_for_write(Announcement)
    skip = connections[using].features.has_select_for_update_skip_locked
    with transaction.atomic(using=using):
        rows = Announcement.objects.using(using).queued().order_by("queued_at")
        row = rows.select_for_update(skip_locked=skip).first()
        if row is None:
            return False
        try:
            with transaction.atomic(using=using):
                row.event_id = _send(row, using).pk
            row.state = State.SENT
        except Exception as error:
            if is_passing(error):
                raise  # it stays queued, and comes up again with the worker's next round
            row.state = State.FAILED
            row.error = (error.detail if isinstance(error, HubError) else fault(error))[:500]
            logger.warning("announcement=%s failed error=%s", row.pk, type(error).__name__)
        row.save(using=using, update_fields=["state", "event_id", "error"])
    return True


def _send(row: Announcement, using: str) -> Any:
    everyone = row.audience.get("kind") == "everyone"
    return send_notification(
        row.type.name,
        users=EVERYONE if everyone else users_of(row.audience, using=using),
        title=row.title,
        message=row.message,
        url=row.url,
        data=row.data,
        tag=row.tag,
        priority=row.priority or None,
        expires_at=row.expires_at,
    )
