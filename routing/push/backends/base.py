"""The contract of a backend, and what all of them share."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from routing.push.outcomes import Address, Limits, Note, Outcome, Prepared, Verdict


class PushBackend:
    """Sends for one application; subclass it, name it in `HUB["BACKENDS"]`.

    One instance lives as long as its application's credentials stay the same, inside one event
    loop. It touches no model, sleeps for nobody and repeats nothing but what the provider has
    certainly not processed: scheduling belongs to the hub.
    """

    name: ClassVar[str]
    limits: ClassVar[Limits]
    #: Whether outcomes of this backend end in the state DEBUG: nothing leaves the house.
    debug: ClassVar[bool] = False

    def __init__(self, credentials: Mapping[str, Any]) -> None:
        """`credentials` are the application's, decrypted; keys as the backend documents them."""
        self.credentials = credentials

    @classmethod
    def check_credentials(cls, credentials: Mapping[str, Any]) -> list[str]:
        """Problems as sentences, found offline: unknown or missing keys, unreadable keys."""
        return []

    @classmethod
    def expires(cls, credentials: Mapping[str, Any]) -> datetime | None:
        """When they end by themselves; None where they do not. `/metrics` tells it."""
        return None

    @classmethod
    def clean_address(cls, token: str, extra: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Token and extra in their stored form. Raises `InvalidAddress`."""
        return token, dict(extra)

    @classmethod
    def stamp(cls, credentials: Mapping[str, Any]) -> dict[str, Any]:
        """What a device that registers now must remember of the credentials, for its `extra`."""
        return {}

    def check_address(self, address: Address) -> None:
        """Looked at again right before sending. Raises `InvalidAddress`."""

    def render(self, note: Note, address: Address, *, ref: Any, attempt: int = 1) -> Prepared:
        """The message for this address: synchronous, pure. Raises `PayloadTooLarge`,
        `UnsupportedOption` or `InvalidAddress` before any request is made."""
        raise NotImplementedError

    def origin(self, address: Address) -> str:
        """What is paused together when this backend's answers speak of an origin."""
        return ""

    async def open(self) -> None:
        """Opens what lives long: pools, tokens. Called once, inside the loop that sends."""

    async def aclose(self) -> None:
        """Closes it again."""

    def send(self, batch: Sequence[Prepared]) -> AsyncGenerator[tuple[Any, Outcome], None]:
        """Yields `(ref, outcome)` exactly once per prepared message, in any order, also where the
        connection is lost. Messages beyond `limits.concurrency` wait inside. Who leaves early
        closes it (`contextlib.aclosing`), which ends the requests that are under way."""
        raise NotImplementedError

    async def subscribe(self, address: Address, topic: str) -> Outcome:
        """Adds a device to a topic, for backends whose provider has them; a repeat changes nothing.
        Raises `InvalidAddress` for a name that is none."""
        return Outcome(verdict=Verdict.REFUSED, reason=f"{self.name} has no topics")

    async def unsubscribe(self, address: Address, topic: str) -> Outcome:
        """Takes it out again."""
        return Outcome(verdict=Verdict.REFUSED, reason=f"{self.name} has no topics")

    async def probe(self) -> str:
        """Asks the provider whether the credentials work; returns a sentence, raises on trouble."""
        return "this backend has nothing to ask"
