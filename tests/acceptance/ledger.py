"""What a sender was told, and what must therefore be true of every inbox."""

import itertools
import re
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

EVERYONE = "everyone"
MARKER = re.compile(r"only-(\w+)")


@dataclass(slots=True)
class Sent:
    """One send. Its key is the event's title, by which it is found in the database."""

    key: str
    to: Any  # names, or EVERYONE
    #: The event's id, once the sender was answered; before that it may be stored or not.
    event_id: int | None = None
    #: The sender knows that it is committed: acknowledged, or its transaction was.
    stored: bool = False
    #: Must not be there: its transaction was rolled back.
    forbidden: bool = False
    #: Recipients whose filter was being changed meanwhile: either is right.
    optional: set[str] = field(default_factory=set)

    def concerns(self, name: str) -> bool:
        return self.to == EVERYONE or name in self.to


class Ledger:
    """Written by senders in several threads; read when they are done."""

    def __init__(self) -> None:
        self.sends: dict[str, Sent] = {}
        #: Numbers that acknowledged changes took, by user; and how many changes are unknown.
        self.changes: dict[str, set[int]] = defaultdict(set)
        self.unsure: dict[str, int] = defaultdict(int)
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    def begin(self, to: Any, *, optional: set[str] | None = None) -> Sent:
        with self._lock:
            key = f"k{next(self._numbers)}"
            sent = Sent(key, to, optional=optional or set())
            self.sends[key] = sent
            return sent

    def words(self, sent: Sent) -> str:
        """A text that only its recipients may see says so."""
        if sent.to != EVERYONE and len(sent.to) == 1:
            return f"only-{sent.to[0]}"
        return "for several"

    def acknowledge(self, key: str, event_id: int | None) -> None:
        sent = self.sends[key]
        if event_id is not None:
            assert sent.event_id in (None, event_id), f"{key} is two events"
            sent.event_id = event_id
        sent.stored = True

    def forbid(self, key: str) -> None:
        self.sends[key].forbidden = True

    def changed(self, name: str, version: int | None) -> None:
        """A mark or deletion of this user took a number; None: nobody knows whether it did."""
        with self._lock:
            if version is None:
                self.unsure[name] += 1
            else:
                self.changes[name].add(version)

    def stored(self) -> list[Sent]:
        return [sent for sent in list(self.sends.values()) if sent.stored]

    def take_log(self, log: str) -> None:
        """What a sender said of itself, also one that is dead by now."""
        for line in log.splitlines():
            match line.split():
                case ["acknowledged", key, event_id]:
                    self.acknowledge(key, int(event_id))
                case ["committed", key]:
                    self.acknowledge(key, None)
                case ["undone", key]:
                    self.forbid(key)

    def forget_after(self, keys: set[str]) -> None:
        """A backup was restored: only what was acknowledged before it is still a promise."""
        for key, sent in self.sends.items():
            if key not in keys:
                sent.stored, sent.event_id = False, None

    def wrong_of_frame(self, name: str, text: str) -> str | None:
        """What another user's data is in a frame that this user was sent."""
        strange = {other for other in MARKER.findall(text) if other != name}
        return f"{name} was sent the data of {', '.join(sorted(strange))}" if strange else None
