"""The background work of the domain: audiences that are due, expiry, retention.

`manage.py worker`, a server in the embedded mode, cron and Celery all run the same duties.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import close_old_connections, router, transaction
from django.utils import timezone

from notifications import announcements, counts, inbox, measures
from notifications.fanout import fan_out, together
from notifications.models import Audience, Event
from notifications.sql import Sql

logger = logging.getLogger(__name__)

BATCH = 20  # Audience rows looked at in one go
SQLITE_PAUSE = 0.005  # seconds between two writers' turns: without it web requests wait a second
FAULT_PAUSE = 2.0  # seconds after a duty failed, e.g. because the database is away


@dataclass(slots=True)
class Duty:
    """Something that a worker does when it is due.

    `do` answers whether it is worth asking again at once; otherwise it is asked `every` so often.
    `close` is called when the worker ends: for what the duty keeps open.
    """

    name: str
    every: timedelta
    do: Callable[[], bool]
    close: Callable[[], None] | None = None
    next_at: float = 0.0  # of time.monotonic()


def duties() -> list[Duty]:
    """What the domain has to do in the background."""
    sweep = _Sweep()
    return [
        Duty("audiences", timedelta(milliseconds=300), fan_out_due),
        Duty("announcements", timedelta(seconds=1), announcements.send_queued),
        Duty("expiry", timedelta(seconds=10), sweep),
        Duty("retention", timedelta(hours=1), _prune),
        Duty("count_retention", timedelta(minutes=10), counts.prune),
    ]


def fan_out_due(*, limit: int = BATCH) -> bool:
    """Fans out Audience rows that are due, small ones first; returns whether any was done."""
    using = router.db_for_write(Audience)
    parts = _due_parts(using, limit)
    # Several workers may see the same rows: in another order each they meet less often.
    random.shuffle(parts)
    pause = 0.0 if Sql(using).postgres else SQLITE_PAUSE
    done = 0
    for ids in parts:
        done += fan_out(*ids, using=using)
        time.sleep(pause)
    return done > 0


def _due_parts(using: str, limit: int) -> list[list[int]]:
    due = Audience.objects.using(using).due(timezone.now()).order_by("lane", "due", "pk")
    if not Sql(using).postgres:
        return list(together(due[:limit]))
    with transaction.atomic(using=using):
        # past the rows that other workers have in hand; nothing of it stays, not even the locks
        parts = list(together(due.select_for_update(skip_locked=True)[:limit]))
        transaction.set_rollback(True, using=using)
    return parts


class _Sweep:
    """Expiry remembers up to when everything is swept, so that an idle hub reads nothing."""

    def __init__(self) -> None:
        self.after: datetime | None = None

    def __call__(self) -> bool:
        self.after = inbox.sweep_expired(after=self.after, using=router.db_for_write(Event))
        return False


def _prune() -> bool:
    inbox.prune()
    return False


class Worker:
    """Runs duties until it is told to stop; a duty that fails costs the others nothing."""

    def __init__(self, wanted: Sequence[Duty]) -> None:
        self.duties = list(wanted)
        self.stopped = threading.Event()
        #: When `run` last came to look at its duties, of time.monotonic().
        self.turned_at = time.monotonic()

    def stop(self) -> None:
        """Ends `run` after the chunk in hand. May be called from a signal handler or a thread."""
        self.stopped.set()

    def work_once(self) -> bool:
        """Does all that is due until nothing more is. Returns False if a duty failed."""
        fine = True
        for duty in self.duties:
            try:
                while duty.do() and not self.stopped.is_set():
                    pass
            except Exception:
                logger.exception("worker duty=%s failed", duty.name)
                fine = False
            finally:
                close_old_connections()
        self._close()
        return fine

    def run(self) -> None:
        self.turned_at = time.monotonic()
        counts.report("worker", lambda: measures.of_worker(self.turned_at))
        try:
            while not self.stopped.is_set():
                now = self.turned_at = time.monotonic()
                for duty in self.duties:
                    if duty.next_at <= now and not self.stopped.is_set():
                        self._do(duty)
                soonest = min(duty.next_at for duty in self.duties) - time.monotonic()
                self.stopped.wait(max(soonest, 0.0))
        finally:
            counts.retire("worker")
            self._close()

    def _close(self) -> None:
        for duty in self.duties:
            if duty.close is None:
                continue
            try:
                duty.close()
            except Exception:
                logger.exception("worker duty=%s failed to close", duty.name)
            finally:
                close_old_connections()

    def _do(self, duty: Duty) -> None:
        try:
            again = duty.do()
            duty.next_at = time.monotonic() + (0.0 if again else duty.every.total_seconds())
        except Exception:
            logger.exception("worker duty=%s failed", duty.name)
            duty.next_at = time.monotonic() + max(FAULT_PAUSE, duty.every.total_seconds())
        finally:
            close_old_connections()
