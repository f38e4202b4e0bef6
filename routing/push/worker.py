"""The push worker: claims due deliveries, has backends send them, writes what became of them.

One pass (`PushWorker.work`) never waits for a provider: it writes the answers that are there,
claims for each application as many rows as it has free slots, and hands them over. Whoever runs a
worker, in a loop or once, calls the same pass.
"""

import atexit
import logging
import os
import queue
import threading
import time
from collections import Counter
from collections.abc import Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import close_old_connections, connections

from notifications.worker import Duty
from routing.conf import conf
from routing.push import applications, deliveries, devices, outcomes, pausing, retention, walks
from routing.push.deliveries import Change, Claim
from routing.push.handing_over import Endpoint, Endpoints, Message
from routing.push.models import Application, Pause
from routing.push.pausing import Answer, Blocked
from routing.push.recording import change_of
from routing.push.rereading import reread
from routing.push.sending import Sender, time_limit

logger = logging.getLogger(__name__)

BATCH = 100  # messages that are looked at again and handed over in one go
PATIENCE = 0.05  # seconds a pass waits for the first answer while messages are on their way
GATHER = 0.01  # seconds it waits for more, so that outcomes are written in bulk
LOOK = 0.3  # seconds between two looks for due rows where the last found nothing
SQLITE_PAUSE = 0.005  # seconds between two writers' turns
#: Seconds that messages on their way have when the worker ends; a server that is a worker too gives
#: its worker 10 in all.
STOPPING = 8.0

