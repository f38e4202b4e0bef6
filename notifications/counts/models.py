"""The tables of the counts: what was counted, and which processes there are."""

from datetime import timedelta

from django.db import models
from django.db.models.functions import Now

#: A process that has not reported for so long is gone.
FRESH = timedelta(seconds=20)


class Count(models.Model):
    """What was counted in one span of time, by all processes together; or since ever.

    Not counters alone: what can only be looked at, such as the age of a queue, is looked at every
    few seconds, and its highest value in the span is kept.
    """

    pk = models.CompositePrimaryKey("step", "at", "series")
    #: Seconds that the span is long; 0: since ever.
    step = models.PositiveSmallIntegerField()
    #: The span's first second, since 1970 by the database's clock; 0 for what is since ever.
    at = models.BigIntegerField()
    #: The metric's name and the values of its labels: "hub_sends_total|accepted".
    series = models.CharField(max_length=200)
    #: In the metric's unit: pieces, thousandths of a gauge, millionths of a second.
    value = models.BigIntegerField()

    class Meta:
        db_table = "hub_count"
        # who may see the operator's page
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.series} in {self.step} s from {self.at}: {self.value}"


class ProcessQuerySet(models.QuerySet["Process"]):
    def fresh(self) -> "ProcessQuerySet":
        """Those that are alive, by the database's clock."""
        return self.filter(seen_at__gt=Now() - FRESH)


class Process(models.Model):
    """A running server or worker process, and what it holds at the moment."""

    id = models.CharField(max_length=32, primary_key=True)
    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField()
    #: "server", "worker", or both with a comma.
    roles = models.CharField(max_length=50)
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    #: Its numbers by the name of the metric.
    gauges = models.JSONField(default=dict)

    objects = ProcessQuerySet.as_manager()

    class Meta:
        db_table = "hub_process"
        verbose_name_plural = "processes"
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.roles} {self.host} {self.pid}"
