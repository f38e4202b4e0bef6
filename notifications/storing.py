"""How a validated send is stored: by one statement or transaction where the caller has none open
(the short way), else in the caller's transaction, with the fan-out after its commit (the long way).
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

from django.db import connections, transaction
from django.utils import timezone

from notifications import fanout, inbox, left_out, related
from notifications.audiences import Addressed, stored_keys
from notifications.errors import IdempotencyConflict, TemplateRefused
from notifications.models import Audience, Event, IdempotencyKey
from notifications.opening import Opening
from notifications.signals import Recipient, only_push_listens
from notifications.sql import Sql, fault
from notifications.templating import guard, wording

logger = logging.getLogger(__name__)

CHUNKS_AT_ONCE = 10  # of a large audience, stored by one statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A validated send: the event as it will be stored, and what belongs to it."""

    event: Event
    audience: Addressed
    links: list[tuple[int, str]]
    scope: str
    key: str
    digest: str
    using: str
    #: Whether it is stored once only of its template for these links.
    once: bool = False


def store(draft: Draft, opening: Opening) -> Event:
    """Returns the draft's event, or the earlier one that its idempotency key stands for.

    Raises `IdempotencyConflict` where the earlier call said something else, `TemplateRefused` where
    a template that is sent once only was sent already.
    """
    connection = connections[draft.using]
    free = connection.get_autocommit() and not connection.in_atomic_block
    if draft.audience.small and free:
        return _short_way(draft, opening)
    return _long_way(draft)


def _short_way(draft: Draft, opening: Opening) -> Event:
    """One transaction of event, fan-out and receivers, where the caller has none open."""
    using, event = draft.using, draft.event
    try:
        if _fits_one_statement(draft, opening) and _at_once(draft, opening):
            return event
        keys = draft.audience.first
        inbox.ensure(keys, using=using)
        with transaction.atomic(using=using):
            Sql(using).limit_lock_wait(fanout.SENDER_LOCK_WAIT)
            earlier = _store(draft)
            if earlier is not None:
                return earlier
            recipients = fanout.store(event, keys, using=using, fresh=True)
            if not fanout.plan(event, recipients, using=using):
                _plan_later(draft, using)
        return event
    except (IdempotencyConflict, TemplateRefused):
        raise
    except Exception as error:
        logger.warning("send the short way failed, going the long way error=%s", fault(error))
        if not Sql(using).postgres:
            event.pk = None
        event._state.adding = True
        return _long_way(draft, inline=False)


def _fits_one_statement(draft: Draft, opening: Opening) -> bool:
    """Whether there is nothing to store but the event and its notifications."""
    expires_at, keys = draft.event.expires_at, draft.audience.first
    ended = expires_at is not None and expires_at <= timezone.now()
    alone = bool(keys) and not (draft.key or draft.links or ended)
    return alone and Sql(draft.using).postgres and opening.inboxes == len(keys)


def _at_once(draft: Draft, opening: Opening) -> bool:
    """Event and arrivals by one statement; False where nothing was stored, since an inbox is
    missing.

    Where somebody has to be asked what else is to be stored a transaction is open around it.
    """
    using, event, keys = draft.using, draft.event, draft.audience.first
    words = wording.own_words(event, keys, using=using)
    store = partial(
        inbox.store_and_arrive,
        event,
        keys,
        using=using,
        lock_wait=fanout.SENDER_LOCK_WAIT,
        words=words,
    )
    if only_push_listens() and not opening.pushable:
        stored = store()
        if stored is not None:
            fanout.tell(event, stored, using=using)
            left_out.judge_apart(event, keys, stored, using=using)
            return True
    try:
        return _with_receivers(draft, store, ask=True)
    except _ReceiverFailed:
        # A savepoint for what hardly ever happens would cost every send two statements.
        return _with_receivers(draft, store, ask=False)


def _with_receivers(
    draft: Draft, store: Callable[..., list[Recipient] | None], *, ask: bool
) -> bool:
    """`_at_once` with a transaction around it; without asking, a row stays to ask from later."""
    using, event, keys = draft.using, draft.event, draft.audience.first
    with transaction.atomic(using=using):
        stored = store(asked=True)
        if stored is None:
            return False
        left_out.judge(event, keys, stored, using=using)
        fanout.tell(event, stored, using=using)
        if not ask:
            _plan_later(draft, using)
            return True
        try:
            fanout.ask_receivers(event, stored, using=using)
        except Exception as error:
            logger.exception("notified receiver failed event=%s", event.pk)
            raise _ReceiverFailed from error
    return True


