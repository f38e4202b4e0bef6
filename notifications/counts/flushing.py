"""Writes what this process has counted, every few seconds, in a thread of its own.

A thread, and not a duty of workers alone: whatever process calls `send_notification()` counts too,
a web server of the team's own or a task of Celery. It begins at the first count, and never while
tests run: there it would write beside their transactions, and they call `flush()` themselves.
"""

import atexit
import logging
import os
import random
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime

from django.core import mail
from django.db import connections, router
from django.utils import timezone

from notifications.counts import memory, storage
from notifications.counts.models import Count

logger = logging.getLogger(__name__)

EVERY = 5.0  # seconds between two flushes, on average
END_LIMIT = 2.0  # seconds a process that ends waits for its last flush
LOG_EVERY = 60.0  # seconds between two lines about failures

Report = Callable[[], Mapping[str, float]]

_one_at_a_time = threading.Lock()


class Flusher:
    """One per process: after a fork the child has its own."""

    def __init__(self) -> None:
        self.id = uuid.uuid4().hex
        self.started_at: datetime = timezone.now()
        self.reports: dict[str, Report] = {}
        self._begun = False
        self._reported = False
        self._closing = False
        self._failed_at = -LOG_EVERY
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        if self._begun:
            return
        self._begun = True
        # Django's own mark of a test run, by whichever runner.
        if hasattr(mail, "outbox"):
            return
        try:
            self._thread = threading.Thread(target=self._run, name="hub-counts", daemon=True)
            self._thread.start()
        except RuntimeError:
            self._thread = None  # the interpreter ends

    def close(self) -> None:
        """Lets the thread write for the last time. It is this thread that waits for a database
        that does not answer, and not the process that ends."""
        self._closing = True
        self.reports.clear()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(END_LIMIT)

    def flush(self) -> bool:
        """One write of all that is pending; what cannot be written is kept. Never raises."""
        increments = memory.take()
        try:
            using = router.db_for_write(Count)
            storage.write(increments, self._process(), using=using)
        except Exception as error:
            memory.add_all(increments.items())
            if time.monotonic() - self._failed_at >= LOG_EVERY:
                self._failed_at = time.monotonic()
                logger.warning("counts not flushed error=%s", type(error).__name__)
            return False
        self._sample(using)
        return True

    def _sample(self, using: str) -> None:
        """Gauges, by whoever plays a part. What is written already must not be written again."""
        if not self.reports:
            return
        try:
            storage.sample(using=using)
        except Exception as error:
            logger.warning("gauges not sampled error=%s", type(error).__name__)

    def _process(self) -> storage.Seen | None:
        """This process as the others shall see it; None where it plays no part."""
        if not self.reports and not self._reported:
            return None
        gauges: dict[str, float] = {}
        for role, report in list(self.reports.items()):
            try:
                gauges |= report()
            except Exception as error:
                logger.warning("report failed role=%s error=%s", role, type(error).__name__)
        seen = storage.Seen(
            id=self.id,
            host=socket.gethostname()[:255],
            pid=os.getpid(),
            roles=",".join(sorted(self.reports)),
            started_at=self.started_at,
            gauges=gauges,
        )
        self._reported = bool(self.reports)
        return seen

    def _run(self) -> None:
        using = router.db_for_write(Count)
        closing = False
        while not closing:
            self._wake.wait(EVERY * random.uniform(0.8, 1.2))  # noqa: S311 - jitter
            closing = self._closing  # asked before: the last flush begins after the end
            flush()
            connections[using].close()


_flusher = Flusher()


def report(role: str, gauges: Report) -> None:
    """From now on this process is seen as a `role` ("server", "worker"), with what `gauges`
    answers, by the names of metrics. It is called in another thread and must return at once."""
    _flusher.reports[role] = gauges
    _flusher.begin()


def retire(role: str) -> None:
    """This process does not play the role any more."""
    _flusher.reports.pop(role, None)


def flush() -> bool:
    """Writes now what this process has counted; False where the database did not take it."""
    with _one_at_a_time:
        return _flusher.flush()


def prune() -> bool:
    """The worker's duty: removes buckets that are too old."""
    storage.prune(using=router.db_for_write(Count))
    return False


def _begin() -> None:
    _flusher.begin()


memory.begin = _begin


def _after_fork() -> None:
    global _flusher, _one_at_a_time
    _flusher, _one_at_a_time = Flusher(), threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@atexit.register
def _at_exit() -> None:
    _flusher.close()
