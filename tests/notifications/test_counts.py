"""What processes count comes together in the database, and nothing they do waits for it."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError
from django.utils import timezone

from notifications import counts, measures, send_notification
from notifications.counts import flushing, memory, metrics, reading, storage
from notifications.counts.models import Count, Process
from notifications.errors import UnknownEventType
from tests.processes import ROOT, Processes, child_environment
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db

CALLS = counts.Counter("hub_test_calls_total", "Of these tests.", labels=("result",))
SECONDS = counts.Histogram("hub_test_seconds", "Of these tests.", bounds=(0.1, 1.0))
DEPTH = counts.Gauge(
    "hub_test_depth", "Of these tests.", read=lambda using: {(): 2.5}, plotted=True
)


@pytest.fixture(autouse=True)
def nothing_pending(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(flushing, "_flusher", flushing.Flusher())
    memory.take()
    yield
    memory.take()


def kept(step: int) -> dict[str, int]:
    rows = Count.objects.filter(step=step, series__startswith="hub_test")
    return dict(rows.values_list("series", "value"))


def test_what_is_counted_is_kept_by_minute_by_ten_minutes_and_for_ever() -> None:
    began = int(time.time())
    CALLS.add("accepted", by=3)
    CALLS.add("refused")
    assert counts.flush()
    CALLS.add("accepted")
    assert counts.flush()
    assert kept(0) == {"hub_test_calls_total|accepted": 4, "hub_test_calls_total|refused": 1}
    for step in metrics.STEPS:
        rows = Count.objects.filter(step=step, series="hub_test_calls_total|accepted")
        assert sum(row.value for row in rows) == 4
        assert all(row.at % step == 0 and row.at > began - 2 * step for row in rows)
    assert reading.totals(using="default")["hub_test_calls_total"] == {
        ("accepted",): 4,
        ("refused",): 1,
    }


def test_nothing_counted_is_nothing_written(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert counts.flush()


def test_durations_fall_into_buckets_and_are_no_plot() -> None:
    for seconds in (0.05, 0.1, 0.5, 7.0, -3.0):
        SECONDS.observe(seconds)
    counts.flush()
    found = reading.durations(using="default")["hub_test_seconds"][()]
    # a bound belongs to its bucket; what clocks make negative took no time
    assert list(found.cumulated(SECONDS)) == [("0.1", 3), ("1", 4), ("+Inf", 5)]
    assert found.seconds == pytest.approx(7.65)
    assert set(kept(0)) and not kept(60)


def test_a_database_that_does_not_take_it_costs_a_delay(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise DatabaseError("connection failed: password=hunter2")

    CALLS.add("accepted", by=2)
    with monkeypatch.context() as patch:
        patch.setattr(storage, "write", away)
        assert not counts.flush()
        CALLS.add("accepted")
        assert not counts.flush()
    assert "hunter2" not in caplog.text
    assert counts.flush()
    assert kept(0) == {"hub_test_calls_total|accepted": 3}


def test_threads_lose_nothing() -> None:
    def work() -> None:
        for _ in range(2_000):
            CALLS.add("accepted")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        counts.flush()
    counts.flush()
    assert kept(0) == {"hub_test_calls_total|accepted": 8_000}


def test_gauges_are_looked_at_by_one_process_at_a_time_and_the_highest_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert storage.sample(using="default")
    assert not storage.sample(using="default"), "somebody has just looked"
    assert kept(60) == kept(600) == {"hub_test_depth": 2500}
    assert kept(0) == {}
    Count.objects.filter(series=storage.SAMPLED).update(value=0)
    monkeypatch.setattr(DEPTH, "read", lambda using: {(): 1.0})
    assert storage.sample(using="default")
    highest = Count.objects.filter(step=600, series="hub_test_depth").order_by("at")
    assert highest[0].value == 2500
    first = int(time.time()) - 3600
    history = reading.history(["hub_test_depth"], step=60, first=first, using="default")
    assert next((series, value) for series, _, value in history) == ("hub_test_depth", 2.5)


def test_a_process_is_seen_until_it_leaves_or_is_silent() -> None:
    counts.report("worker", lambda: {"hub_worker_turn_age_seconds": 3.0})
    counts.report("server", lambda: {"hub_nobody_knows": 1.0})
    assert counts.flush()
    [row] = Process.objects.fresh()
    assert (row.roles, row.gauges["hub_worker_turn_age_seconds"]) == ("server,worker", 3.0)
    now = {metric.name: value for metric, _, value in reading.gauges(using="default")}
    assert now["hub_worker_turn_age_seconds"] == 3.0
    assert measures.PROCESSES.read("default") == {("server",): 1.0, ("worker",): 1.0}
    # killed: it says nothing any more
    Process.objects.update(seen_at=timezone.now() - timedelta(seconds=21))
    assert measures.PROCESSES.read("default") == {("server",): 0.0, ("worker",): 0.0}
    counts.retire("worker")
    counts.retire("server")
    assert counts.flush()
    assert not Process.objects.exists()


def test_a_report_that_fails_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> dict[str, float]:
        raise ZeroDivisionError

    counts.report("server", broken)
    CALLS.add("accepted")
    assert counts.flush()
    assert Process.objects.fresh().count() == 1
    assert kept(0) == {"hub_test_calls_total|accepted": 1}
    assert "ZeroDivisionError" in caplog.text


def test_old_buckets_go_and_totals_stay() -> None:
    CALLS.add("accepted")
    counts.flush()
    now = int(time.time())
    for step, kept_for in storage.KEPT.items():
        old = now - int(kept_for.total_seconds())
        Count.objects.create(step=step, at=old - step, series="hub_test_old", value=1)
        Count.objects.create(step=step, at=old + 2 * step, series="hub_test_young", value=1)
    assert storage.prune(using="default") == 2
    assert not Count.objects.filter(series="hub_test_old").exists()
    assert Count.objects.filter(series="hub_test_young").count() == 2
    assert kept(0) == {"hub_test_calls_total|accepted": 1}


def test_labels_are_what_was_declared() -> None:
    with pytest.raises(ValueError, match="labels"):
        CALLS.add()
    with pytest.raises(ValueError, match="twice"):
        counts.Counter("hub_test_calls_total", "")
    CALLS.add("a|b" + "c" * 100)
    counts.flush()
    assert kept(0) == {"hub_test_calls_total|a_b" + "c" * 57: 1}


def test_sends_are_counted_by_what_became_of_them(alice: Any, bob: Any) -> None:
    send_notification("post_like", users=[alice, bob])
    for _ in range(2):
        send_notification("post_like", users=[alice], idempotency_key="once")
    with pytest.raises(UnknownEventType):
        send_notification("nonsense", users=[alice])
    counts.flush()
    found = reading.totals(using="default")["hub_sends_total"]
    assert found == {("accepted",): 2, ("repeated",): 1, ("refused",): 1}
    assert reading.durations(using="default")["hub_send_seconds"][()].count == 4


@pytest.mark.django_db(transaction=True)
def test_notifications_are_counted_when_they_are_committed(alice: Any, bob: Any) -> None:
    from django.db import transaction

    send_notification("post_like", users=[alice, bob])
    try:
        with transaction.atomic():
            send_notification("post_like", users=[alice])
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    counts.flush()
    assert reading.totals(using="default")["hub_notifications_total"] == {(): 2}
    lag = reading.durations(using="default")["hub_fanout_lag_seconds"][()]
    assert lag.count == 1
    assert lag.seconds < 5


def test_a_command_writes_what_it_counted_when_it_ends(alice: Any, processes: Processes) -> None:
    processes.run("send_notification", "post_like", "--user", "alice")
    processes.run("send_notification", "post_like", "--user", "alice")
    assert reading.totals(using="default")["hub_sends_total"] == {("accepted",): 2}
    assert not Process.objects.exists()


def test_a_worker_that_is_killed_is_missed_and_its_counts_stay(processes: Processes) -> None:
    worker = processes.start("worker")
    wait_for(lambda: measures.PROCESSES.read("default")[("worker",)] == 1.0, 30)
    worker.kill()
    [row] = Process.objects.all()
    Process.objects.update(seen_at=row.seen_at - timedelta(seconds=21))
    assert measures.PROCESSES.read("default")[("worker",)] == 0.0
    other = processes.start("worker")
    wait_for(lambda: measures.PROCESSES.read("default")[("worker",)] == 1.0, 30)
    assert other.stop() == 0
    assert Process.objects.fresh().count() == 0, "who ends says so"


FORK = """
import os, django
django.setup()
from notifications.measures import SENDS
from notifications.counts import flushing, memory
SENDS.add("accepted", by=2)
mine = flushing._flusher.id
child = os.fork()
if child == 0:
    SENDS.add("accepted")
    assert flushing._flusher.id != mine and memory._pending == {"hub_sends_total|accepted": 1}
    raise SystemExit
os.waitpid(child, 0)
"""


def test_a_forked_child_counts_for_itself(transactional_db: None) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK],
        cwd=ROOT,
        env=child_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert reading.totals(using="default")["hub_sends_total"] == {("accepted",): 3}
