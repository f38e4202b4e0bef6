"""How an application's slots are shared by the origins behind it.

An origin that hangs keeps what it has until its requests' time is up. So no origin gets more than
half of what the others leave: however many hang, something is left for the next one. One that has
not answered gets a tenth, until it answers again.
"""

import random
import time
from collections import Counter
from collections.abc import Set
from dataclasses import dataclass, field

#: Origins that are remembered as silent, per application: whoever registers many of them must not
#: fill the memory.
REMEMBERED = 1_000
#: The part of the slots that a silent origin gets.
SILENT_PART = 10
#: So many times as long as a row was tried alone, the others go on.
OTHERS_PART = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What may be claimed now: at most `most` rows, of any origin but those in `full`."""

    most: int
    full: Set[str] = frozenset()
    #: A silent origin whose turn it is, and how many of its rows may be claimed.
    silent: str = ""
    silent_most: int = 0


@dataclass(slots=True)
class Silence:
    """Origins that did not answer the last time."""

    origins: dict[str, None] = field(default_factory=dict)

    def heard(self, origin: str, *, answered: bool) -> None:
        if answered:
            self.origins.pop(origin, None)
        elif origin not in self.origins:
            if len(self.origins) >= REMEMBERED:
                del self.origins[next(iter(self.origins))]
            self.origins[origin] = None


class Turns:
    """When a row that was claimed so often without an answer is tried alone. Nothing else of its
    application is under way meanwhile, so at most a tenth of the time is given to such rows."""

    def __init__(self) -> None:
        self._began: dict[int, float] = {}
        self._next_at: dict[int, float] = {}
        #: Applications of which such a row is under way.
        self.tried: set[int] = set()

    def is_due(self, application_id: int) -> bool:
        return time.monotonic() >= self._next_at.get(application_id, 0.0)

    def begin(self, application_id: int) -> None:
        """From now on nothing else is claimed."""
        self._began.setdefault(application_id, time.monotonic())

    def end(self, application_id: int) -> None:
        """It is answered, or there was none."""
        self.tried.discard(application_id)
        now = time.monotonic()
        took = now - self._began.pop(application_id, now)
        self._next_at[application_id] = now + OTHERS_PART * took


def room(slots: int, flying: Counter[str], silent: Set[str]) -> Room:
    """The room among `slots`, of which `flying` says how many each origin holds."""
    total = flying.total()
    free = slots - total
    if free < 1:
        return Room(most=0)
    # A claim may turn out to be of one origin alone: of one that has nothing yet, or of the one
    # that is nearest to its share.
    most = free // 2
    full = set(silent)
    for origin, count in flying.items():
        share = (slots - (total - count)) // 2
        if 2 * count >= share:
            full.add(origin)
        elif origin not in silent:
            most = min(most, share - count)
    found = Room(most=max(most, 1), full=full)
    if not silent:
        return found
    turn = random.choice(sorted(silent))  # noqa: S311 - whose turn it is
    left = max(slots // SILENT_PART, 1) - flying[turn]
    return Room(
        most=found.most, full=full, silent=turn, silent_most=max(min(left, free - found.most), 0)
    )
