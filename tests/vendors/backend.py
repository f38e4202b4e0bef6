"""Opens a backend for a test, hands messages over, and watches what is logged."""

import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from django.test import override_settings

from routing.push.backends.base import PushBackend
from routing.push.outcomes import Address, Note, Outcome, Prepared


@contextmanager
def local_peers(*, debug: bool = True, **hub: Any) -> Iterator[None]:
    """As with HUB_PUSH_LOCAL_PEERS=1 under DEBUG."""
    with override_settings(DEBUG=debug, HUB={"PUSH_LOCAL_PEERS": True, **hub}):
        yield


@asynccontextmanager
async def opened(
    backend: type[PushBackend], credentials: Mapping[str, Any]
) -> AsyncIterator[PushBackend]:
    found = backend(credentials)
    await found.open()
    try:
        yield found
    finally:
        await found.aclose()


async def outcomes(backend: PushBackend, batch: Sequence[Prepared]) -> dict[Any, Outcome]:
    """The outcome of each message by its ref; each must come exactly once."""
    found: dict[Any, Outcome] = {}
    async for ref, outcome in backend.send(batch):
        assert ref not in found, f"two outcomes for {ref}"
        found[ref] = outcome
    assert found.keys() == {message.ref for message in batch}
    return found


async def send_one(backend: PushBackend, address: Address, note: Note) -> Outcome:
    return (await outcomes(backend, [backend.render(note, address, ref=1)]))[1]


class Everything(logging.Handler):
    """All records of all loggers, as text, before any filter has seen them."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(logging.Formatter("%(name)s %(message)s").format(record))


@contextmanager
def everything_logged() -> Iterator[list[str]]:
    root = logging.getLogger()
    handler, level = Everything(), root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield handler.lines
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
