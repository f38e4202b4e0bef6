"""What is counted of the push road: answers by provider, waits, and what needs a person."""

import logging
from collections import Counter as Tally
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db.models import Exists, OuterRef, Subquery
from django.db.models.functions import Now

from notifications.counts import Counter, Gauge, Histogram
from routing.push.models import Application, Delivery, Pause
from routing.push.outcomes import Outcome

logger = logging.getLogger(__name__)

OUTCOMES = Counter(
    "hub_push_outcomes_total",
    "What became of deliveries: sent, retry, gone, refused and misconfigured are answers of the"
    " provider; skipped and expired is what the hub decided, right before it would have asked.",
    labels=("backend", "outcome"),
)
REQUEST_SECONDS = Histogram(
    "hub_push_request_seconds",
    "From handing a message over to its backend to the provider's answer.",
    labels=("backend",),
)
WAIT = Histogram(
    "hub_delivery_wait_seconds",
    "From the time when a delivery is due to its being handed over.",
    labels=("backend",),
)

State = Delivery.State
#: States that the hub gives a delivery by itself, and how they are counted.
DECIDED = {State.SKIPPED: "skipped", State.EXPIRED: "expired", State.ERROR: "refused"}


def answered(backend_and_outcome: Iterable[tuple[str, Outcome]]) -> None:
    tally = Tally((backend, outcome.verdict.value) for backend, outcome in backend_and_outcome)
    for labels, count in tally.items():
        OUTCOMES.add(*labels, by=count)


def decided(backend: str, changes: Iterable[Any]) -> None:
    """`changes` (`deliveries.Change`) that no provider was asked for."""
    tally = Tally(DECIDED[change.state] for change in changes if change.state in DECIDED)
    for outcome, count in tally.items():
        OUTCOMES.add(backend, outcome, by=count)


def expired(backends: Iterable[str]) -> None:
    for backend, count in Tally(backends).items():
        OUTCOMES.add(backend, "expired", by=count)


def handed_over(backend: str, ready: Sequence[Any]) -> None:
    """`ready` are `rereading.Ready`, with the database's time."""
    WAIT.observe_all([(one.at - one.row.due).total_seconds() for one in ready], backend)


def _ages(using: str) -> Mapping[tuple[str, ...], float]:
    """By backend. For each application and rank the index on what is due knows the first row."""
    paused = Pause.objects.filter(kind=Pause.Kind.FAULT)
    of_origin = paused.filter(application=OuterRef("application"), origin=OuterRef("origin"))

    def oldest(rank: int) -> Subquery:
        rows = Delivery.objects.due().filter(application=OuterRef("pk"), rank=rank)
        return Subquery(rows.exclude(Exists(of_origin)).order_by("due").values("due")[:1])

    ranks = {f"of_{rank}": oldest(rank) for rank in Delivery.Rank.values}
    whole = paused.filter(application=OuterRef("pk"), origin="")
    rows = Application.objects.using(using).filter(~Exists(whole), active=True)
    found: dict[tuple[str, ...], float] = {}
    for row in rows.annotate(now=Now(), **ranks).values("backend", "now", *ranks):
        dues = [row[name] for name in ranks if row[name] is not None]
        age = max((row["now"] - min(dues)).total_seconds(), 0.0) if dues else 0.0
        found[row["backend"],] = max(age, found.get((row["backend"],), 0.0))
    return found


AGE = Gauge(
    "hub_delivery_age_seconds",
    "How long the oldest delivery that is due has waited for a worker; without paused ones.",
    read=_ages,
    labels=("backend",),
    plotted=True,
)
PAUSED = Gauge(
    "hub_pauses",
    "Applications, or single origins of them, that are paused for a fault.",
    read=lambda using: {
        (): float(Pause.objects.using(using).filter(kind=Pause.Kind.FAULT).count())
    },
)
ALERTING = Gauge(
    "hub_applications_alerting",
    "Applications that a person should look at.",
    read=lambda using: {
        (): float(Application.objects.using(using).filter(active=True).exclude(alert="").count())
    },
)


def _expiries(using: str) -> Mapping[tuple[str, ...], float]:
    from routing.push import applications  # which imports what imports this module

    found: dict[tuple[str, ...], float] = {}
    for row in Application.objects.using(using).filter(active=True):
        try:
            backend = applications.backend_of(row)
            ends = backend.expires(applications.credentials_of(row))
        except Exception as error:
            # That they cannot be read is told elsewhere, by a pause and an alert.
            logger.debug("expiry unknown application=%s error=%s", row.pk, type(error).__name__)
            continue
        if ends is not None:
            found[row.name,] = ends.timestamp()
    return found


EXPIRY = Gauge(
    "hub_credentials_expire_timestamp_seconds",
    "When an application's certificate ends, in seconds since 1970.",
    read=_expiries,
    labels=("application",),
)
