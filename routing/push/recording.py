"""What an outcome makes of a delivery."""

from datetime import datetime

from routing.conf import conf
from routing.push import retry
from routing.push.deliveries import Change
from routing.push.models import Delivery
from routing.push.outcomes import Outcome, Verdict
from routing.push.pausing import PAUSED
from routing.push.sending import HANDED_BACK

State = Delivery.State


def change_of(row: Delivery, outcome: Outcome, *, at: datetime, debug: bool) -> Change:
    """The row's new state; `at` is the database's time, `debug` the backend's."""
    state = State.ERROR_RETRY if row.attempts else State.WAITING
    if outcome is HANDED_BACK:
        # Nobody answered: no attempt, but the claim counts.
        return _change(
            row, state, claims=row.claims, due=at, give_up_at=row.give_up_at,
            error=outcome.reason, may_have_arrived=True,
        )  # fmt: skip
    if outcome.verdict is Verdict.MISCONFIGURED and not outcome.suspends:
        # It waits for the end of the pause that this begins; a pause counts no attempts.
        return _change(row, state, give_up_at=row.give_up_at, error=PAUSED, status=outcome.status)
    if outcome.verdict is Verdict.RETRY:
        return _retried(row, outcome, at)
    sent = outcome.verdict is Verdict.SENT
    if sent:
        state = State.DEBUG if debug else State.SENT
    reason = f"gone: {outcome.reason}" if outcome.verdict is Verdict.GONE else outcome.reason
    return _change(
        row,
        state if sent else State.ERROR,
        attempts=row.attempts + 1,
        error="" if sent else reason,
        status=outcome.status,
        provider_id=outcome.provider_id,
        suspended=outcome.suspends,
        sent_at=at if sent else None,
        finished_at=at,
    )


def _retried(row: Delivery, outcome: Outcome, at: datetime) -> Change:
    settings = conf()
    attempts = row.attempts + 1
    give_up_at = row.give_up_at or at + settings.push_age
    most = settings.push_attempts
    due = retry.next_due(
        outcome,
        attempts=attempts,
        at=at,
        until=min(give_up_at, row.expires_at),
        most=most,
    )
    state, reason = State.ERROR_RETRY, outcome.reason
    if due is None:
        used_up = attempts >= most
        state = State.ERROR if used_up else State.EXPIRED
        reason = f"{attempts} attempts: {reason}" if used_up else f"too old: {reason}"
    return _change(
        row,
        state,
        attempts=attempts,
        due=due,
        give_up_at=give_up_at,
        error=reason,
        status=outcome.status,
        may_have_arrived=row.may_have_arrived or outcome.may_have_arrived,
        finished_at=None if due else at,
    )


def _change(row: Delivery, state: str, **columns: object) -> Change:
    given = {
        "attempts": row.attempts,
        "may_have_arrived": row.may_have_arrived,
        "quiet": row.quiet,
        **columns,
    }
    return Change(id=row.pk, claim=row.claim, state=state, **given)  # type: ignore[arg-type]
