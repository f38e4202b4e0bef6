"""The book of deliveries: claim, finish, give back, cancel, retry, expire.

A worker claims rows (a claim id and a lease), leaves the transaction, and writes only what it
still holds. All times are the database's: clocks of machines differ.
"""

import logging
import time
import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connections, router, transaction
from django.db.models import Case, Count, Exists, F, OuterRef, Q, Value, When
from django.db.models.functions import Now

from routing.conf import conf
from routing.push import measures
from routing.push.models import Delivery, DeliveryQuerySet, Pause
from routing.push.signals import delivery_finished, tell

logger = logging.getLogger(__name__)

#: Claimed so often without an answer, a row is claimed alone, once; then it is an error.
MOST_CLAIMS = 3
CHUNK = 500  # rows changed by one statement

State = Delivery.State


def alias(using: str | None = None) -> str:
    return using or router.db_for_write(Delivery)


def clock(*, using: str) -> datetime:
    """The database's time."""
    connection = connections[using]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT statement_timestamp()")
        else:
            cursor.execute("SELECT strftime('%Y-%m-%d %H:%M:%f', 'now') || '+00:00'")
        (found,) = cursor.fetchone()
    return found if isinstance(found, datetime) else datetime.fromisoformat(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Rows that one worker holds, until `ends` (of `time.monotonic()`) at the latest."""

    id: str
    ids: list[int]
    ends: float


def claim(
    application_id: int,
    *,
    most: int,
    lease: timedelta,
    using: str,
    without: Collection[str] = (),
    only: str | None = None,
    alone: bool = False,
    among: Collection[int] | None = None,
) -> Claim | None:
    """Claims at most `most` due rows of an application, by rank and then by age.

    `without` are origins that are left out, `only` is the one that is wanted. With `alone` it
    claims a single row among those that were claimed `MOST_CLAIMS` times without an answer.
    `among` are ids of rows that somebody has chosen, due or not; otherwise rows that wait for a
    batch are left out.
    """
    began = time.monotonic()
    mark = uuid.uuid4().hex
    rows = Delivery.objects.using(using)
    wanted = rows.due() if among is None else rows.waiting().filter(pk__in=list(among))
    wanted = wanted.filter(application=application_id)
    if among is None and not alone and conf().push_batch:
        wanted = wanted.exclude(batch=True)
    if without:
        wanted = wanted.exclude(origin__in=list(without))
    if only is not None:
        wanted = wanted.filter(origin=only)
    wanted = wanted.filter(claims__gte=MOST_CLAIMS if alone else 0)
    if not alone:
        wanted = wanted.filter(claims__lt=MOST_CLAIMS)
    skip = connections[using].features.has_select_for_update_skip_locked
    with transaction.atomic(using=using):
        picked = wanted.select_for_update(skip_locked=skip).order_by("rank", "due")
        ids = list(picked.values_list("pk", flat=True)[: 1 if alone else most])
        if not ids:
            return None
        # Where rows cannot be locked, this condition decides.
        held = rows.waiting().filter(pk__in=ids)
        count = held.update(
            state=State.SENDING, claim=mark, lease=Now() + lease, claims=F("claims") + 1
        )
    if not count:
        return None
    if count < len(ids):  # another worker was faster
        ids = list(rows.filter(pk__in=ids, claim=mark).values_list("pk", flat=True))
    return Claim(id=mark, ids=ids, ends=began + lease.total_seconds())


def due_applications(*, using: str) -> list[tuple[int, bool]]:
    """Applications that have something due, each with whether a row must be claimed alone."""
    rows = Delivery.objects.using(using).due().exclude(application=None).order_by()
    if conf().push_batch:
        rows = rows.exclude(batch=True, claims__lt=MOST_CLAIMS)
    found = rows.values_list("application").annotate(
        alone=Count("pk", filter=Q(claims__gte=MOST_CLAIMS))
    )
    return [(application_id, bool(alone)) for application_id, alone in found]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What becomes of one claimed row."""

    id: int
    claim: str
    state: str
    attempts: int = 0
    claims: int = 0
    #: None leaves it as it is.
    due: datetime | None = None
    give_up_at: datetime | None = None
    error: str = ""
    status: int | None = None
    provider_id: str = ""
    may_have_arrived: bool = False
    suspended: bool = False
    quiet: bool = False
    sent_at: datetime | None = None
    finished_at: datetime | None = None


FINISH = """
    UPDATE {table} SET state = %s, attempts = %s, claims = %s, claim = '', lease = NULL,
        due = COALESCE(%s, due), give_up_at = %s, error = %s, status = %s, provider_id = %s,
        may_have_arrived = %s, suspended = %s, quiet = %s, sent_at = %s, finished_at = %s
    WHERE id = %s AND claim = %s AND state = 'SENDING'
"""


def finish(changes: Sequence[Change], *, using: str) -> int:
    """Writes what became of claimed rows, as far as they are still held; returns how many were."""
    if not changes:
        return 0
    connection: Any = connections[using]
    moment = connection.ops.adapt_datetimefield_value
    statement = FINISH.replace("{table}", connection.ops.quote_name(Delivery._meta.db_table))
    parameters = [_parameters(row, moment) for row in sorted(changes, key=lambda row: row.id)]
    with transaction.atomic(using=using), connection.cursor() as cursor:
        cursor.executemany(statement, parameters)
        held = int(cursor.rowcount)
    if held < len(changes):
        # Another worker has them now, or a person cancelled them: what they say counts.
        logger.warning("finish lost=%s of=%s", len(changes) - held, len(changes))
    if delivery_finished.has_listeners():
        _tell_finished(changes, using)
    return held


def _tell_finished(changes: Sequence[Change], using: str) -> None:
    """Reads what was written: rows that were held no longer say something else."""
    ended = {row.id: row.finished_at for row in changes if row.finished_at is not None}
    for row in Delivery.objects.using(using).filter(pk__in=list(ended)):
        if row.finished_at == ended[row.pk]:
            tell(delivery_finished, using=using, delivery=row)


def _parameters(row: Change, moment: Callable[[datetime | None], Any]) -> tuple[Any, ...]:
    columns = (row.state, row.attempts, row.claims, moment(row.due), moment(row.give_up_at))
    answer = (row.error[:300], row.status, row.provider_id[:255], row.may_have_arrived)
    rest = (row.suspended, row.quiet, moment(row.sent_at), moment(row.finished_at))
    return (*columns, *answer, *rest, row.id, row.claim)


def recover(*, using: str | None = None) -> int:
    """Frees what workers that are gone had claimed; returns how many rows that were."""
    database = alias(using)
    rows = Delivery.objects.using(database).abandoned()
    skip = connections[database].features.has_select_for_update_skip_locked
    with transaction.atomic(using=database):
        picked = rows.select_for_update(skip_locked=skip).order_by("lease")
        ids = list(picked.values_list("pk", flat=True)[:CHUNK])
        if not ids:
            return 0
        held = rows.filter(pk__in=ids)
        lost = held.filter(claims__gt=MOST_CLAIMS).update(
            state=State.ERROR,
            error=f"no answer in {MOST_CLAIMS + 1} claims",
            may_have_arrived=True,
            claim="",
            lease=None,
            finished_at=Now(),
        )
        freed = held.update(state=_waiting_state(), claim="", lease=None, may_have_arrived=True)
    logger.warning("recovered freed=%s given_up=%s", freed, lost)
    return freed + lost


def _waiting_state() -> Case:
    return Case(When(attempts__gt=0, then=Value(State.ERROR_RETRY)), default=Value(State.WAITING))


def expire(*, using: str | None = None) -> int:
    """Ends what is too old, a chunk at a time; returns how many rows that were."""
    database = alias(using)
    rows = Delivery.objects.using(database).waiting()
    paused = Pause.objects.using(database).filter(
        Q(origin="") | Q(origin=OuterRef("origin")),
        application=OuterRef("application"),
        kind=Pause.Kind.FAULT,
    )
    # A pause takes nothing from the time in which it is tried again.
    tried_out = Q(give_up_at__lte=Now()) & ~Exists(paused)
    old = rows.filter(Q(expires_at__lte=Now()) | tried_out).order_by()
    chosen = dict(old.values_list("pk", "backend")[:CHUNK])
    if not chosen:
        return 0
    measures.expired(chosen.values())
    return rows.filter(pk__in=chosen).update(
        state=State.EXPIRED,
        error=Case(
            When(application=None, then=Value("no application for it")),
            When(error="", then=Value("too old")),
            default=F("error"),
        ),
        finished_at=Now(),
    )


def cancel(rows: DeliveryQuerySet) -> int:
    """A person does not want them any more. What is being sent already is left alone."""
    return rows.waiting().update(state=State.CANCELLED, finished_at=Now(), error="cancelled")


def retry(rows: DeliveryQuerySet) -> int:
    """Makes finished rows that were not sent due again, with all their attempts."""
    states = (State.ERROR, State.EXPIRED, State.CANCELLED, State.SKIPPED)
    return rows.filter(state__in=states).update(
        state=State.WAITING,
        due=Now(),
        expires_at=Now() + conf().push_wait,
        give_up_at=None,
        attempts=0,
        claims=0,
        suspended=False,
        error="",
        finished_at=None,
    )


def skip(rows: DeliveryQuerySet, *, reason: str) -> int:
    """The hub does not want them to be sent. What is on its way is dropped by the re-read."""
    return rows.waiting().update(state=State.SKIPPED, error=reason[:300], finished_at=Now())


def count(rows: DeliveryQuerySet) -> dict[str, int]:
    """How many of these deliveries are in each state."""
    found = dict(rows.order_by().values_list("state").annotate(count=Count("pk")))
    return {state: found.get(state, 0) for state in State.values}
