"""The loop in which backends live: who is answered, and what is closed."""

import asyncio
import queue
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Any

import pytest

from routing.push import sending
from routing.push.backends.base import PushBackend
from routing.push.outcomes import Address, Limits, Outcome, Prepared, Verdict
from routing.push.sending import Answers, Sender
from tests.waiting import wait_for

pytestmark = pytest.mark.embedded  # no database: once is enough

SENT = Outcome(verdict=Verdict.SENT)


class Watched(PushBackend):
    """Answers the first message twice, and then nothing more."""

    name = "watched"
    limits = Limits(max_payload=1000, max_ttl=60, request_seconds=0.1)

    def __init__(self) -> None:
        super().__init__({})
        self.left_in: Any = None
        self.sent_in: Any = None
        self.closed = False

    async def send(self, batch: Sequence[Prepared]) -> AsyncGenerator[tuple[Any, Outcome], None]:
        self.sent_in = asyncio.current_task()
        try:
            yield batch[0].ref, SENT
            yield batch[0].ref, SENT
            await asyncio.sleep(3600)
        finally:
            # a generator that nobody closes is ended by the collector, in a task of its own
            self.left_in = asyncio.current_task()

    async def aclose(self) -> None:
        self.closed = True


@pytest.fixture
def sender(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sender]:
    monkeypatch.setattr(sending, "SLACK", sending.SLACK * 0)
    found = Sender()
    yield found
    found.close()


def batch(count: int) -> list[Prepared]:
    return [Prepared(ref=number, address=Address(token="x")) for number in range(count)]


def test_each_message_is_answered_once_and_the_backend_is_left_tidily(sender: Sender) -> None:
    backend = Watched()
    answers: Answers = queue.SimpleQueue()
    sender.hand_over(sender.adopt(backend), batch(3), answers)
    found = [answers.get(timeout=5) for _ in range(3)]
    assert found[0] == (0, SENT)
    assert {ref for ref, _ in found} == {0, 1, 2}
    assert all(outcome.may_have_arrived for ref, outcome in found if ref)
    wait_for(lambda: backend.left_in is not None)
    assert backend.left_in is backend.sent_in
    assert answers.empty()
    sender.close()
    assert backend.closed


def test_a_consumer_that_fails_between_two_answers_leaves_it_tidily_too(sender: Sender) -> None:
    backend = Watched()

    class Full:
        def __init__(self) -> None:
            self.asked = 0

        def put(self, found: Any) -> None:
            self.asked += 1
            if self.asked == 1:
                raise MemoryError

    full: Any = Full()
    sender.hand_over(sender.adopt(backend), batch(2), full)
    wait_for(lambda: backend.left_in is not None)
    assert backend.left_in is backend.sent_in
