"""Fan-out: what turns an Audience row into notifications, from whichever process comes first."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from functools import partial
from itertools import groupby, islice
from operator import attrgetter, itemgetter
from typing import Any, TypeVar

from django.db import DatabaseError, IntegrityError, models, transaction
from django.utils import timezone

from notifications import events, inbox, left_out, measures
from notifications.audiences import CHUNK, EVERYONE
from notifications.models import Audience, Event
from notifications.signals import Arrived, Recipient, notified, only_push_listens
from notifications.sql import Sql, fault, is_passing, is_repeatable
from notifications.templating.wording import own_words

logger = logging.getLogger(__name__)

#: An inline row is due for the worker only when its sender had time to do it itself.
INLINE_HEAD_START = timedelta(seconds=2)
TOGETHER = 10  # rows of one event in one transaction: a third faster than 2, locks for some 80 ms
REPEATS = 4  # tries at once after a deadlock or a serialization failure
TRIES_BEFORE_SPLIT = 3
BACKOFF = timedelta(seconds=1)  # doubled with every attempt
LONGEST_BACKOFF = timedelta(minutes=1)
SENDER_LOCK_WAIT = 500  # milliseconds: a caller is never held longer
WORKER_LOCK_WAIT = 5_000

PUSHABLE = attrgetter("pushable")

Answer = TypeVar("Answer")


def fan_out(*audience_ids: int, using: str, lock_wait: int = WORKER_LOCK_WAIT) -> int:
    """Fans Audience rows of one event out, in one transaction of its own, and announces them after
    the commit.

    Whoever finds a row locked leaves it to its holder. Where several rows fail together each is
    tried alone; a fault of one is recorded on it, and it comes up again later. Raises nothing.
    `lock_wait` is in milliseconds. Returns how many of the rows this call did.
    """
    try:
        return _fan_out_somehow(audience_ids, using, lock_wait)
    except Exception as error:
        if len(audience_ids) > 1:
            return sum(fan_out(one, using=using, lock_wait=lock_wait) for one in audience_ids)
        [audience_id] = audience_ids
        logger.warning("fan_out audience=%s failed error=%s", audience_id, fault(error))
        record_failure(audience_id, error, using=using)
        return 0


def _fan_out_somehow(audience_ids: Sequence[int], using: str, lock_wait: int) -> int:
    """At first as if nobody had the event and everybody an inbox, which is nearly always so."""
    fresh, ensured = True, False
    while True:
        work = partial(_fan_out, audience_ids, using, lock_wait, fresh=fresh, ensured=ensured)
        try:
            return repeated(work)
        except IntegrityError:
            if not fresh:
                raise
            fresh = False  # somebody has the event already: named twice, or told before a crash
        except NoInbox as found:
            # in a transaction of its own, before the first lock
            inbox.ensure(found.user_ids, using=using)
            ensured = True


class NoInbox(Exception):
    """Users who are to get the event have no inbox yet: the transaction is to be repeated."""

    def __init__(self, user_ids: list[Any]) -> None:
        super().__init__(f"{len(user_ids)} users have no inbox")
        self.user_ids = user_ids


def together(rows: models.QuerySet[Audience]) -> Iterator[list[int]]:
    """The keys of `rows`, in their order, as `fan_out` takes them: neighbours of one event.

    Where all writers take turns, on SQLite, each row by itself: a turn is at most 500 users.
    """
    size = TOGETHER if Sql(rows.db).postgres else 1
    keys = rows.values_list("event_id", "pk")
    for _, group in groupby(keys, key=itemgetter(0)):
        while part := [pk for _, pk in islice(group, size)]:
            yield part


def repeated(work: Callable[[], Answer]) -> Answer:
    """Runs `work`, a whole transaction, again where the database asks for exactly that."""
    for _ in range(REPEATS - 1):
        try:
            return work()
        except DatabaseError as error:
            if not is_repeatable(error):
                raise
    return work()


def _fan_out(
    audience_ids: Sequence[int], using: str, lock_wait: int, *, fresh: bool, ensured: bool
) -> int:
    rows = Audience.objects.using(using).waiting().filter(pk__in=audience_ids)
    with transaction.atomic(using=using):
        Sql(using).limit_lock_wait(lock_wait)
        audiences = list(rows.select_for_update(skip_locked=_can_skip(using)))
        if not audiences:
            return 0
        kept = []
        for event in events.with_types([audiences[0].event_id], using=using):
            kept = deliver(event, audiences, using=using, fresh=fresh, ensured=ensured)
        for audience in kept:
            keep_for_planning(audience)
        done = [audience.pk for audience in audiences if audience not in kept]
        Audience.objects.using(using).filter(pk__in=done).delete()
    return len(audiences)


def _can_skip(using: str) -> bool:
    return Sql(using).postgres


def keys_of(audiences: Iterable[Audience]) -> list[Any]:
    """The ids of those rows that are still to be stored, as the rows hold them."""
    return [
        key
        for audience in audiences
        if not (audience.everyone or audience.plan_only)
        for key in audience.user_ids
    ]


def deliver(
    event: Event, audiences: Iterable[Audience], *, using: str, fresh: bool, ensured: bool
) -> list[Audience]:
    """Does what the rows ask for, inside the caller's transaction.

    `fresh` and `ensured` as `store` takes them. Returns those rows of which a receiver of
    `notified` failed and has to be asked again.
    """
    kept = []
    storing = [row for row in audiences if not (row.everyone or row.plan_only)]
    if storing:
        keys = keys_of(storing)
        recipients = store(event, keys, using=using, fresh=fresh, ensured=ensured)
        if not plan(event, recipients, using=using):
            kept += storing
    for row in audiences:
        if row.everyone:
            if not row.plan_only:
                inbox.stamp_broadcast(event, using=using)
                if event.broadcast is None:
                    left_out.expired(event, None, using=using)
            fine = event.broadcast is None or plan(event, EVERYONE, using=using)
        elif row.plan_only:
            stored = inbox.stored_recipients(event, row.user_ids, using=using)
            fine = plan(event, stored, using=using)
        else:
            continue
        if not fine:
            kept.append(row)
    return kept


def store(
    event: Event, keys: Sequence[Any], *, using: str, fresh: bool, ensured: bool = True
) -> list[Recipient]:
    """Stores the event in these inboxes and announces it. One that is over tells nobody.

    `fresh` as `inbox.arrive` takes it. Raises `NoInbox` where, unless it is `ensured` that there
    are none, active users have no inbox.
    """
    if event.expires_at is not None and event.expires_at <= timezone.now():
        left_out.expired(event, keys, using=using)
        return []
    words = own_words(event, keys, using=using)
    recipients = inbox.arrive(event, keys, using=using, words=words, fresh=fresh)
    if len(recipients) < len(keys):
        if not ensured and (lacking := inbox.lacking(keys, using=using)):
            raise NoInbox(lacking)
        left_out.judge(event, keys, recipients, using=using)
    tell(event, recipients, using=using)
    return recipients


def tell(event: Event, recipients: list[Recipient], *, using: str) -> None:
    """Announces an arrival after the commit; nothing where nobody got it."""
    for part in _parts(recipients):
        inbox.announce(Arrived(event=event, recipients=part), using=using)
    if recipients:
        measures.stored_at_commit(event, using=using)


def _parts(recipients: list[Recipient]) -> Iterator[list[Recipient]]:
    """What receivers are told of in one go."""
    for start in range(0, len(recipients), CHUNK):
        yield recipients[start : start + CHUNK]


def plan(event: Event, recipients: Any, *, using: str) -> bool:
    """Sends `notified`; a receiver that fails takes nothing down but its own writes."""
    if not recipients or not notified.receivers:
        return True
    if recipients is not EVERYONE and only_push_listens() and not any(map(PUSHABLE, recipients)):
        return True
    try:
        with transaction.atomic(using=using):
            ask_receivers(event, recipients, using=using)
    except Exception:
        logger.exception("notified receiver failed event=%s", event.pk)
        return False
    return True


def ask_receivers(event: Event, recipients: Any, *, using: str) -> None:
    """Sends `notified`, a chunk at a time; raises what a receiver raises."""
    for part in [EVERYONE] if recipients is EVERYONE else _parts(recipients):
        notified.send(sender=Event, event=event, recipients=part, using=using)


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
