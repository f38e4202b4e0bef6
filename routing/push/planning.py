"""Plans deliveries: who of those that a notification reached is to be pushed to, and when.

Runs inside the transaction of a fan-out, under the locks of its inboxes: it reads and inserts, it
asks nobody and locks nothing.
"""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

from django.db.models import Max
from django.utils import timezone

from notifications import EVERYONE
from notifications.event_types import declaration_of
from notifications.models import Event, Priority
from notifications.representation import author_key
from notifications.sql import Sql
from routing.conf import conf
from routing.presence import Presence
from routing.push import applications, quiet_hours
from routing.push.models import Application, Delivery, Device, Preference, Walk
from routing.push.quiet_hours import QuietHours

RANKS = {
    Priority.HIGH: Delivery.Rank.HIGH,
    Priority.NORMAL: Delivery.Rank.NORMAL,
    Priority.LOW: Delivery.Rank.LOW,
}


def plan(event: Event, recipients: Any, using: str) -> None:
    """For `notified`: plans the event's deliveries to `recipients`, or the walk of a broadcast."""
    if event.push is False:
        return
    if recipients is EVERYONE:
        plan_walk(event, using=using)
        return
    pushable = [recipient.user_id for recipient in recipients if recipient.pushable]
    if pushable:
        plan_users(event, pushable, using=using)


def plan_walk(event: Event, *, using: str) -> None:
    """Devices that are registered by now are walked through by the worker."""
    last = Device.objects.using(using).aggregate(last=Max("id"))["last"]
    if last is not None:
        Walk.objects.using(using).bulk_create(
            [Walk(event_id=event.pk, last=last)], ignore_conflicts=True
        )


# All that speaks for or against a push to a device, or puts it off. Each row of the user's own is
# looked up by itself: whatever the planner thinks of these tables, it can read none of them whole.
# The casts: a prepared statement lives on when a migration makes a column longer.
READ = """
    SELECT d.id, d.user_id, CAST(d.backend AS text), d.application_id, CAST(d.origin AS text),
        (SELECT f.enabled FROM {filter} f
            WHERE f.type_id = %s AND f.channel = 'push' AND f.user_id = d.user_id),
        (SELECT 1 FROM {presence} p WHERE p.user_id = d.user_id AND p.until > %s),
        {stamp},
        (SELECT CAST(q.quiet_start AS text) || ' ' || CAST(q.quiet_end AS text) || ' '
            || q.time_zone FROM {preference} q WHERE q.user_id = d.user_id)
    FROM {device} d
    WHERE d.active AND {whose}
    ORDER BY d.id
"""
TABLES = {
    "application": Application,
    "delivery": Delivery,
    "device": Device,
    "preference": Preference,
    "presence": Presence,
}


class Found(NamedTuple):
    """An active device, and what its user wishes; columns of `READ`."""

    device_id: int
    user_id: Any
    backend: str
    application_id: int | None
    origin: str
    #: The user's filter; None where nothing was chosen.
    chosen: bool | None
    #: Whether a client of the user is there.
    looking: bool
    #: Of all applications; None where the database makes none.
    stamp: str | None
    hours: QuietHours | None


def plan_users(event: Event, user_ids: Sequence[Any], *, using: str) -> int:
    """Plans for the active devices of these users; returns how many deliveries that makes."""
    sql = Sql(using)
    return _plan(event, "d.user_id {in_keys}", sql.keys(user_ids), sql)


def plan_devices(event: Event, device_ids: Sequence[int], *, using: str) -> int:
    """As `plan_users`, for some devices of users who have the notification."""
    sql = Sql(using)
    ids = json.dumps(list(device_ids))
    if sql.postgres:
        return _plan(event, "d.id = ANY(%s::bigint[])", "{" + ids[1:-1] + "}", sql)
    return _plan(event, "d.id IN (SELECT value FROM json_each(%s))", ids, sql)


def _plan(event: Event, whose: str, keys: Any, sql: Sql) -> int:
    """What is planned already stays."""
    at = timezone.now()
    if event.expires_at is not None and event.expires_at <= at:
        return 0
    statement = _reading(sql.connection.alias, whose)
    found = map(_found, sql.rows_again(statement, [event.type_id, sql.time(at), keys]))
    critical, default = event.type.critical, default_of(event)
    wanted = [
        device
        for device in found
        # nobody can switch off a critical one
        if critical or (default if device.chosen is None else device.chosen)
    ]
    if wanted:
        _store(event, _rows(event, wanted, at, sql), at, sql)
    return len(wanted)


