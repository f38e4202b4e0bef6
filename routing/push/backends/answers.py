"""What a provider's answer means, as data: each backend has a table of rules, not branches."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from routing.push.outcomes import Outcome, Scope, Verdict

# What a provider may ask for; also what autopush-rs allows its FCM bridge. Seconds.
LEAST_WAIT = 1.0
LONGEST_WAIT = 3600.0


class Answer(NamedTuple):
    """What a provider said."""

    status: int
    headers: Mapping[str, str]  # names as in "Retry-After"
    body: bytes  # the first 4 KB


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A row of a table. `wait` holds where the provider names no time, doubled with each attempt
    where `doubling` says so; None leaves it to the hub's own back-off."""

    verdict: Verdict
    scope: Scope = Scope.DELIVERY
    wait: float | None = None
    doubling: bool = False
    suspends: bool = False
    alert: bool = False

    def outcome(
        self,
        reason: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        attempt: int = 1,
        provider_id: str = "",
    ) -> Outcome:
        if self.verdict is not Verdict.RETRY:
            retry_after = None
        elif retry_after is None and self.wait is not None:
            factor = 2 ** min(attempt - 1, 10) if self.doubling else 1
            retry_after = min(self.wait * factor, LONGEST_WAIT)
        return Outcome(
            verdict=self.verdict,
            reason=reason,
            status=status,
            retry_after=retry_after,
            scope=self.scope,
            suspends=self.suspends,
            alert=self.alert,
            provider_id=provider_id,
        )


SENT = Rule(verdict=Verdict.SENT)
RETRY = Rule(verdict=Verdict.RETRY)
GONE = Rule(verdict=Verdict.GONE, scope=Scope.DEVICE)
REFUSED = Rule(verdict=Verdict.REFUSED)
#: Our credentials or our set-up: nothing of this application will be taken.
MISCONFIGURED = Rule(verdict=Verdict.MISCONFIGURED, scope=Scope.APPLICATION)
#: The address belongs to other credentials; one foreign registration can provoke it.
FOREIGN = Rule(verdict=Verdict.REFUSED, scope=Scope.APPLICATION, suspends=True)
#: Nobody expected this answer: the message is dropped, and somebody should look.
UNKNOWN = Rule(verdict=Verdict.REFUSED, alert=True)


def rule_for(status: int, table: Mapping[int, Rule]) -> Rule:
    """The table's row, else what holds for every provider: an unknown 5xx passes, an unknown 2xx
    was taken, and of anything else (redirects are never followed) somebody should know."""
    found = table.get(status)
    if found is not None:
        return found
    if status >= 500:
        return RETRY
    return SENT if 200 <= status < 300 else UNKNOWN


def retry_after(headers: Mapping[str, str], *, at: float | None = None) -> float | None:
    """The seconds of a `Retry-After` header, given as a number or as a date; None without one."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        seconds = float(text[:10])
    elif text:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - (time.time() if at is None else at)
        except (ValueError, TypeError, OverflowError):
            return None
    else:
        return None
    return min(max(seconds, LEAST_WAIT), LONGEST_WAIT)


def no_answer(error: BaseException, *, sent: bool) -> Outcome:
    """For a request that ended without an answer; `sent` says that it may have been taken. The
    error's text stays out: it can name the address."""
    return Outcome(verdict=Verdict.RETRY, reason=type(error).__name__, may_have_arrived=sent)
