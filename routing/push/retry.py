"""When a delivery is tried again, and when no more."""

import random
from datetime import datetime, timedelta

from routing.push.outcomes import Outcome

BASE = 10.0  # seconds; doubled with every attempt
LONGEST = 900.0
# What a provider may ask for.
LEAST_WAIT = 1.0
LONGEST_WAIT = 3600.0


def delay(outcome: Outcome, *, attempts: int) -> timedelta:
    """How long to wait after the given number of answers.

    What the provider asks for wins. Otherwise full jitter, so that what failed together does not
    come back together. The longest waits of ten attempts sum up to 51 minutes: all of them fit
    into the hour that `PUSH_AGE` is by default.
    """
    if outcome.retry_after is not None:
        return timedelta(seconds=min(max(outcome.retry_after, LEAST_WAIT), LONGEST_WAIT))
    longest = min(LONGEST, BASE * 2 ** min(attempts - 1, 20))
    return timedelta(seconds=max(LEAST_WAIT, random.uniform(0, longest)))  # noqa: S311 - jitter


def next_due(
    outcome: Outcome, *, attempts: int, at: datetime, until: datetime, most: int
) -> datetime | None:
    """When it is tried again; None when its attempts are used up or `until` comes first."""
    if attempts >= most:
        return None
    due = at + delay(outcome, attempts=attempts)
    return due if due < until else None
