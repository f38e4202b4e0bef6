"""What is counted of the domain: sends, fan-out, its queue, and the processes that do the work."""

import time
from collections import Counter as Tally
from collections.abc import Callable, Mapping
from functools import partial, wraps
from typing import ParamSpec, TypeVar

from django.db import transaction
from django.db.models import Count, Min, Q
from django.utils import timezone

from notifications.counts import Counter, Gauge, Histogram, ProcessGauge
from notifications.counts.metrics import Values
from notifications.counts.models import Process
from notifications.errors import HubError
from notifications.models import Audience, Event

P = ParamSpec("P")
E = TypeVar("E", bound=Event)

SENDS = Counter(
    "hub_sends_total",
    "Calls of send_notification(): accepted, repeated (a known idempotency key), refused"
    " (a mistake of the caller), failed.",
    labels=("result",),
)
SEND_SECONDS = Histogram("hub_send_seconds", "How long send_notification() takes its caller.")
NOTIFICATIONS = Counter("hub_notifications_total", "Notifications stored in inboxes.")
FANOUT_LAG = Histogram(
    "hub_fanout_lag_seconds",
    "From the making of an event to the commit of a chunk of its notifications.",
)


def sends(function: Callable[P, E]) -> Callable[P, E]:
    """Counts and times calls of what it decorates."""

    @wraps(function)
    def counted(*args: P.args, **kwargs: P.kwargs) -> E:
        began = time.perf_counter()
        result = "failed"
        try:
            event = function(*args, **kwargs)
            result = "repeated" if event.repeated else "accepted"
        except HubError:
            result = "refused"
            raise
        finally:
            SENDS.add(result)
            SEND_SECONDS.observe(time.perf_counter() - began)
        return event

    return counted


def stored_at_commit(event: Event, *, using: str) -> None:
    """Measures the lag when the transaction that stores notifications has committed."""
    transaction.on_commit(partial(_stored, event), using=using, robust=True)


def _stored(event: Event) -> None:
    FANOUT_LAG.observe((timezone.now() - event.timestamp).total_seconds())


def _audiences(using: str) -> dict[str, float]:
    """By one query: the table holds what waits, and little else."""
    now = timezone.now()
    waiting = Q(state=Audience.State.WAITING)
    found = Audience.objects.using(using).aggregate(
        waiting=Count("pk", filter=waiting),
        parked=Count("pk", filter=Q(state=Audience.State.PARKED)),
        oldest=Min("due", filter=waiting),
    )
    oldest = found.pop("oldest")
    age = max((now - oldest).total_seconds(), 0.0) if oldest is not None else 0.0
    return {**found, "age": age}


def _one(name: str) -> Callable[[str], Mapping[Values, float]]:
    return lambda using: {(): _audiences(using)[name]}


AUDIENCE_AGE = Gauge(
    "hub_audience_age_seconds",
    "How long the oldest audience that is due has waited to be fanned out.",
    read=_one("age"),
    plotted=True,
)
AUDIENCES_WAITING = Gauge(
    "hub_audiences_waiting", "Audiences that are not fanned out yet.", read=_one("waiting")
)
AUDIENCES_PARKED = Gauge(
    "hub_audiences_parked",
    "Audiences that kept failing and wait for a person.",
    read=_one("parked"),
)


def _processes(using: str) -> dict[Values, float]:
    roles = Process.objects.using(using).fresh().values_list("roles", flat=True)
    found = Tally(role for line in roles for role in line.split(","))
    return {(role,): float(found[role]) for role in ("server", "worker")}


PROCESSES = Gauge(
    "hub_processes",
    "Processes that have reported within 20 s, by what they do.",
    read=_processes,
    labels=("role",),
)
WORKER_TURN_AGE = ProcessGauge(
    "hub_worker_turn_age_seconds",
    "How long ago the slowest worker last looked at its duties.",
    merge="max",
)


def of_worker(turned_at: float) -> dict[str, float]:
    """What a worker reports of itself; `turned_at` is of time.monotonic()."""
    return {WORKER_TURN_AGE.name: time.monotonic() - turned_at}