#: Those that have a thread: whoever ends the process closes them.
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
        self._sender: Sender | None = None
        self._pid = 0
        self._endpoints = Endpoints()
        self._in_flight: dict[Any, Message] = {}
        self._next_look = 0.0
        self._lock = threading.Lock()

    @property
    def is_busy(self) -> bool:
        """Whether messages are on their way."""
        return bool(self._in_flight) and self._pid == os.getpid()

    def work(self) -> bool:
        """One pass; returns whether there is more to do at once."""
        with self._lock:
            self._after_fork()
            answered = self._collect(PATIENCE)
            if answered:
                self._record(answered)
            now = time.monotonic()
            if not answered and now < self._next_look and self._in_flight:
                return True
            started = self._start_due()
            self._next_look = 0.0 if started else time.monotonic() + LOOK
            return started or bool(self._in_flight)

    def close(self, *, timeout: float = STOPPING) -> None:
        """Waits for what is on its way; what is not answered by then is due again at once."""
        with self._lock:
            self._after_fork()
            if self._sender is None:
                return
            end = time.monotonic() + timeout
            try:
                while self._in_flight and time.monotonic() < end:
                    self._record(self._collect(PATIENCE))
                self._sender.close()
                self._record(self._collect(0.0))
            except Exception as error:
                # Nobody is left to do it better: the leases run out.
                logger.warning("push worker close failed error=%s", type(error).__name__)
            finally:
                self._sender.close()
                self._sender, self._in_flight = None, {}
                self._endpoints = Endpoints()
                _workers.discard(self)

    def _after_fork(self) -> None:
        """A thread does not survive a fork, and what the parent has in hand is the parent's."""
        if self._pid != os.getpid():
            self._pid, self._sender, self._in_flight = os.getpid(), None, {}
            self._endpoints = Endpoints()

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

    def _start(self, due: Due, at: datetime) -> bool:
        endpoint = self._endpoint(due.application)
        if endpoint is None:
            return False
        for pause in due.blocked.trials:
            if pausing.take_trial(pause, at=at, using=self.using):
                return self._try(endpoint, due, pause)
        if due.blocked.whole:
            return False
        flying = Counter(
            message.origin
            for message in self._in_flight.values()
            if message.application.pk == due.application.pk
        )
        if due.alone:
            # Nothing else may be under way: if it ends this process, it shall do so alone.
            if flying.total():
                return False
            if self._claim(endpoint, due, most=1, alone=True):
                return True
        room = endpoint.room(flying)
        if room.most < 1:
            return False
        started = self._claim(endpoint, due, most=min(room.most, BATCH), full=room.full)
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
        limit = time_limit(type(endpoint.lived.backend))
        claim = deliveries.claim(
            due.application.pk,
            most=most,
            lease=max(conf().push_lease, 2 * limit),
            using=self.using,
            without=full | due.blocked.origins,
            only=only,
            alone=alone,
        )
        if claim is None:
            return False
        self._hand_over(endpoint, due, claim, limit)
        self._pause_on_sqlite()
        return True

    def _hand_over(self, endpoint: Endpoint, due: Due, claim: Claim, limit: timedelta) -> None:
        found = reread(claim, limit=limit, blocked=due.blocked, using=self.using)
        changes = list(found.changes)
        messages = []
        ttl = conf().push_ttl  # once: reading settings costs more than rendering
        for ready in found.ready:
            message = endpoint.prepare(ready, claim, ttl=ttl)
            if isinstance(message, Change):
                changes.append(message)
            else:
                messages.append(message)
        deliveries.finish(changes, using=self.using)
        if time.monotonic() > claim.ends - limit.total_seconds():
            # We were stopped in between: by now another worker may have claimed them.
            logger.warning("dropped a late claim messages=%s", len(messages))
            return
        for message in messages:
            self._in_flight[message.ref] = message
        if messages:
            assert self._sender is not None  # noqa: S101 - made with the endpoint
            self._sender.hand_over(endpoint.lived, [message.prepared for message in messages])

    def _endpoint(self, application: Application) -> Endpoint | None:
        """The backend of an application; None, with a pause and an alert, where it has none."""
        if self._sender is None:
            self._sender = Sender()
            _workers.add(self)
        try:
            return self._endpoints.of(application, self._sender)
        except Exception as error:
            # Unreadable credentials, a missing library, a wrong path: for a person to mend.
            reason = f"backend not loaded: {type(error).__name__}"
            logger.error("backend not loaded application=%s error=%s", application.pk, error)
            pausing.pause(application, origin="", reason=reason, using=self.using)
            return None

    def _collect(self, patience: float) -> list[tuple[Message, outcomes.Outcome]]:
        """The answers that are there; while messages are on their way it waits a moment."""
        if self._sender is None:
            return []
        found: list[tuple[Message, outcomes.Outcome]] = []
        wait = patience if self._in_flight else 0.0
        end = time.monotonic() + wait
        while len(found) < 2 * BATCH:
            try:
                ref, outcome = self._sender.answers.get(timeout=max(end - time.monotonic(), 0.0))
            except queue.Empty:
                break
            message = self._in_flight.pop(ref, None)
            if message is not None:
                found.append((message, outcome))
            if len(found) == 1:
                end = time.monotonic() + (GATHER if patience else 0.0)
            if not self._in_flight:
                end = 0.0
        return found

    def _record(self, answered: list[tuple[Message, outcomes.Outcome]]) -> None:
        """Writes outcomes in bulk, and then what they say of devices and applications."""
        if not answered:
            return
        at = deliveries.clock(using=self.using)
        changes, taken = [], []
        by_application: dict[int, list[Answer]] = {}
        for message, outcome in answered:
            row = message.ready.row
            judged = outcome
            if outcome.verdict is outcomes.Verdict.GONE and row.device_id is not None:
                judged = self._gone(message, outcome)
            changes.append(change_of(row, judged, at=at, debug=message.debug))
            if outcome.verdict is outcomes.Verdict.SENT and row.device_id is not None:
                taken.append(row.device_id)
            by_application.setdefault(message.application.pk, []).append(message.answer(judged))
            message.silence.heard(message.origin, answered=outcome.was_answered)
        deliveries.finish(changes, using=self.using)
        devices.used(taken, using=self.using)
        owners = {message.application.pk: message.application for message, _ in answered}
        for application_id, answers in by_application.items():
            pausing.consider(owners[application_id], answers, using=self.using)
        self._pause_on_sqlite()

    def _gone(self, message: Message, outcome: outcomes.Outcome) -> outcomes.Outcome:
        row = message.ready.row
        dead = devices.gone(
            row.device_id or 0,
            registered_at=message.prepared.address.registered_at,
            since=outcome.gone_since,
            using=self.using,
        )
        if dead:
            return outcome
        return outcomes.Outcome(
            verdict=outcomes.Verdict.RETRY,
            reason=f"{outcome.reason}, but registered again",
            status=outcome.status,
        )

    def _pause_on_sqlite(self) -> None:
        if connections[self.using].vendor == "sqlite":
            time.sleep(SQLITE_PAUSE)


@atexit.register
def _close_at_exit() -> None:
    """Also for whoever forgot to: a worker that is ended must not leave leases to run out."""
    if any(worker.is_busy for worker in _workers):
        close()
        close_old_connections()
