"""The push worker: claims due deliveries, has backends send them, writes what became of them.

One pass (`PushWorker.work`) never waits for a provider: it writes the answers that are there,
claims for each application as many rows as it has free slots, and hands them over. Whoever runs a
worker, in a loop or once, calls the same pass.
"""

import atexit
import logging
import os
import threading
import time
from collections.abc import Set
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import close_old_connections, connections

from notifications.worker import Duty
from routing.conf import conf
from routing.push import applications, batches, deliveries, pausing, retention, walks
from routing.push.clients import Clients
from routing.push.flight import Flight
from routing.push.handing_over import Endpoint
from routing.push.models import Application, Pause
from routing.push.pausing import Blocked
from routing.push.slots import Turns

logger = logging.getLogger(__name__)

PATIENCE = 0.05  # seconds a pass waits for the first answer while messages are on their way
LOOK = 0.3  # seconds between two looks for due rows where the last found nothing
SQLITE_PAUSE = 0.005  # seconds between two writers' turns
#: Seconds that messages on their way have when the worker ends; a server that is a worker too gives
#: its worker 10 in all.
STOPPING = 8.0

#: Those that have clients: whoever ends the process closes them.
_workers: "set[PushWorker]" = set()


def duties() -> list[Duty]:
    """What the push road adds to a worker (`routing.duties.add`)."""
    worker = PushWorker()
    return [
        Duty("deliveries", timedelta(milliseconds=300), worker.work, close=worker.close),
        Duty("broadcast_pushes", timedelta(milliseconds=500), walks.walk_due),
        Duty("delivery_upkeep", timedelta(seconds=5), upkeep),
        Duty("delivery_retention", timedelta(minutes=10), retention.prune_some),
        Duty("delivery_orphans", timedelta(hours=1), retention.prune_orphans),
    ]


def upkeep() -> bool:
    """Frees what workers that are gone had claimed, and ends what is too old."""
    done = deliveries.recover() + deliveries.expire()
    if not conf().persist_deliveries:
        done += retention.prune_deliveries(using=deliveries.alias())
    return bool(done)


def close(*, timeout: float = STOPPING) -> None:
    """For whoever ends a worker: finishes what is on its way, or hands it back."""
    for worker in list(_workers):
        worker.close(timeout=timeout)


@dataclass(frozen=True, slots=True)
class Due:
    """What one pass does for one application."""

    application: Application
    alone: bool
    blocked: Blocked


