"""What a worker hands over: rendered messages, each to its application's backend in the loop."""

import logging
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from routing.push import notes
from routing.push.backends.base import PushBackend
from routing.push.deliveries import Change
from routing.push.models import Application
from routing.push.outcomes import (
    InvalidAddress,
    Outcome,
    PayloadTooLarge,
    Prepared,
    UnsupportedOption,
    Verdict,
)
from routing.push.pausing import Answer
from routing.push.recording import change_of
from routing.push.rereading import Ready
from routing.push.sending import Lived, time_limit
from routing.push.slots import Room, Silence, room

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A delivery on its way."""

    ready: Ready
    claim: str
    application: Application
    origin: str
    prepared: Prepared
    debug: bool
    #: Of its application's origins, to be told whether this one answered.
    silence: Silence

    @property
    def ref(self) -> Any:
        """Also by the claim: one whose lease was lost may come back to the same worker."""
        return self.prepared.ref

    def answer(self, outcome: Outcome) -> Answer:
        row = self.ready.row
        return Answer(
            delivery_id=row.pk,
            device_id=row.device_id,
            user_id=row.user_id,
            origin=self.origin,
            registered_at=self.prepared.address.registered_at,
            outcome=outcome,
        )


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An application's backend, opened for one version of its credentials."""

    application: Application
    lived: Lived
    silence: Silence = field(default_factory=Silence, compare=False)

    @property
    def backend(self) -> PushBackend:
        return self.lived.backend

    @property
    def slots(self) -> int:
        """How many messages may be on their way at once."""
        return self.application.concurrency or self.backend.limits.concurrency

    @property
    def limit(self) -> timedelta:
        """How long handing a batch over may take."""
        return time_limit(type(self.backend))

    def room(self, flying: Counter[str]) -> Room:
        """How many more rows may be claimed, and of which origins none."""
        if type(self.backend).origin is PushBackend.origin:
            return Room(most=max(self.slots - flying.total(), 0))
        return room(self.slots, flying, self.silence.origins.keys())

    def prepare(self, ready: Ready, claim: str, *, ttl: timedelta) -> Message | Change:
        """Renders one delivery; what can never be sent becomes its final state at once.

        `claim` is the id of its claim. A delivery that is not recorded has none: then it is what
        tells its call from others.
        """
        row = ready.row
        try:
            note = notes.note_of(
                row.event,
                words=ready.words,
                unread=ready.unread,
                folded=row.folded,
                locale=row.device.locale if row.device is not None else "",
                at=ready.at,
                ttl=ttl,
            )
            self.backend.check_address(ready.address)
            prepared = self.backend.render(
                note, ready.address, ref=(row.pk or id(row), claim), attempt=row.attempts + 1
            )
            origin = self.backend.origin(ready.address) if row.kind == "device" else ""
        except (PayloadTooLarge, UnsupportedOption, InvalidAddress) as problem:
            refused = Outcome(verdict=Verdict.REFUSED, reason=str(problem))
            return change_of(row, refused, at=ready.at, debug=False)
        except Exception as error:
            logger.exception("render failed delivery=%s", row.pk)
            surprise = Outcome(verdict=Verdict.RETRY, reason=f"render: {type(error).__name__}")
            return change_of(row, surprise, at=ready.at, debug=False)
        return Message(
            ready=ready,
            claim=claim,
            application=self.application,
            origin=origin,
            prepared=prepared,
            debug=self.backend.debug,
            silence=self.silence,
        )
