"""`/metrics`: the counts of all processes for Prometheus, from whichever process is asked.

The text is written here, and not by prometheus_client: the numbers come from the database, where
those of all machines have come together, and writing them down is all that is left to do.
"""

import logging
from collections.abc import Iterator, Mapping

from django.conf import settings
from django.db import DatabaseError, router
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from hub.health import is_local
from notifications.counts import Counter, Histogram, declared, reading
from notifications.counts.metrics import Metric, Values
from notifications.counts.models import Count

logger = logging.getLogger(__name__)

#: Prometheus's text format, which every version of it reads.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
DATABASE_UP = "hub_database_up"


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """For this machine, and for whoever sends `HUB_METRICS_TOKEN` as a bearer token."""
    if not (is_local(request) or _has_token(request)):
        answer = HttpResponse("a token is needed\n", status=401, content_type="text/plain")
        answer.headers["WWW-Authenticate"] = "Bearer"
        return answer
    return HttpResponse(exposition(), content_type=CONTENT_TYPE)


def _has_token(request: HttpRequest) -> bool:
    wanted = settings.METRICS_TOKEN
    given = request.headers.get("Authorization", "")
    return bool(wanted) and constant_time_compare(given, f"Bearer {wanted}")


def exposition() -> str:
    """All there is to tell. Without a database: only that it is away, so that this shows too."""
    try:
        lines = list(_lines(router.db_for_read(Count)))
        up = 1
    except DatabaseError as error:
        logger.warning("metrics without database error=%s", type(error).__name__)
        lines, up = [], 0
    lines += _head(DATABASE_UP, "Whether the database answered this request.", "gauge")
    lines.append(f"{DATABASE_UP} {up}")
    return "\n".join(lines) + "\n"


def _lines(using: str) -> Iterator[str]:
    totals = reading.totals(using=using)
    durations = reading.durations(using=using)
    now: dict[str, dict[Values, float]] = {}
    for metric, values, value in reading.gauges(using=using):
        now.setdefault(metric.name, {})[values] = value
    for name, metric in sorted(declared().items()):
        yield from _head(name, metric.help, metric.kind)
        if isinstance(metric, Histogram):
            yield from _histogram(metric, durations.get(name, {}))
            continue
        found: Mapping[Values, float] = (totals if isinstance(metric, Counter) else now).get(
            name, {}
        )
        # what has no labels is known to be none as yet
        for values, value in (found or ({} if metric.labels else {(): 0})).items():
            yield f"{name}{_labels(metric, values)} {_number(value)}"


def _histogram(metric: Histogram, found: Mapping[Values, reading.Durations]) -> Iterator[str]:
    if not found and not metric.labels:
        found = {(): reading.Durations({})}
    for values, seen in found.items():
        for le, count in seen.cumulated(metric):
            yield f"{metric.name}_bucket{_labels(metric, values, le=le)} {count}"
        yield f"{metric.name}_sum{_labels(metric, values)} {_number(seen.seconds)}"
        yield f"{metric.name}_count{_labels(metric, values)} {seen.count}"


def _head(name: str, help: str, kind: str) -> list[str]:
    text = help.replace("\\", r"\\").replace("\n", r"\n")
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def _labels(metric: Metric, values: Values, **more: str) -> str:
    pairs = {**dict(zip(metric.labels, values, strict=True)), **more}
    if not pairs:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in pairs.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