@cache
def _reading(using: str, whose: str) -> str:
    sql = Sql(using)
    stamp = applications.STAMP if sql.postgres else "NULL"
    return _named(READ.replace("{stamp}", stamp).replace("{whose}", whose), sql)


def _found(row: tuple[Any, ...]) -> Found:
    device_id, key, backend, application, origin, chosen, looking, stamp, span = row
    hours = None if span is None else quiet_hours.of_text(span)
    user_id, looks = author_key(key), looking is not None
    return Found(device_id, user_id, backend, application, origin, chosen, looks, stamp, hours)


def _rows(event: Event, devices: Sequence[Found], at: datetime, sql: Sql) -> list[dict[str, Any]]:
    """What differs between the deliveries of an event, by column."""
    critical, grace, wait = event.type.critical, grace_of(event), conf().push_wait
    known = applications.unchanged(devices[0].stamp, using=sql.connection.alias)
    rows = []
    for device in devices:
        due, end = at, None
        if not critical:
            due = at + grace if device.looking else at
            end = device.hours.end_after(due) if device.hours is not None else None
        application = known.of_device(device.backend, device.application_id)
        rows.append(
            {
                "user_id": device.user_id,
                "device_id": device.device_id,
                "application_id": None if application is None else application.pk,
                "backend": device.backend,
                "origin": device.origin,
                "due": end or due,
                "quiet": end is not None,
                "expires_at": expiry(event, end or due, wait),
            }
        )
    return rows


STORE = """
    INSERT INTO {delivery} ({columns}, {differing})
    SELECT {values}, {differing} FROM json_to_recordset(%s::json) AS r({typed})
    ON CONFLICT (event_id, device_id) DO NOTHING
"""


def _store(event: Event, rows: list[dict[str, Any]], at: datetime, sql: Sql) -> None:
    rank = RANKS[Priority(event.priority)].value
    shared = {"event_id": event.pk, "rank": rank, "created_at": at}
    if not sql.postgres:
        made = [Delivery(**shared, **row) for row in rows]
        Delivery.objects.using(sql.connection.alias).bulk_create(made, ignore_conflicts=True)
        return
    statement, values = _storing(sql.connection.alias, tuple(rows[0]))
    given = [shared.get(name, value) for name, value in values]
    sql.run_again(statement, [*given, json.dumps(rows, default=str)])


@cache
def _storing(using: str, differing: tuple[str, ...]) -> tuple[str, list[tuple[str, Any]]]:
    """`STORE`, and for each of its parameters a column and the model's default."""
    sql, blank = Sql(using), Delivery()
    types = {
        field.attname: field.rel_db_type(sql.connection)
        for field in Delivery._meta.concrete_fields
        if not field.primary_key
    }
    given = {name: getattr(blank, name) for name in types if name not in differing}
    values = [(name, getattr(value, "value", value)) for name, value in given.items()]
    words = {
        "columns": ", ".join(name for name, _ in values),
        "values": ", ".join(f"%s::{types[name]}" for name, _ in values),
        "differing": ", ".join(differing),
        "typed": ", ".join(f"{name} {types[name]}" for name in differing),
    }
    statement = _named(STORE, sql)
    for word, text in words.items():
        statement = statement.replace(f"{{{word}}}", text)
    return statement, values


def _named(template: str, sql: Sql) -> str:
    """With the names of push's tables; those of the domain are filled in by `Sql`."""
    for word, model in TABLES.items():
        name = sql.connection.ops.quote_name(model._meta.db_table)
        template = template.replace(f"{{{word}}}", name)
    return template


def default_of(event: Event) -> bool:
    """Whether the event is pushed to who has chosen nothing. A sender that gives push options, or
    true, wants it pushed; what the user has chosen counts more."""
    return bool(event.type.push) if event.push is None else event.push is not False


def grace_of(event: Event) -> timedelta:
    """How long an acknowledgement is waited for."""
    declared = declaration_of(event.type.name)
    if declared is not None and declared.grace is not None:
        return declared.grace
    return conf().grace


def expiry(event: Event, due: datetime, wait: timedelta) -> datetime:
    """When nothing is tried any more, whatever the delivery waits for; at most for `wait`."""
    latest = due + wait
    return latest if event.expires_at is None else min(latest, event.expires_at)
