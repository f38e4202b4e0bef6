"""What a direct push answers: one result per recipient, whatever became of it."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from notifications.models import Event
from routing.push.models import Delivery

State = Delivery.State


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Of one recipient. Where nothing is recorded, `delivery_id` is None and the state is the last
    one: nobody tries again."""

    state: str
    #: Why it was not sent (yet); a sentence or the provider's word, never an address.
    reason: str = ""
    delivery_id: int | None = None
    device_id: int | None = None
    #: A topic, condition or alias; empty for a device.
    recipient: str = field(default="", repr=False)
    application: str = ""

    @property
    def is_sent(self) -> bool:
        """The provider took it; or, in the state DEBUG, the dummy or the console did."""
        return self.state in (State.SENT, State.DEBUG)

    @property
    def is_waiting(self) -> bool:
        """It is stored, and a worker or a batch sends it or tries it again."""
        return self.state in Delivery.UNFINISHED

    @property
    def is_failed(self) -> bool:
        return not self.is_sent and not self.is_waiting


class Results(list[Result]):
    """All results of one call, in the order of its recipients."""

    def __init__(self, found: Iterable[Result] = (), *, event: Event | None = None) -> None:
        super().__init__(found)
        #: The stored event; None where nothing was recorded.
        self.event = event

    @property
    def sent(self) -> int:
        return sum(each.is_sent for each in self)

    @property
    def waiting(self) -> int:
        return sum(each.is_waiting for each in self)

    @property
    def failed(self) -> int:
        return sum(each.is_failed for each in self)

    def states(self) -> "Counter[str]":
        return Counter(each.state for each in self)
