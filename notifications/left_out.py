"""Who was left out of an event, and why: written when it happens, since filters and users change.

A send to whom it reaches costs nothing here. Where fewer inboxes took the event than were
addressed, one more statement of the same transaction says which rule left the others out.
"""

import json
import logging
from collections.abc import Iterable, Sequence
from typing import Any

from django.db import DatabaseError, transaction
from django.db.models import Sum
from django.utils import timezone

from notifications.models import Audience, Event, LeftOut
from notifications.signals import Recipient
from notifications.sql import Sql, are_integers, fault

logger = logging.getLogger(__name__)

Rule = LeftOut.Rule

# In this order: of several rules the one that nothing else could have changed is named.
JUDGE = """
    INSERT INTO {left_out} (event_id, rule, number, user_ids, at)
    SELECT %s, judged.rule, count(*), {as_json}, %s
    FROM (
        SELECT k.key, CASE
            WHEN u.{user_key} IS NULL THEN 'unknown'
            WHEN NOT (TRUE {is_active}) THEN 'inactive'
            WHEN n.user_id IS NOT NULL THEN 'already'
            WHEN NOT {told} THEN 'muted'
            ELSE 'changed' END AS rule
        FROM (SELECT {each_key}) k
        LEFT JOIN {users} u ON u.{user_key} = k.key
        LEFT JOIN {filter} f ON f.type_id = %s AND f.channel = 'inbox' AND f.user_id = k.key
        LEFT JOIN {notification} n ON n.user_id = k.key AND n.event_id = %s
    ) judged
    GROUP BY judged.rule
"""
OF_USER = """
    SELECT id FROM {left_out} WHERE event_id = %s
    AND EXISTS (SELECT 1 FROM json_each(user_ids) WHERE json_quote(value) = %s)
"""
OF_USER_POSTGRES = "SELECT id FROM {left_out} WHERE event_id = %s AND user_ids @> %s::jsonb"


def judge(
    event: Event, user_ids: Sequence[Any], recipients: Sequence[Recipient], *, using: str
) -> None:
    """Records those of `user_ids` (a few chunks at most) that are not among the recipients.

    Runs in the caller's transaction, right after the arrival; one statement, and none at all
    where everybody got the event.
    """
    if len(recipients) >= len(user_ids):
        return
    reached = set(_as_json((recipient.user_id for recipient in recipients), using))
    missing = set(_as_json(user_ids, using)) - reached
    if not missing:
        return  # an audience named somebody twice
    sql = Sql(using)
    told = "TRUE" if event.type.critical else f"COALESCE(f.enabled, {bool(event.type.inbox)})"
    at = sql.time(timezone.now())
    values = [event.pk, at, sql.keys(missing), event.type_id, event.pk]
    sql.run(_statement(sql).replace("{told}", told.upper()), values)


def judge_apart(
    event: Event, user_ids: Sequence[Any], recipients: Sequence[Recipient], *, using: str
) -> None:
    """`judge` after the event was committed: then a fault loses the record and nothing else."""
    if len(recipients) >= len(user_ids):
        return
    try:
        with transaction.atomic(using=using):
            judge(event, user_ids, recipients, using=using)
    except DatabaseError as error:
        logger.warning("left_out event=%s not recorded error=%s", event.pk, fault(error))


def _statement(sql: Sql) -> str:
    each_key = f"unnest(%s::{sql.key_type}[])" if sql.postgres else "value"
    words = {
        "as_json": "jsonb_agg(judged.key)" if sql.postgres else "json_group_array(judged.key)",
        "each_key": f"{each_key} AS key" + ("" if sql.postgres else " FROM json_each(%s)"),
    }
    text = JUDGE
    for name, part in words.items():
        text = text.replace(f"{{{name}}}", part)
    return text


def expired(event: Event, user_ids: Sequence[Any] | None, *, using: str) -> None:
    """The event was over before it could arrive; None stands for everybody."""
    _record(event.pk, Rule.EXPIRED, user_ids, using)


def dropped(audience: Audience, *, using: str) -> None:
    """A person gives a parked audience up. Where only the push was still to be planned, its users
    have the event."""
    if not audience.plan_only:
        user_ids = None if audience.everyone else audience.user_ids
        _record(audience.event_id, Rule.DROPPED, user_ids, using)


def _record(event_id: int, rule: Rule, user_ids: Sequence[Any] | None, using: str) -> None:
    keys = _as_json(user_ids or [], using)
    LeftOut.objects.using(using).create(
        event_id=event_id,
        rule=rule,
        number=len(keys),
        user_ids=None if user_ids is None else keys,
    )


def muted(found: Iterable[tuple[Event, Sequence[Any]]], *, using: str) -> None:
    """Users who had muted a broadcast when their inboxes took it in."""
    rows = [
        LeftOut(
            event_id=event.pk,
            rule=Rule.MUTED,
            number=len(user_ids),
            user_ids=_as_json(user_ids, using),
        )
        for event, user_ids in found
        if user_ids
    ]
    if rows:
        LeftOut.objects.using(using).bulk_create(rows)


def _as_json(user_ids: Iterable[Any], using: str) -> list[Any]:
    """Keys as `judge` writes them: an integer, or text."""
    sql = Sql(using)
    keys = list(user_ids)
    if are_integers(keys):
        return keys
    keys = [sql.key(user_id) for user_id in keys]
    return [key if isinstance(key, int) else str(key) for key in keys]


def counts(event_id: int, *, using: str) -> dict[str, int]:
    """How many were left out, by rule; -1 where it was everybody."""
    rows = LeftOut.objects.using(using).filter(event=event_id).order_by()
    found = dict(rows.values_list("rule").annotate(number=Sum("number")))
    everybody = rows.filter(user_ids__isnull=True).values_list("rule", flat=True)
    found |= dict.fromkeys(everybody, -1)
    return found


def of_user(event_id: int, user_id: Any, *, using: str) -> list[LeftOut]:
    """The records that name this user, oldest first."""
    sql = Sql(using)
    [key] = _as_json([user_id], using)
    rows = sql.rows(OF_USER_POSTGRES if sql.postgres else OF_USER, [event_id, json.dumps(key)])
    found = LeftOut.objects.using(using).filter(pk__in=[row[0] for row in rows])
    return list(found.order_by("pk"))
