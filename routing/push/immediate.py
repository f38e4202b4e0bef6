"""Sends at once, in the caller's process: as many messages at a time as an application has slots.

What is recorded goes the worker's way: claimed, looked at again, handed over, written. Until the
caller comes to it a row is held back from workers, for the time of a lease; what the caller leaves,
because its provider does not answer, because that time is up or because it died, is theirs.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Protocol

from django.db import connections
from django.db.models.functions import Now

from routing.conf import conf
from routing.push import applications, clients, deliveries, pausing
from routing.push.deliveries import alias
from routing.push.flight import BATCH, Answered, Flight
from routing.push.handing_over import Endpoint, Message
from routing.push.models import Application, Delivery
from routing.push.pausing import PAUSED, Blocked

#: So many messages without any answer, and an application's provider is taken to be away.
SILENT = 20
PATIENCE = 0.05  # seconds it waits for the first answer

AWAY = "the provider does not answer"


def hold() -> timedelta:
    """How long workers leave the rows of a call alone."""
    return conf().push_lease


class Queue(Protocol):
    """What one application has yet to send."""

    def __len__(self) -> int: ...

    def start(self, flight: Flight, endpoint: Endpoint, blocked: Blocked, most: int) -> None:
        """Hands over at most `most`, and forgets them."""

    def leave(self, reason: str) -> None:
        """They are not sent now."""


class Rows:
    """Stored deliveries, by id."""

    def __init__(self, ids: Sequence[int], *, using: str) -> None:
        self._ids, self._using = list(ids), using

    def __len__(self) -> int:
        return len(self._ids)

    def start(self, flight: Flight, endpoint: Endpoint, blocked: Blocked, most: int) -> None:
        most = min(most, BATCH)
        chosen, self._ids = self._ids[:most], self._ids[most:]
        claim = flight.claim(endpoint, most=most, among=chosen)
        if claim is not None:
            flight.hand_over(endpoint, claim, blocked)

    def leave(self, reason: str) -> None:
        """Workers may have them."""
        rows = Delivery.objects.using(self._using).filter(pk__in=self._ids, due__gt=Now())
        rows.waiting().filter(attempts=0).update(due=Now())
        self._ids = []


class Messages:
    """Messages that are recorded nowhere."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self._messages = list(messages)
        #: Those that were not sent, and why.
        self.left: list[tuple[Message, str]] = []

    def __len__(self) -> int:
        return len(self._messages)

    def start(self, flight: Flight, endpoint: Endpoint, blocked: Blocked, most: int) -> None:
        chosen, self._messages = self._messages[:most], self._messages[most:]
        flight.start(endpoint, chosen)

    def leave(self, reason: str) -> None:
        self.left = [(message, reason) for message in self._messages]
        self._messages = []


class Pace:
    """How many messages a call has on their way at once, at most, and which providers answer."""

    def __init__(self, at_once: int | None = None) -> None:
        self.at_once = at_once
        self._silent: Counter[int] = Counter()

    def note(self, answered: Sequence[Answered]) -> None:
        for message, outcome in answered:
            if outcome.was_answered:
                self._silent[message.application.pk] = 0
            else:
                self._silent[message.application.pk] += 1

    def is_away(self, application: Application) -> bool:
        return self._silent[application.pk] >= SILENT


def send_rows(
    by_application: Mapping[int, Sequence[int]], *, pace: Pace, using: str | None = None
) -> None:
    """Sends stored deliveries, given by their applications' ids, and writes what became of them."""
    database = alias(using)
    known = applications.current(using=database).by_id
    queues: dict[Application, Queue] = {
        known[pk]: Rows(ids, using=database) for pk, ids in by_application.items() if pk in known
    }
    _run(queues, pace=pace, using=database, seconds=hold().total_seconds())


def send_messages(
    by_application: Mapping[Application, Sequence[Message]], *, pace: Pace, using: str
) -> list[Answered | tuple[Message, str]]:
    """Sends messages that are not recorded; returns the outcome of each, or why it was not sent.

    What the answers say of devices and applications is written all the same.
    """
    queues = {owner: Messages(found) for owner, found in by_application.items()}
    answered = _run(queues, pace=pace, using=using, seconds=None)
    return [*answered, *(each for queue in queues.values() for each in queue.left)]


def _run(
    queues: Mapping[Application, Queue],
    *,
    pace: Pace,
    using: str,
    seconds: float | None,
) -> list[Answered]:
    flight = Flight(clients.shared(), using=using)
    at = deliveries.clock(using=using)
    blocked = pausing.blocked([owner.pk for owner in queues], at=at, using=using)
    end = None if seconds is None else time.monotonic() + seconds
    found: list[Answered] = []
    waiting = dict(queues)
    while waiting or flight.messages:
        for owner, queue in list(waiting.items()):
            state = blocked.get(owner.pk) or Blocked()
            endpoint = None if state.whole else flight.endpoint(owner)
            if endpoint is None:
                queue.leave(PAUSED)
            elif pace.is_away(owner) or (end is not None and time.monotonic() > end):
                queue.leave(AWAY)
            else:
                _start(flight, endpoint, queue, state, pace)
            if not len(queue):
                del waiting[owner]
        judged = flight.record(flight.collect(PATIENCE))
        pace.note(judged)
        found += judged
    return found


def _start(flight: Flight, endpoint: Endpoint, queue: Queue, blocked: Blocked, pace: Pace) -> None:
    slots = min(endpoint.slots, pace.at_once or endpoint.slots)
    free = slots - flight.flying(endpoint.application.pk).total()
    # Not one by one: a hand-over costs statements.
    if free >= min(len(queue), max(slots // 2, 1)):
        queue.start(flight, endpoint, blocked, free)


def in_transaction(using: str) -> bool:
    """Whether somebody's transaction is open: nothing leaves the house before its commit."""
    connection = connections[using]
    return connection.in_atomic_block or not connection.get_autocommit()
