"""What can be counted: counters, histograms of durations, and gauges, each declared once."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal

from notifications.counts import memory

#: Seconds that the buckets of plots are long. What is counted goes into each of them.
STEPS: Final = (60, 600)
#: Upper bounds in seconds: from a send to an empty queue up to a push that waits for a provider.
BOUNDS: Final = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
)  # fmt: skip
INFINITY: Final = "+Inf"
SUM: Final = "sum"
MICRO: Final = 1_000_000
MILLI: Final = 1_000

Values = tuple[str, ...]

_declared: "dict[str, Metric]" = {}


class Metric:
    """One fact. `name` and `labels` are Prometheus's; `help` is a sentence."""

    kind: Literal["counter", "histogram", "gauge"]
    #: What a stored integer is divided by.
    scale = 1
    #: The spans in which it is kept.
    steps: tuple[int, ...] = (0,)

    def __init__(self, name: str, help: str, *, labels: Values = ()) -> None:
        if name in _declared:
            raise ValueError(f"{name} is declared twice")
        self.name, self.help, self.labels = name, help, labels
        self._series: dict[Values, str] = {}
        _declared[name] = self

    def series(self, values: Values) -> str:
        """Where the numbers of these label values are kept."""
        found = self._series.get(values)
        if found is None:
            if len(values) != len(self.labels):
                raise ValueError(f"{self.name} has the labels {self.labels}, not {values}")
            # an operator's names may hold anything
            plain = (value.replace("|", "_")[:60] for value in values)
            found = self._series[values] = "|".join((self.name, *plain))
        return found


class Counter(Metric):
    """Only ever rises."""

    kind = "counter"
    steps = (0, *STEPS)

    def add(self, *values: str, by: int = 1) -> None:
        """Adds to the series with these label values. Cheap: for batches, also in hot paths."""
        if by:
            memory.add(self.series(values), by)


class Histogram(Metric):
    """How long something takes, in seconds. Kept as totals only: it is not plotted by us."""

    kind = "histogram"

    def __init__(
        self, name: str, help: str, *, labels: Values = (), bounds: Iterable[float] = BOUNDS
    ) -> None:
        super().__init__(name, help, labels=labels)
        self.bounds = tuple(bounds)
        self._parts: dict[Values, list[str]] = {}

    def observe(self, seconds: float, *values: str) -> None:
        """Clocks differ: less than nothing is nothing."""
        parts = self._parts.get(values) or self._parts_of(values)
        seconds = seconds if seconds > 0.0 else 0.0
        bucket = parts[bisect_left(self.bounds, seconds)]
        memory.add_all(((bucket, 1), (parts[-1], round(seconds * MICRO))))

    def _parts_of(self, values: Values) -> list[str]:
        """The series of the buckets, and last that of the sum."""
        series = self.series(values)
        names = (*(f"{bound:g}" for bound in self.bounds), INFINITY, SUM)
        parts = self._parts[values] = [f"{series}|{name}" for name in names]
        return parts

    def observe_all(self, durations: Iterable[float], *values: str) -> None:
        """Several durations of one series."""
        for seconds in durations:
            self.observe(seconds, *values)


class Gauge(Metric):
    """Rises and falls. `read` looks in the database whose alias it is given, and answers the
    values by those of the labels; where `plotted`, their highest in each span is kept."""

    kind = "gauge"
    scale = MILLI

    def __init__(
        self,
        name: str,
        help: str,
        *,
        read: Callable[[str], Mapping[Values, float]],
        labels: Values = (),
        plotted: bool = False,
    ) -> None:
        super().__init__(name, help, labels=labels)
        self.read = read
        self.steps = STEPS if plotted else ()


class ProcessGauge(Metric):
    """What each process reports of itself (`counts.report`), merged over those that are alive."""

    kind = "gauge"
    scale = MILLI

    def __init__(
        self, name: str, help: str, *, merge: Literal["sum", "max"] = "sum", plotted: bool = False
    ) -> None:
        super().__init__(name, help)
        self.merge: Callable[[Iterable[float]], float] = sum if merge == "sum" else max
        self.steps = STEPS if plotted else ()


def declared() -> dict[str, Metric]:
    """All metrics of the modules that are loaded, by name."""
    return dict(_declared)


def metric_of(series: str) -> Metric | None:
    """The metric that a series belongs to; None where another version of the hub declares it."""
    return _declared.get(series.partition("|")[0])
