"""Reads the counts of all processes back: totals, what is now, and what was in each span."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from notifications.counts.metrics import (
    INFINITY,
    MICRO,
    SUM,
    Counter,
    Gauge,
    Histogram,
    Metric,
    ProcessGauge,
    Values,
    declared,
    metric_of,
)
from notifications.counts.models import Count, Process


@dataclass(slots=True)
class Durations:
    """A histogram's numbers since ever: how many fell below each bound, and their sum."""

    buckets: dict[str, int]
    seconds: float = 0.0

    @property
    def count(self) -> int:
        return sum(self.buckets.values())

    def cumulated(self, histogram: Histogram) -> Iterator[tuple[str, int]]:
        """(le, how many took that long at most), as Prometheus wants them.

        Buckets that an older version of the hub had count in the next one that there is.
        """
        for bound in histogram.bounds:
            yield f"{bound:g}", sum(n for le, n in self.buckets.items() if float(le) <= bound)
        yield INFINITY, self.count


def totals(*, using: str) -> dict[str, dict[Values, int]]:
    """Counters since ever: by name, then by the values of their labels."""
    found: dict[str, dict[Values, int]] = {}
    for metric, rest, value in _since_ever(using):
        if isinstance(metric, Counter):
            found.setdefault(metric.name, {})[rest] = value
    return found


def durations(*, using: str) -> dict[str, dict[Values, Durations]]:
    """Histograms since ever: by name, then by the values of their labels."""
    found: dict[str, dict[Values, Durations]] = {}
    for metric, rest, value in _since_ever(using):
        if isinstance(metric, Histogram):
            *values, le = rest
            entry = found.setdefault(metric.name, {}).setdefault(tuple(values), Durations({}))
            if le == SUM:
                entry.seconds = value / MICRO
            else:
                entry.buckets[le] = value
    return found


def _since_ever(using: str) -> Iterator[tuple[Metric, Values, int]]:
    rows = Count.objects.using(using).filter(step=0).values_list("series", "value")
    for series, value in rows.order_by("series"):
        metric = metric_of(series)
        if metric is not None:
            yield metric, tuple(series.split("|")[1:]), value


def gauges(*, using: str, plotted: bool = False) -> Iterator[tuple[Metric, Values, float]]:
    """What all gauges say now; `plotted` leaves out those of which no history is kept."""
    wanted = [metric for metric in declared().values() if metric.steps or not plotted]
    fresh = list(Process.objects.using(using).fresh()) if _any_of_processes(wanted) else []
    for metric in wanted:
        if isinstance(metric, Gauge):
            for values, value in metric.read(using).items():
                yield metric, values, value
        elif isinstance(metric, ProcessGauge):
            told = [row.gauges[metric.name] for row in fresh if metric.name in row.gauges]
            yield metric, (), metric.merge(told) if told else 0.0


def _any_of_processes(metrics: list[Metric]) -> bool:
    return any(isinstance(metric, ProcessGauge) for metric in metrics)


def history(names: list[str], *, step: int, first: int, using: str) -> list[tuple[str, int, float]]:
    """(series, start of the span, value) of these metrics in the spans of `step` seconds from
    `first` (seconds since 1970) on."""
    rows: Any = Count.objects.using(using).filter(step=step, at__gte=first).order_by("at")
    found = []
    for series, at, value in rows.values_list("series", "at", "value"):
        metric = metric_of(series)
        if metric is not None and metric.name in names:
            found.append((series, at, value / metric.scale))
    return found
