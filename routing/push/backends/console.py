"""Writes pushes to the terminal instead of sending them, for work on one's own machine."""

import hashlib
import json
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from routing.push.backends.base import PushBackend
from routing.push.backends.dummy import words_of
from routing.push.outcomes import (
    Address,
    Limits,
    Note,
    Outcome,
    PayloadTooLarge,
    Prepared,
    Verdict,
)


class ConsoleBackend(PushBackend):
    """The words are shown, on purpose; the address is not: only a short hash of it."""

    name = "console"
    debug = True
    limits = Limits(max_payload=4096, max_ttl=28 * 24 * 3600)

    @classmethod
    def check_credentials(cls, credentials: Mapping[str, Any]) -> list[str]:
        return [f"{key} is not known to {cls.name}" for key in sorted(credentials)]

    def render(self, note: Note, address: Address, *, ref: Any, attempt: int = 1) -> Prepared:
        said = note.raw[self.name] if self.name in note.raw else words_of(note)
        body = json.dumps(said, ensure_ascii=False).encode("utf-8", "replace")
        if len(body) > self.limits.max_payload:
            raise PayloadTooLarge(len(body), self.limits.max_payload)
        return Prepared(ref=ref, address=address, body=body, attempt=attempt)

    async def send(self, batch: Sequence[Prepared]) -> AsyncGenerator[tuple[Any, Outcome], None]:
        for message in batch:
            device = hashlib.sha256(message.address.token.encode()).hexdigest()[:12]
            self.write(f"push to {device}: {message.body.decode()}\n")
            yield message.ref, Outcome(verdict=Verdict.SENT, reason=self.name)

    def write(self, line: str) -> None:
        sys.stdout.write(line)
        sys.stdout.flush()
