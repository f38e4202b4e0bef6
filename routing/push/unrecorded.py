"""Direct pushes that are recorded nowhere: nothing is stored, and nothing is tried again.

What the answers say of devices and applications counts all the same: a device that is gone becomes
inactive, wrong credentials pause their application.
"""

from collections.abc import Sequence

from notifications import inbox
from routing.conf import conf
from routing.push import clients, deliveries, immediate
from routing.push.calls import Call, Recipient, Target
from routing.push.deliveries import Change
from routing.push.flight import Flight
from routing.push.handing_over import Message
from routing.push.models import Application, Delivery
from routing.push.notes import Words
from routing.push.outcomes import Outcome, Verdict
from routing.push.pausing import PAUSED
from routing.push.rereading import Ready
from routing.push.results import Result

State = Delivery.State


def send(call: Call, chunk: Sequence[Recipient], pace: immediate.Pace) -> list[Result]:
    """One result per recipient, in their order."""
    found = [call.target(each) for each in chunk]
    targets = [each for each in found if isinstance(each, Target)]
    unread = _unread(targets, call.using)
    users = {target.device.user_id if target.device is not None else None for target in targets}
    words = call.words(users)
    flight = Flight(clients.shared(), using=call.using)
    at = deliveries.clock(using=call.using)
    results: dict[int, Result] = {}
    messages: dict[Application, list[Message]] = {}
    numbers: dict[int, int] = {}  # of the message's row
    for number, target in enumerate(found):
        if isinstance(target, Result):
            results[number] = target
            continue
        try:
            badge = call.badge(target)
        except ValueError as error:
            results[number] = call.result(target, State.ERROR, str(error))
            continue
        row = call.row(target, badge)
        endpoint = flight.endpoint(target.application)
        if endpoint is None:
            results[number] = call.result(target, State.ERROR, PAUSED)
            continue
        shown = unread.get(row.user_id) if badge is None else badge
        ready = Ready(
            row=row,
            words=words.get(row.user_id, Words()),
            unread=shown,
            address=target.address,
            at=at,
        )
        message = endpoint.prepare(ready, call.mark, ttl=conf().push_ttl)
        if isinstance(message, Change):
            results[number] = call.result(target, State.ERROR, message.error)
            continue
        numbers[id(row)] = number
        messages.setdefault(target.application, []).append(message)
    for message, outcome in immediate.send_messages(messages, pace=pace, using=call.using):
        number = numbers[id(message.ready.row)]
        state, reason = _state_of(outcome, debug=message.debug)
        results[number] = call.result(found[number], state, reason)  # type: ignore[arg-type]
    return [results[number] for number in range(len(found))]


def _unread(targets: Sequence[Target], using: str) -> dict[object, int]:
    """The badge, unless the call says otherwise."""
    users = {target.device.user_id for target in targets if target.device is not None} - {None}
    if not users:
        return {}
    positions = inbox.positions(users, using=using)
    return {user_id: stand.unread for user_id, stand in positions.inboxes.items()}


def _state_of(outcome: Outcome | str, *, debug: bool) -> tuple[str, str]:
    if isinstance(outcome, str):
        return State.ERROR, outcome
    if outcome.verdict is Verdict.SENT:
        return (State.DEBUG if debug else State.SENT), ""
    word = f"gone: {outcome.reason}" if outcome.verdict is Verdict.GONE else outcome.reason
    return State.ERROR, word or outcome.verdict.value
