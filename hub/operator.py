"""The operator's page: what the hub does, over the last hour, day or week, and right now."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db import router
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from hub.status import Fact, facts
from notifications.counts import Counter, declared, reading
from notifications.counts.models import Count

PERMISSION = "hub_notifications.view_count"


@dataclass(frozen=True, slots=True)
class Span:
    """`points` spans of `width` seconds each, put together from those of `step` seconds."""

    title: str
    step: int
    width: int
    points: int
    per: str


SPANS = {
    "hour": Span("Hour", 60, 60, 60, "minute"),
    "day": Span("Day", 600, 600, 144, "10 minutes"),
    "week": Span("Week", 600, 3600, 168, "hour"),
}


@dataclass(frozen=True, slots=True)
class Plot:
    """Some metrics in one picture. `always` are lines that are there before anything is counted."""

    id: str
    title: str
    about: str
    #: The metrics, each with how its lines are called; "{}" stands for the values of its labels.
    metrics: dict[str, str]
    seconds: bool = False
    always: tuple[tuple[str, ...], ...] = ()
    #: Whether the first label (the provider) is a choice rather than part of the name.
    by_provider: bool = False

    @property
    def is_gauge(self) -> bool:
        """Whether it shows what is, rather than how often something happened."""
        return not any(isinstance(declared()[name], Counter) for name in self.metrics)


PLOTS = [
    Plot(
        "sends",
        "Sends",
        "Calls of send_notification() by what became of them",
        {"hub_sends_total": "{}"},
        always=(("hub_sends_total", "accepted"),),
    ),
    Plot(
        "notifications",
        "Notifications",
        "Stored in inboxes, and handed to open sockets at once",
        {"hub_notifications_total": "stored", "hub_live_notifications_total": "shown live"},
        always=(("hub_notifications_total",), ("hub_live_notifications_total",)),
    ),
    Plot(
        "deliveries",
        "Deliveries",
        "Pushes by what became of them, in all or of one provider",
        {"hub_push_outcomes_total": "{}"},
        by_provider=True,
    ),
    Plot(
        "queues",
        "Queue ages",
        "How long the oldest that is due has waited",
        {"hub_audience_age_seconds": "audiences", "hub_delivery_age_seconds": "{} deliveries"},
        seconds=True,
        always=(("hub_audience_age_seconds",),),
    ),
    Plot(
        "live",
        "Live connections",
        "Open sockets, and the users behind them",
        {"hub_sockets": "sockets", "hub_connected_users": "users"},
        always=(("hub_sockets",), ("hub_connected_users",)),
    ),
]

#: The order of lines in a legend.
USUAL = ("accepted", "sent", "retry", "skipped", "expired", "gone", "refused", "misconfigured")

View = Callable[[HttpRequest], HttpResponse]


def for_operators(view: View) -> View:
    """Staff with the permission to see counts; others are told so, and strangers may log in."""

    @wraps(view)
    def guarded(request: HttpRequest) -> HttpResponse:
        if not may_operate(request.user):
            raise PermissionDenied
        return view(request)

    return login_required(guarded)


def may_operate(user: Any) -> bool:
    return bool(user.is_active and user.is_staff and user.has_perm(PERMISSION))


def _span(request: HttpRequest) -> str:
    name = request.GET.get("span", "")
    return name if name in SPANS else "hour"


@never_cache
@for_operators
@require_GET
def page(request: HttpRequest) -> HttpResponse:
    context = {"place": "operator", "spans": SPANS, "chosen": _span(request), "plots": PLOTS}
    return render(request, "hub/operator.html", context)


@never_cache
@for_operators
@require_GET
def numbers(request: HttpRequest) -> JsonResponse:
    """What the page shows, as JSON; asked for every few seconds."""
    name = _span(request)
    span, using = SPANS[name], router.db_for_read(Count)
    end = int(time.time()) // span.width * span.width
    times = [end - span.width * back for back in reversed(range(span.points))]
    now = [(metric.name, values, value) for metric, values, value in reading.gauges(using=using)]
    rows = reading.history(
        [metric for plot in PLOTS for metric in plot.metrics],
        step=span.step,
        first=times[0],
        using=using,
    )
    lines = _lines(rows, now, times, span)
    latest = {(name, *values): value for name, values, value in now}
    return JsonResponse(
        {
            "span": name,
            "width": span.width,
            "per": span.per,
            "times": times,
            "now": [_of_fact(fact) for fact in facts(now, using=using)],
            "plots": [
                {"id": plot.id, "lines": _of_plot(plot, lines, times, latest)} for plot in PLOTS
            ],
        }
    )


Lines = dict[tuple[str, ...], list[float | None]]


def _lines(
    rows: list[tuple[str, int, float]],
    now: list[tuple[str, tuple[str, ...], float]],
    times: list[int],
    span: Span,
) -> Lines:
    """The values of every series at these times: counts added up, and of gauges the highest."""
    place = {at: index for index, at in enumerate(times)}
    found: Lines = {}

    def line(series: tuple[str, ...]) -> list[float | None]:
        empty = 0 if isinstance(declared()[series[0]], Counter) else None
        return found.setdefault(series, [empty] * len(times))

    for text, at, value in rows:
        index = place.get(at // span.width * span.width)
        series = tuple(text.split("|"))
        if index is None:
            continue
        values = line(series)
        before = values[index] or 0
        counted = isinstance(declared()[series[0]], Counter)
        values[index] = before + value if counted else max(before, value)
    for name, labels, value in now:
        # the running span of a gauge ends with what it says now
        if declared()[name].steps:
            values = line((name, *labels))
            values[-1] = max(values[-1] or 0, value)
    return found


def _of_plot(
    plot: Plot, lines: Lines, times: list[int], latest: dict[tuple[str, ...], float]
) -> list[dict[str, Any]]:
    wanted = sorted(series for series in lines if series[0] in plot.metrics)
    zero = [0] * len(times)
    found = [series for series in plot.always if series not in wanted] + wanted
    order = list(plot.metrics)
    found.sort(key=lambda series: (order.index(series[0]), _rank(series[-1]), series))
    return [
        {
            "name": _name(plot, series),
            "provider": series[1] if plot.by_provider else "",
            "values": lines.get(series, zero),
            "now": latest.get(series, 0),
        }
        for series in found
    ]


def _rank(label: str) -> int:
    """What is usual first."""
    return USUAL.index(label) if label in USUAL else len(USUAL)


def _name(plot: Plot, series: tuple[str, ...]) -> str:
    labels = series[2:] if plot.by_provider else series[1:]
    return plot.metrics[series[0]].format(" ".join(labels))


def _of_fact(fact: Fact) -> dict[str, Any]:
    return {
        "id": fact.id,
        "title": fact.title,
        "text": fact.text,
        "state": fact.state,
        "note": fact.note,
    }
