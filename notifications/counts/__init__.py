"""What the hub counts of itself: cheap numbers in every process that come together in the database.

A module declares what it counts, and adds to it from any thread:

    SENDS = counts.Counter("hub_sends_total", "Calls of send_notification().", labels=("result",))
    SENDS.add("accepted")

Each process keeps the increments in memory and writes them every few seconds, in a thread of its
own (`flushing`), into buckets of a minute and of ten minutes and into a total that never goes back
(`storage`). A process that is killed loses its last seconds; a database that is away costs nothing
but a delay. Whoever shows the numbers reads them back with `reading`.
"""

from notifications.counts.flushing import flush, prune, report, retire
from notifications.counts.metrics import Counter, Gauge, Histogram, ProcessGauge, declared

__all__ = [
    "Counter",
    "Gauge",
    "Histogram",
    "ProcessGauge",
    "declared",
    "flush",
    "prune",
    "report",
    "retire",
]