class _ReceiverFailed(Exception):
    """Ends the transaction in which a receiver of `notified` raised."""


def _plan_later(draft: Draft, using: str) -> None:
    row = _audience_row(draft, draft.audience.first, inline=True)
    row.plan_only, row.attempts = True, 1
    row.save(using=using)


def _long_way(draft: Draft, *, inline: bool = True) -> Event:
    """Event and Audience rows in the caller's transaction; fan-out after its commit."""
    using = draft.using
    with transaction.atomic(using=using):
        earlier = _store(draft)
        if earlier is not None:
            return earlier
        small = draft.audience.everyone or draft.audience.small
        chunks = draft.audience.chunks() if not draft.audience.everyone else iter([[]])
        rows = []
        # however large the audience is, only a handful of its chunks is held at a time
        while some := list(islice(chunks, CHUNKS_AT_ONCE)):
            made = [_audience_row(draft, keys, inline=inline and small) for keys in some]
            made = Audience.objects.using(using).bulk_create(made)
            if small:
                rows += [row.pk for row in made]
        if rows and inline:
            # One hook per send. Where transactions are managed by hand it may run late or never:
            # the rows are due by then, and the worker's.
            hook = partial(_after_commit, rows, using)
            transaction.on_commit(hook, using=using, robust=True)
    return draft.event


def _after_commit(audience_ids: list[int], using: str) -> None:
    for audience_id in audience_ids:
        fanout.fan_out(audience_id, using=using, lock_wait=fanout.SENDER_LOCK_WAIT)


def _audience_row(draft: Draft, keys: list[Any], *, inline: bool) -> Audience:
    at = timezone.now()
    small = draft.audience.everyone or draft.audience.small
    return Audience(
        event_id=draft.event.pk,
        everyone=draft.audience.everyone,
        user_ids=stored_keys(keys),
        lane=Audience.Lane.SMALL if small else Audience.Lane.BULK,
        due=at + fanout.INLINE_HEAD_START if inline else at,
    )


def _store(draft: Draft) -> Event | None:
    """Stores the event and its links; under a known idempotency key answers the earlier event.

    Raises `IdempotencyConflict` when the earlier call said something else, `TemplateRefused`
    where a template that is sent once only was sent already.
    """
    using, event = draft.using, draft.event
    try:
        # of its own where its key may turn out to be known: then the event goes again
        with transaction.atomic(using=using, savepoint=bool(draft.key)):
            _store_event(event, using)
            if draft.key:
                _claim_key(draft)
            if draft.once:
                guard.claim(event, draft.links, using=using)
    except _Repeated as repeated:
        return _earlier(repeated.event_id, using)
    related.store(event, draft.links, using=using)
    return None


def _store_event(event: Event, using: str) -> None:
    if not event.pk:
        event.save(using=using, force_insert=True)
        return
    # A send that is repeated after a lost connection may find its own event.
    Event.objects.using(using).bulk_create([event], ignore_conflicts=True)
    event._state.adding, event._state.db = False, using


class _Repeated(Exception):
    """Ends the savepoint of an event whose idempotency key is known."""

    def __init__(self, event_id: int) -> None:
        super().__init__(event_id)
        self.event_id = event_id


def _claim_key(draft: Draft) -> None:
    """Takes the key for this event; whoever takes it at the same time waits for us, or we do."""
    rows = IdempotencyKey.objects.using(draft.using)
    row = IdempotencyKey(
        scope=draft.scope, key=draft.key, digest=draft.digest, event_id=draft.event.pk
    )
    rows.bulk_create([row], ignore_conflicts=True)
    stored = rows.get(scope=draft.scope, key=draft.key)
    if stored.digest != draft.digest:
        raise IdempotencyConflict(f"the key {draft.key!r} was used for another notification")
    if stored.event_id != draft.event.pk:
        raise _Repeated(stored.event_id)


def _earlier(event_id: int, using: str) -> Event:
    """The event of the first call, even where retention has removed it since."""
    rows = Event.objects.using(using).select_related("type", "author")
    event = rows.filter(pk=event_id).first() or Event(pk=event_id)
    event.repeated = True
    return event
