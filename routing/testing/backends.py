"""The backend that stands in for every provider, under each one's own name.

`routing.testing.backends.fcm` is a class that is made when it is asked for: whatever backends a
project has, each gets its own.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import asdict
from functools import cache
from typing import Any

from notifications.representation import encode
from routing.push.backends.base import PushBackend
from routing.push.outcomes import Address, Limits, Note, Outcome, PayloadTooLarge, Prepared


class ScriptedBackend(PushBackend):
    """Hands over to the `PushProvider` that is entered, and answers what that was told to."""

    limits = Limits(max_payload=4096, max_ttl=28 * 24 * 3600)

    def render(self, note: Note, address: Address, *, ref: Any, attempt: int = 1) -> Prepared:
        said = asdict(note)
        shown = {key: said[key] for key in ("title", "body", "url", "data", "tag")}
        size = len(encode(shown))
        if size > self.limits.max_payload:
            raise PayloadTooLarge(size, self.limits.max_payload)
        return Prepared(ref=ref, address=address, body=encode(said), attempt=attempt)

    async def send(self, batch: Sequence[Prepared]) -> AsyncGenerator[tuple[Any, Outcome], None]:
        from routing.testing.push import entered

        for message in batch:
            yield message.ref, entered().take(self.name, message)


@cache
def named(name: str) -> type[ScriptedBackend]:
    return type(name, (ScriptedBackend,), {"name": name, "__module__": __name__})


def __getattr__(name: str) -> type[ScriptedBackend]:
    if name.startswith("_"):
        raise AttributeError(name)
    return named(name)
