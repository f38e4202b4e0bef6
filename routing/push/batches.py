"""Batch mode (`PUSH_BATCH`): direct pushes are stored, and sent so many at a time.

`manage.py send_messages_batch` sends one batch, the worker one every `PUSH_BATCH_EVERY`; always the
highest priority first, and then the oldest. Several may do so at once: each claims what it sends.
"""

import time
from dataclasses import dataclass, field

from routing.conf import conf
from routing.push import applications, clients, deliveries, pausing
from routing.push.deliveries import MOST_CLAIMS, alias
from routing.push.flight import Flight
from routing.push.models import Delivery
from routing.push.pausing import Blocked

PATIENCE = 0.05  # seconds it waits for the first answer

State = Delivery.State


class Timetable:
    """When a worker sends its next batch, and how much of the present one is left."""

    def __init__(self) -> None:
        self._next_at, self._left = 0.0, 0

    def left(self) -> int:
        settings = conf()
        every = settings.push_batch_every.total_seconds()
        if not settings.push_batch or not every:
            return 0
        if time.monotonic() >= self._next_at:
            self._next_at, self._left = time.monotonic() + every, settings.push_batch_size
        return self._left

    def took(self, count: int) -> None:
        self._left -= count

    def over(self) -> None:
        """Nothing more is due: what comes now waits for the next one."""
        self._left = 0


@dataclass(slots=True)
class Batch:
    """What became of the deliveries of one batch, by their ids."""

    sent: list[int] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    #: Not taken this time; tried again.
    retried: list[int] = field(default_factory=list)
    #: The hub decided against it: device gone, event deleted.
    skipped: list[int] = field(default_factory=list)
    #: Too old before anybody tried.
    expired: int = 0


def start(flight: Flight, *, most: int) -> list[int]:
    """Claims at most `most` of what is due, as far as there are free slots, and hands it over;
    returns the ids."""
    using = flight.using
    known = applications.current(using=using).by_id
    at = deliveries.clock(using=using)
    blocked = pausing.blocked(known, at=at, using=using)
    closed = [pk for pk, state in blocked.items() if state.whole]
    rows = Delivery.objects.using(using).due().filter(batch=True, claims__lt=MOST_CLAIMS)
    rows = rows.exclude(application=None).exclude(application__in=closed)
    chosen: dict[int, list[int]] = {}
    due = rows.order_by("rank", "due", "pk").values_list("application", "pk")
    for application_id, pk in due[:most]:
        chosen.setdefault(application_id, []).append(pk)
    claimed = []
    for application_id, ids in chosen.items():
        application = known.get(application_id)
        endpoint = (
            flight.endpoint(application) if application is not None and application.active else None
        )
        if endpoint is None:
            continue
        free = endpoint.slots - flight.flying(application_id).total()
        if free < 1:
            continue
        state = blocked.get(application_id) or Blocked()
        claim = flight.claim(endpoint, most=free, among=ids, without=state.origins)
        if claim is not None:
            claimed += claim.ids
            flight.hand_over(endpoint, claim, state)
    return claimed


def send(*, size: int | None = None, using: str | None = None) -> Batch:
    """Sends one batch and waits for what becomes of it: at most `size` (`PUSH_BATCH_SIZE`)."""
    database = alias(using)
    left = conf().push_batch_size if size is None else size
    deliveries.recover(using=database)
    found = Batch()
    while expired := deliveries.expire(using=database):
        found.expired += expired
    flight = Flight(clients.shared(), using=database)
    ids: list[int] = []
    while True:
        claimed = start(flight, most=left) if left else []
        if not claimed and not flight.messages:
            claimed = _start_alone(flight) if left else []
            if not claimed:
                break
        ids += claimed
        left -= len(claimed)
        flight.record(flight.collect(PATIENCE))
    _sort(found, ids, database)
    return found


def _start_alone(flight: Flight) -> list[int]:
    """One row that was claimed so often without an answer that nothing else may be under way."""
    known = applications.current(using=flight.using).by_id
    for application_id, alone in deliveries.due_applications(using=flight.using):
        application = known.get(application_id)
        if not alone or application is None or not application.active:
            continue
        endpoint = flight.endpoint(application)
        claim = flight.claim(endpoint, most=1, alone=True) if endpoint is not None else None
        if endpoint is not None and claim is not None:
            flight.hand_over(endpoint, claim, Blocked())
            return claim.ids
    return []


def _sort(found: Batch, ids: list[int], using: str) -> None:
    rows = Delivery.objects.using(using).filter(pk__in=ids)
    states = dict(rows.values_list("pk", "state"))
    places = {
        State.SENT: found.sent,
        State.DEBUG: found.sent,
        State.ERROR: found.failed,
        State.EXPIRED: found.failed,
        State.SKIPPED: found.skipped,
        State.CANCELLED: found.skipped,
    }
    for pk in ids:
        if pk in states:
            places.get(State(states[pk]), found.retried).append(pk)