class PushWorker:
    """One per worker process; used by one thread at a time."""

    def __init__(self) -> None:
        self.using = deliveries.alias()
        self._flight = Flight(Clients(), using=self.using)
        self._pid = os.getpid()
        self._next_look = 0.0
        self._batches = batches.Timetable()
        self._turns = Turns()
        self._lock = threading.Lock()

    @property
    def is_busy(self) -> bool:
        """Whether messages are on their way."""
        return bool(self._flight.messages) and self._pid == os.getpid()

    def work(self) -> bool:
        """One pass; returns whether there is more to do at once."""
        with self._lock:
            self._after_fork()
            answered = self._flight.collect(PATIENCE)
            if answered:
                self._flight.record(answered)
                self._pause_on_sqlite()
            for application_id in list(self._turns.tried):
                if not self._flight.flying(application_id):
                    self._turns.end(application_id)
            now = time.monotonic()
            if not answered and now < self._next_look and self._flight.messages:
                return True
            started = self._start_due()
            started = self._start_batch() or started
            self._next_look = 0.0 if started else time.monotonic() + LOOK
            return started or bool(self._flight.messages)

    def close(self, *, timeout: float = STOPPING) -> None:
        """Waits for what is on its way; what is not answered by then is due again at once."""
        with self._lock:
            self._after_fork()
            end = time.monotonic() + timeout
            try:
                while self._flight.messages and time.monotonic() < end:
                    self._flight.record(self._flight.collect(PATIENCE))
                self._flight.clients.close()
                self._flight.record(self._flight.collect(0.0))
            except Exception as error:
                # Nobody is left to do it better: the leases run out.
                logger.warning("push worker close failed error=%s", type(error).__name__)
            finally:
                self._flight.clients.close()
                self._flight = Flight(Clients(), using=self.using)
                _workers.discard(self)

    def _after_fork(self) -> None:
        """A thread does not survive a fork, and what the parent has in hand is the parent's."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._flight = Flight(Clients(), using=self.using)

    def _start_due(self) -> bool:
        """Claims and hands over, for every application that has something due and free slots."""
        found = deliveries.due_applications(using=self.using)
        if not found:
            return False
        known = applications.current(using=self.using)
        at = deliveries.clock(using=self.using)
        blocked = pausing.blocked([pk for pk, _ in found], at=at, using=self.using)
        started = False
        for application_id, alone in found:
            application = known.by_id.get(application_id)
            if application is None or not application.active:
                continue
            due = Due(application, alone, blocked.get(application_id) or Blocked())
            try:
                started = self._start(due, at) or started
            except Exception:
                # One application's fault must not stop the others.
                logger.exception("push pass failed application=%s", application_id)
        return started

    def _start_batch(self) -> bool:
        """Of direct pushes that wait for batches (`PUSH_BATCH`)."""
        left = self._batches.left()
        if not left:
            return False
        claimed = batches.start(self._flight, most=left)
        self._batches.took(len(claimed))
        if claimed:
            _workers.add(self)
            self._pause_on_sqlite()
        elif not self._flight.messages:
            self._batches.over()
        return bool(claimed)

    def _start(self, due: Due, at: datetime) -> bool:
        endpoint = self._flight.endpoint(due.application)
        if endpoint is None:
            return False
        _workers.add(self)
        for pause in due.blocked.trials:
            if pausing.take_trial(pause, at=at, using=self.using):
                return self._try(endpoint, due, pause)
        if due.blocked.whole:
            return False
        flying = self._flight.flying(due.application.pk)
        if due.alone and self._turns.is_due(due.application.pk):
            # Nothing else may be under way: if it ends this process, it shall do so alone.
            self._turns.begin(due.application.pk)
            if flying.total():
                return False
            if self._claim(endpoint, due, most=1, alone=True):
                self._turns.tried.add(due.application.pk)
                return True
            self._turns.end(due.application.pk)
        room = endpoint.room(flying)
        if room.most < 1:
            return False
        started = self._claim(endpoint, due, most=room.most, full=room.full)
        if room.silent_most and room.silent not in due.blocked.origins:
            more = self._claim(endpoint, due, most=room.silent_most, only=room.silent)
            started = more or started
        return started

    def _try(self, endpoint: Endpoint, due: Due, pause: Pause) -> bool:
        """One delivery of a paused application, to see whether it is over."""
        free = Blocked(
            whole=due.blocked.whole and bool(pause.origin),
            origins=due.blocked.origins - {pause.origin},
        )
        if free.whole:
            return False
        only = pause.origin or None
        return self._claim(endpoint, Due(due.application, False, free), most=1, only=only)

    def _claim(
        self,
        endpoint: Endpoint,
        due: Due,
        *,
        most: int,
        full: Set[str] = frozenset(),
        only: str | None = None,
        alone: bool = False,
    ) -> bool:
        without = full | due.blocked.origins
        claim = self._flight.claim(endpoint, most=most, without=without, only=only, alone=alone)
        if claim is None:
            return False
        self._flight.hand_over(endpoint, claim, due.blocked)
        self._pause_on_sqlite()
        return True

    def _pause_on_sqlite(self) -> None:
        if connections[self.using].vendor == "sqlite":
            time.sleep(SQLITE_PAUSE)


@atexit.register
def _close_at_exit() -> None:
    """Also for whoever forgot to: a worker that is ended must not leave leases to run out."""
    if any(worker.is_busy for worker in _workers):
        close()
        close_old_connections()
