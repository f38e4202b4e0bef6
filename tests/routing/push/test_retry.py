"""When a delivery is tried again: ten attempts in an hour, and what a provider asks for."""

from datetime import UTC, datetime, timedelta

import pytest

from routing.push import retry
from routing.push.outcomes import Outcome, Verdict

LATER = Outcome(verdict=Verdict.RETRY)
AT = datetime(2026, 6, 1, tzinfo=UTC)


def test_the_longest_waits_of_ten_attempts_fit_into_an_hour(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("random.uniform", lambda least, most: most)
    waits = [retry.delay(LATER, attempts=attempts) for attempts in range(1, 10)]
    assert sum(waits, timedelta()) < timedelta(hours=1)
    assert waits == sorted(waits)


def test_it_is_never_tried_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.uniform", lambda least, most: 0.0)
    assert retry.delay(LATER, attempts=1) == timedelta(seconds=1)


def test_what_failed_together_does_not_come_back_together() -> None:
    assert len({retry.delay(LATER, attempts=5) for _ in range(50)}) > 40


@pytest.mark.parametrize(("asked", "given"), [(0, 1), (7, 7), (120.5, 120.5), (10**6, 3600)])
def test_what_the_provider_asks_for_is_kept_within_bounds(asked: float, given: float) -> None:
    outcome = Outcome(verdict=Verdict.RETRY, retry_after=asked)
    assert retry.delay(outcome, attempts=9) == timedelta(seconds=given)


def test_the_last_attempt_is_the_last() -> None:
    until = AT + timedelta(hours=1)
    assert retry.next_due(LATER, attempts=9, at=AT, until=until, most=10) is not None
    assert retry.next_due(LATER, attempts=10, at=AT, until=until, most=10) is None


def test_nothing_is_tried_after_its_time() -> None:
    outcome = Outcome(verdict=Verdict.RETRY, retry_after=60)
    until = AT + timedelta(seconds=60)
    assert retry.next_due(outcome, attempts=1, at=AT, until=until, most=10) is None
