"""Sends nowhere: the address chooses the outcome, so that the road can be walked in tests.

| address | outcome |
|---|---|
| `ok-...`, anything else | sent |
| `dead-...` | gone |
| `dead-<time>-...` | gone since this time, in seconds since 1970 |
| `retry-<seconds>-...` | retry after so long |
| `busy-<seconds>-...` | the same for all of the application |
| `flap-<n>-...` | retry at the first n attempts, then sent |
| `cut-...` | retry, may have arrived |
| `reject-...` | refused |
| `foreign-...` | refused, suspends the device |
| `config-...` | misconfigured |
| `slow-<ms>-...` | sent after so long |
| `hang-...` | no answer until the request's time is up: retry, may have arrived |
| `crash-...` | the backend raises instead of answering |

What was handed over stands in `journal`, and where the credentials have a `journal` in that file,
a JSON object a line: the words too, so it is for tests and for one's own machine.
"""

import asyncio
import json
import os
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, ClassVar

from routing.push.backends import answers
from routing.push.backends.answers import Rule
from routing.push.backends.base import PushBackend
from routing.push.backends.lanes import Lanes
from routing.push.outcomes import (
    Address,
    Limits,
    Note,
    Outcome,
    PayloadTooLarge,
    Prepared,
    Scope,
    Verdict,
)

RULES: Mapping[str, Rule] = {
    "dead": answers.GONE,
    "retry": answers.RETRY,
    "busy": Rule(verdict=Verdict.RETRY, scope=Scope.APPLICATION),
    "flap": answers.RETRY,
    "cut": answers.RETRY,
    "hang": answers.RETRY,
    "reject": answers.REFUSED,
    "foreign": Rule(verdict=Verdict.REFUSED, scope=Scope.APPLICATION, suspends=True),
    "config": Rule(verdict=Verdict.MISCONFIGURED, scope=Scope.APPLICATION),
}

#: Entries that are kept; what a long run leaves behind must not fill the memory.
JOURNAL_SIZE = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One hand-over. `outcome` is the verdict's value."""

    token: str = field(repr=False)
    ref: Any
    attempt: int
    outcome: str
    collapse_id: str
    said: Mapping[str, Any] = field(repr=False)


class DummyBackend(PushBackend):
    name = "dummy"
    debug = True
    limits = Limits(max_payload=4096, max_ttl=28 * 24 * 3600, concurrency=100, request_seconds=10.0)

    #: What this process handed over, oldest first; tests clear it.
    journal: ClassVar[deque[Entry]] = deque(maxlen=JOURNAL_SIZE)

    @classmethod
    def check_credentials(cls, credentials: Mapping[str, Any]) -> list[str]:
        return [
            f"{key} is not known to {cls.name}" for key in sorted(set(credentials) - {"journal"})
        ]

    def render(self, note: Note, address: Address, *, ref: Any, attempt: int = 1) -> Prepared:
        said = note.raw[self.name] if self.name in note.raw else words_of(note)
        body = json.dumps(said, separators=(",", ":")).encode()
        if len(body) > self.limits.max_payload:
            raise PayloadTooLarge(len(body), self.limits.max_payload)
        headers = {"collapse_id": note.collapse_id}
        return Prepared(ref=ref, address=address, headers=headers, body=body, attempt=attempt)

    async def open(self) -> None:
        self._lanes = Lanes(total=self.limits.concurrency, per_origin=self.limits.concurrency)

    def send(self, batch: Sequence[Prepared]) -> AsyncGenerator[tuple[Any, Outcome], None]:
        # Beyond the lanes, which would turn it into an outcome: this is what a broken backend does.
        if any(message.address.token.startswith("crash-") for message in batch):
            raise RuntimeError("the dummy was told to crash")
        return self._lanes.send(batch, self._hand_over, lambda _: "")

    async def _hand_over(self, message: Prepared) -> Outcome:
        kind, _, rest = message.address.token.partition("-")
        number = leading_number(rest)
        if kind == "slow":
            await asyncio.sleep(number / 1000)
        if kind == "hang":
            await asyncio.sleep(self.limits.request_seconds)
        outcome = outcome_of(kind, number, message.attempt)
        self._write(message, outcome)
        return outcome

    def _write(self, message: Prepared, outcome: Outcome) -> None:
        entry = Entry(
            token=message.address.token,
            ref=message.ref,
            attempt=message.attempt,
            outcome=outcome.verdict.value,
            collapse_id=message.headers["collapse_id"],
            said=json.loads(message.body),
        )
        self.journal.append(entry)
        path = self.credentials.get("journal")
        if path:
            line = {name: getattr(entry, name) for name in Entry.__slots__}
            # One write to a file opened for appending: lines of several workers do not mix.
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(handle, json.dumps(line, default=str).encode() + b"\n")
            finally:
                os.close(handle)


def words_of(note: Note) -> dict[str, Any]:
    found = {
        "title": note.title,
        "body": note.body,
        "url": note.url,
        "tag": note.tag,
        "data": note.data,
        "badge": note.badge,
        "event": note.event_id,
        "type": note.event_type,
        "silent": note.silent or None,
    }
    return {key: value for key, value in found.items() if value is not None and value != ""}


def leading_number(text: str) -> float:
    try:
        return float(text.partition("-")[0])
    except ValueError:
        return 0.0


def outcome_of(kind: str, number: float, attempt: int) -> Outcome:
    rule = RULES.get(kind, answers.SENT)
    if kind == "flap" and attempt > number:
        rule = answers.SENT
    wait = number if kind in ("retry", "busy") and number else None
    outcome = rule.outcome(kind, retry_after=wait)
    if kind in ("cut", "hang"):
        outcome = replace(outcome, may_have_arrived=True)
    if kind == "dead" and number:
        outcome = replace(outcome, gone_since=datetime.fromtimestamp(number, UTC))
    return outcome


def read_journal(path: str) -> Iterator[dict[str, Any]]:
    """The lines of a journal's file, those of other processes too."""
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)
