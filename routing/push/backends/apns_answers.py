"""What APNs' answers mean: the table by status and reason.

https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns
"""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from routing.push.backends import answers
from routing.push.backends.answers import Answer, Rule
from routing.push.outcomes import Outcome, Scope, Verdict

BUSY = Rule(verdict=Verdict.RETRY, scope=Scope.DEVICE, wait=60.0, doubling=True)
#: By status and reason; the empty reason stands for any other, and for none.
ANSWERS: Mapping[tuple[int, str], Rule] = {
    (200, ""): answers.SENT,
    (400, "BadDeviceToken"): answers.FOREIGN,
    # A wrong topic of ours gives the same answer for every device.
    (400, "DeviceTokenNotForTopic"): answers.FOREIGN,
    (400, "BadTopic"): answers.MISCONFIGURED,
    (400, "MissingTopic"): answers.MISCONFIGURED,
    (400, "TopicDisallowed"): answers.MISCONFIGURED,
    (400, "BadCollapseId"): answers.REFUSED,
    (400, "BadExpirationDate"): answers.REFUSED,
    (400, "BadMessageId"): answers.REFUSED,
    (400, "BadPriority"): answers.REFUSED,
    (400, "InvalidPushType"): answers.REFUSED,
    (400, "DuplicateHeaders"): answers.REFUSED,
    (400, "PayloadEmpty"): answers.REFUSED,
    (400, "MissingDeviceToken"): answers.REFUSED,
    (400, "IdleTimeout"): Rule(verdict=Verdict.RETRY, wait=answers.LEAST_WAIT),
    # Once: a second time it is our clock that is wrong (`outcome_of`).
    (403, "ExpiredProviderToken"): Rule(verdict=Verdict.RETRY, wait=answers.LEAST_WAIT),
    (403, "InvalidProviderToken"): answers.MISCONFIGURED,
    (403, "MissingProviderToken"): answers.MISCONFIGURED,
    (403, "BadCertificate"): answers.MISCONFIGURED,
    (403, "BadCertificateEnvironment"): answers.MISCONFIGURED,
    (403, "Forbidden"): answers.MISCONFIGURED,
    (403, "UnrelatedKeyIdInToken"): answers.MISCONFIGURED,
    (403, "BadEnvironmentKeyIdInToken"): answers.MISCONFIGURED,
    (404, "BadPath"): answers.REFUSED,
    (405, ""): answers.REFUSED,
    # With the time from which the token was dead; who registered after it lives.
    (410, "Unregistered"): answers.GONE,
    (410, "ExpiredToken"): answers.GONE,
    (413, ""): answers.REFUSED,
    (429, "TooManyProviderTokenUpdates"): Rule(
        verdict=Verdict.RETRY, scope=Scope.APPLICATION, wait=20 * 60.0, alert=True
    ),
    (429, ""): BUSY,
    (500, ""): answers.RETRY,
    (503, ""): answers.RETRY,
}
#: After these another connection is opened. One that has said ExpiredProviderToken says it again
#: whatever token it is given (seen by Pushy, https://github.com/jchambers/pushy).
STALE = {"ExpiredProviderToken", "IdleTimeout", "Shutdown", "ServiceUnavailable"}
WORD = re.compile(r"[A-Za-z]{3,40}")


def outcome_of(answer: Answer, *, attempt: int) -> Outcome:
    status, reason = answer.status, reason_of(answer)
    rule = ANSWERS.get((status, reason)) or ANSWERS.get((status, ""))
    if reason == "ExpiredProviderToken" and attempt > 1:
        rule = answers.MISCONFIGURED
    outcome = (rule or answers.rule_for(status, {})).outcome(
        reason or f"HTTP {status}",
        status=status,
        retry_after=answers.retry_after(answer.headers),
        attempt=attempt,
        provider_id=answer.headers.get("apns-id", "")[:100],
    )
    if outcome.verdict is Verdict.GONE:
        return replace(outcome, gone_since=gone_since(answer))
    return outcome


def is_stale(answer: Answer) -> bool:
    return answer.status == 503 or reason_of(answer) in STALE


def reason_of(answer: Answer) -> str:
    """Apple's word, or nothing: an answer may hold anything."""
    word = said(answer).get("reason")
    return word if isinstance(word, str) and WORD.fullmatch(word) else ""


def gone_since(answer: Answer) -> datetime | None:
    """The 410's `timestamp`, in milliseconds: when APNs last knew the token as good no more."""
    number: Any = said(answer).get("timestamp")
    if type(number) not in (int, float):
        return None
    try:
        return datetime.fromtimestamp(number / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def said(answer: Answer) -> dict[str, Any]:
    if not answer.body:
        return {}
    try:
        found = json.loads(answer.body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
