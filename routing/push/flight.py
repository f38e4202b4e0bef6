"""Messages on their way: from the hand-over to the record of what became of them."""

import logging
import queue
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from routing.conf import conf
from routing.push import deliveries, devices, measures, pausing
from routing.push.clients import Clients
from routing.push.deliveries import Change, Claim
from routing.push.handing_over import Endpoint, Message
from routing.push.models import Application
from routing.push.outcomes import Outcome, Verdict
from routing.push.pausing import Answer, Blocked
from routing.push.recording import change_of
from routing.push.rereading import reread
from routing.push.sending import Answers

logger = logging.getLogger(__name__)

BATCH = 100  # messages that are looked at again and handed over in one go
GATHER = 0.01  # seconds it waits for more answers, so that outcomes are written in bulk

Answered = tuple[Message, Outcome]


class Flight:
    """What one worker, or one call, has on its way; used by one thread at a time."""

    def __init__(self, clients: Clients, *, using: str) -> None:
        self.clients, self.using = clients, using
        self.messages: dict[Any, Message] = {}
        self._answers: Answers = queue.SimpleQueue()

    def endpoint(self, application: Application) -> Endpoint | None:
        """The backend of an application; None, with a pause and an alert, where it has none."""
        try:
            return self.clients.endpoint(application)
        except Exception as error:
            # Unreadable credentials, a missing library, a wrong path: for a person to mend.
            reason = f"backend not loaded: {type(error).__name__}"
            logger.error("backend not loaded application=%s error=%s", application.pk, error)
            pausing.pause(application, origin="", reason=reason, using=self.using)
            return None

    def flying(self, application_id: int) -> Counter[str]:
        """How many messages of an application are on their way, by origin."""
        return Counter(
            message.origin
            for message in self.messages.values()
            if message.application.pk == application_id
        )

    def claim(self, endpoint: Endpoint, *, most: int, **wanted: Any) -> Claim | None:
        """Claims due rows (`deliveries.claim`) for long enough to hand them over."""
        return deliveries.claim(
            endpoint.application.pk,
            most=min(most, BATCH),
            lease=max(conf().push_lease, 2 * endpoint.limit),
            using=self.using,
            **wanted,
        )

    def hand_over(self, endpoint: Endpoint, claim: Claim, blocked: Blocked) -> None:
        """Looks at claimed rows again and hands over what is still to be sent."""
        limit = endpoint.limit
        found = reread(claim, limit=limit, blocked=blocked, using=self.using)
        changes = list(found.changes)
        messages = []
        ttl = conf().push_ttl  # once: reading settings costs more than rendering
        for ready in found.ready:
            message = endpoint.prepare(ready, claim.id, ttl=ttl)
            if isinstance(message, Change):
                changes.append(message)
            else:
                messages.append(message)
        deliveries.finish(changes, using=self.using)
        measures.decided(endpoint.application.backend, changes)
        if time.monotonic() > claim.ends - limit.total_seconds():
            # We were stopped in between: by now another worker may have claimed them.
            logger.warning("dropped a late claim messages=%s", len(messages))
            return
        measures.handed_over(endpoint.application.backend, [message.ready for message in messages])
        self.start(endpoint, messages)

    def start(self, endpoint: Endpoint, messages: Sequence[Message]) -> None:
        for message in messages:
            self.messages[message.ref] = message
        if messages:
            prepared = [message.prepared for message in messages]
            self.clients.hand_over(endpoint, prepared, self._answers)

    def collect(self, patience: float) -> list[Answered]:
        """The answers that are there; while messages are on their way it waits a moment, at most
        `patience` seconds for the first."""
        found: list[Answered] = []
        end = time.monotonic() + (patience if self.messages else 0.0)
        while len(found) < 2 * BATCH:
            try:
                ref, outcome = self._answers.get(timeout=max(end - time.monotonic(), 0.0))
            except queue.Empty:
                break
            message = self.messages.pop(ref, None)
            if message is not None:
                found.append((message, outcome))
            if len(found) == 1:
                end = time.monotonic() + (GATHER if patience else 0.0)
            if not self.messages:
                end = 0.0
        return found

    def record(self, answered: Sequence[Answered]) -> list[Answered]:
        """Writes outcomes in bulk, and what they say of devices and applications; returns them as
        they were judged."""
        if not answered:
            return []
        at = deliveries.clock(using=self.using)
        judged = [(message, self._judged(message, outcome)) for message, outcome in answered]
        changes = [
            change_of(message.ready.row, outcome, at=at, debug=message.debug)
            for message, outcome in judged
            if message.ready.row.pk is not None
        ]
        deliveries.finish(changes, using=self.using)
        measures.answered((message.application.backend, outcome) for message, outcome in answered)
        self._judge(judged)
        return judged

    def _judged(self, message: Message, outcome: Outcome) -> Outcome:
        """A device that registered again since it was gone lives."""
        message.silence.heard(message.origin, answered=outcome.was_answered)
        device_id = message.ready.row.device_id
        if outcome.verdict is not Verdict.GONE or device_id is None:
            return outcome
        registered_at = message.prepared.address.registered_at
        if devices.gone(
            device_id, registered_at=registered_at, since=outcome.gone_since, using=self.using
        ):
            return outcome
        return Outcome(
            verdict=Verdict.RETRY,
            reason=f"{outcome.reason}, but registered again",
            status=outcome.status,
        )

    def _judge(self, judged: Sequence[Answered]) -> None:
        taken = [
            message.ready.row.device_id
            for message, outcome in judged
            if outcome.verdict is Verdict.SENT and message.ready.row.device_id is not None
        ]
        devices.used(taken, using=self.using)
        by_application: dict[int, list[Answer]] = {}
        for message, outcome in judged:
            by_application.setdefault(message.application.pk, []).append(message.answer(outcome))
        owners = {message.application.pk: message.application for message, _ in judged}
        for application_id, answers in by_application.items():
            pausing.consider(owners[application_id], answers, using=self.using)
