"""Fan-out: what turns an Audience row into notifications, from whichever process comes first."""

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from django.db import DatabaseError, transaction
from django.utils import timezone

from notifications import inbox
from notifications.audiences import EVERYONE, user_key
from notifications.models import Audience, Event
from notifications.signals import Arrived, Recipient, notified
from notifications.sql import Sql, fault, is_passing, is_repeatable

logger = logging.getLogger(__name__)

#: An inline row is due for the worker only when its sender had time to do it itself.
INLINE_HEAD_START = timedelta(seconds=2)
REPEATS = 4  # tries at once after a deadlock or a serialization failure
TRIES_BEFORE_SPLIT = 3
BACKOFF = timedelta(seconds=1)  # doubled with every attempt
LONGEST_BACKOFF = timedelta(minutes=1)
SENDER_LOCK_WAIT = 500  # milliseconds: a caller is never held longer
WORKER_LOCK_WAIT = 5_000

Answer = TypeVar("Answer")


def fan_out(audience_id: int, *, using: str, lock_wait: int = WORKER_LOCK_WAIT) -> bool:
    """Fans one Audience row out, in its own transaction, and announces it after the commit.

    Whoever finds the row locked leaves it to its holder. A fault is recorded on the row, which
    comes up again later; it raises nothing. Returns whether this call did the work.
    """
    try:
        return repeated(lambda: _fan_out(audience_id, using, lock_wait))
    except Exception as error:
        logger.warning("fan_out audience=%s failed error=%s", audience_id, fault(error))
        record_failure(audience_id, error, using=using)
        return False


def repeated(work: Callable[[], Answer]) -> Answer:
    """Runs `work`, a whole transaction, again where the database asks for exactly that."""
    for _ in range(REPEATS - 1):
        try:
            return work()
        except DatabaseError as error:
            if not is_repeatable(error):
                raise
    return work()


def _fan_out(audience_id: int, using: str, lock_wait: int) -> bool:
    rows = Audience.objects.using(using).waiting().filter(pk=audience_id)
    ahead = rows.first()
    if ahead is None:
        return False
    if not ahead.everyone and not ahead.plan_only:
        # in a transaction of its own, before the first lock
        inbox.ensure(keys_of(ahead, using), using=using)
    with transaction.atomic(using=using):
        Sql(using).limit_lock_wait(lock_wait)
        audience = rows.select_for_update(skip_locked=_can_skip(using)).first()
        if audience is None:
            return False
        event = (
            Event.objects.using(using)
            .select_related("type", "author")
            .filter(pk=audience.event_id)
            .first()
        )
        if event is None or deliver(event, audience, using=using):
            audience.delete()
        else:
            keep_for_planning(audience)
    return True


def _can_skip(using: str) -> bool:
    return Sql(using).postgres


def keys_of(audience: Audience, using: str) -> list[Any]:
    keys = (user_key(stored, using=using) for stored in audience.user_ids)
    return [key for key in keys if key is not None]


def deliver(event: Event, audience: Audience, *, using: str) -> bool:
    """Does what the row asks for, inside the caller's transaction.

    Returns False when a receiver of `notified` failed and has to be asked again.
    """
    if audience.everyone:
        if not audience.plan_only:
            inbox.stamp_broadcast(event, using=using)
        return event.broadcast is None or plan(event, EVERYONE, using=using)
    keys = keys_of(audience, using)
    if audience.plan_only:
        return plan(event, inbox.stored_recipients(event, keys, using=using), using=using)
    return plan(event, store(event, keys, using=using), using=using)


def store(event: Event, keys: list[Any], *, using: str) -> list[Recipient]:
    """Stores the event in these inboxes and announces it. One that is over tells nobody."""
    if event.expires_at is not None and event.expires_at <= timezone.now():
        return []
    recipients = inbox.arrive(event, keys, using=using)
    tell(event, recipients, using=using)
    return recipients


def tell(event: Event, recipients: list[Recipient], *, using: str) -> None:
    """Announces an arrival after the commit; nothing where nobody got it."""
    if recipients:
        inbox.announce(Arrived(event=event, recipients=recipients), using=using)


def plan(event: Event, recipients: Any, *, using: str) -> bool:
    """Sends `notified`; a receiver that fails takes nothing down but its own writes."""
    if not recipients or not notified.receivers:
        return True
    try:
        with transaction.atomic(using=using):
            notified.send(sender=Event, event=event, recipients=recipients, using=using)
    except Exception:
        logger.exception("notified receiver failed event=%s", event.pk)
        return False
    return True


def keep_for_planning(audience: Audience) -> None:
    """The notifications are stored; the row stays so that the failed receivers are asked again."""
    audience.attempts = audience.attempts + 1 if audience.plan_only else 1
    audience.plan_only = True
    audience.last_error = "a receiver of notified failed"
    audience.due = timezone.now() + backoff(audience.attempts)
    if audience.attempts < TRIES_BEFORE_SPLIT:
        audience.save()
    else:
        split_or_park(audience)


def record_failure(audience_id: int, error: Exception, *, using: str) -> None:
    """Backs a failed row off; one that keeps failing is halved down to the user it fails on."""
    try:
        with transaction.atomic(using=using):
            rows = Audience.objects.using(using).waiting().filter(pk=audience_id)
            audience = rows.select_for_update(skip_locked=_can_skip(using)).first()
            if audience is None:
                return
            audience.attempts += 1
            # the first line only: below it PostgreSQL quotes the row
            audience.last_error = f"{type(error).__name__}: {error}".splitlines()[0][:500]
            audience.due = timezone.now() + backoff(audience.attempts)
            # Locks and lost connections say nothing of the rows: such a row only waits.
            if is_passing(error) or audience.attempts < TRIES_BEFORE_SPLIT:
                audience.save()
            else:
                split_or_park(audience)
    except DatabaseError as failure:
        # The row is untouched and due: the worker finds it when the database is back.
        logger.warning("record_failure audience=%s error=%s", audience_id, fault(failure))


def backoff(attempts: int) -> timedelta:
    doubled = 1 << min(attempts - 1, 10)
    return min(BACKOFF * doubled, LONGEST_BACKOFF)


def split_or_park(audience: Audience) -> None:
    """Two halves in place of the row, each with one more try; a single user is parked."""
    if audience.everyone or len(audience.user_ids) <= 1:
        audience.state = Audience.State.PARKED
        audience.save()
        logger.error(
            "audience parked event=%s users=%s error=%s",
            audience.event_id,
            audience.user_ids,
            audience.last_error.partition(":")[0],
        )
        return
    middle = len(audience.user_ids) // 2
    for half in (audience.user_ids[:middle], audience.user_ids[middle:]):
        Audience.objects.using(audience._state.db).create(
            event_id=audience.event_id,
            user_ids=half,
            plan_only=audience.plan_only,
            lane=audience.lane,
            due=timezone.now(),
            attempts=TRIES_BEFORE_SPLIT - 1,
            last_error=audience.last_error,
        )
    audience.delete()
