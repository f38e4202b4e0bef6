"""Who is not sent to for now: paused applications and origins, suspended devices.

Nobody can pause everybody: an answer that one foreign registration can provoke suspends that
device alone; only `FAULTS` of them from `USERS` users, with no push taken in between, pause the
origin or the application.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Count, Q
from django.db.models.functions import Now

from routing.push.models import SUSPENSION, Application, Delivery, Device, Fault, Pause
from routing.push.outcomes import Outcome, Scope, Verdict
from routing.push.signals import push_alert, tell

logger = logging.getLogger(__name__)

FAULTS = 20
USERS = 5
#: How often a paused application is tried by one delivery: many a fault is mended elsewhere.
TRIAL = timedelta(minutes=15)
#: How long the outcome of a trial is waited for.
TRIAL_TIME = timedelta(minutes=2)
#: A provider that asks for time is given so much; then it may ask again.
LONGEST_BUSY = timedelta(seconds=60)
#: The same alert is given once in this time.
ALERT_AGAIN = timedelta(hours=1)

#: What stands in `Delivery.error` while it waits for something of this module.
PAUSED = "application paused"
SUSPENDED = "device suspended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An outcome, and of what."""

    #: None where nothing is recorded.
    delivery_id: int | None
    device_id: int | None
    user_id: Any
    origin: str
    registered_at: datetime | None
    outcome: Outcome

    @property
    def fault_origin(self) -> str:
        """What the answer speaks of; empty: the whole application."""
        return self.origin if self.outcome.scope is Scope.ORIGIN else ""


@dataclass(slots=True)
class Blocked:
    """What of one application waits now."""

    whole: bool = False
    origins: set[str] = field(default_factory=set)
    #: Fault pauses that may be tried by one delivery.
    trials: list[Pause] = field(default_factory=list)


def blocked(application_ids: Iterable[int], *, at: datetime, using: str) -> dict[int, Blocked]:
    """What is paused at `at`, by application, by one query."""
    found: dict[int, Blocked] = defaultdict(Blocked)
    for pause in Pause.objects.using(using).filter(application__in=list(application_ids)):
        over = pause.until <= at
        if over and pause.kind == Pause.Kind.BUSY:
            continue
        state = found[pause.application_id]
        if over:
            state.trials.append(pause)
        if pause.origin:
            state.origins.add(pause.origin)
        else:
            state.whole = True
    return found


def take_trial(pause: Pause, *, at: datetime, using: str) -> bool:
    """Whether this worker, and no other, may try one delivery."""
    held = Pause.objects.using(using).filter(pk=pause.pk, until=pause.until)
    return bool(held.update(until=at + TRIAL_TIME))


def consider(application: Application, answers: Sequence[Answer], *, using: str) -> None:
    """Draws from answers, in the order they came, what concerns more than one delivery."""
    faults: dict[str, list[Answer]] = defaultdict(list)
    taken: set[str] = set()
    for answer in answers:
        outcome = answer.outcome
        if outcome.verdict is Verdict.SENT:
            taken |= {"", answer.origin}
            faults.pop(answer.origin, None)
            faults.pop("", None)
        elif outcome.suspends:
            _suspend(answer, using)
            faults[answer.fault_origin].append(answer)
        elif outcome.verdict is Verdict.MISCONFIGURED:
            pause(application, origin=answer.fault_origin, reason=outcome.reason, using=using)
        elif outcome.verdict is Verdict.RETRY and outcome.retry_after is not None:
            _busy(application, answer, using)
        if outcome.alert:
            alert(application, origin=answer.origin, reason=outcome.reason, using=using)
    if taken:
        _works(application, taken, using)
    for origin, found in faults.items():
        _count(application, origin, found, using)
    if any(faults.values()):
        _look_for_devices(application, using)


def _suspend(answer: Answer, using: str) -> None:
    """Unless it registered again while we waited for the answer."""
    if answer.device_id is None or answer.registered_at is None:
        return
    devices = Device.objects.using(using).filter(pk=answer.device_id)
    changed = devices.filter(registered_at=answer.registered_at).update(
        suspended_until=Now() + SUSPENSION, suspended_for=answer.outcome.reason[:200]
    )
    if changed:
        logger.warning(
            "suspended device=%s delivery=%s reason=%s",
            answer.device_id,
            answer.delivery_id,
            answer.outcome.reason,
        )


def _works(application: Application, origins: set[str], using: str) -> None:
    """A push was taken: earlier faults count no more, and a pause that was tried is over."""
    known = Fault.objects.using(using).filter(application=application, origin__in=origins)
    known._raw_delete(using)
    pauses = Pause.objects.using(using).filter(
        application=application, origin__in=origins, kind=Pause.Kind.FAULT
    )
    for found in pauses:
        lift(application, origin=found.origin, using=using)


def _count(application: Application, origin: str, found: list[Answer], using: str) -> None:
    rows = Fault.objects.using(using)
    rows.bulk_create(
        [
            Fault(
                application=application,
                origin=origin,
                user_id=str(answer.user_id),
                reason=answer.outcome.reason[:200],
            )
            for answer in found
        ]
    )
    counted = rows.filter(application=application, origin=origin).aggregate(
        faults=Count("id"), users=Count("user_id", distinct=True)
    )
    if counted["faults"] >= FAULTS and counted["users"] >= USERS:
        pause(application, origin=origin, reason=found[-1].outcome.reason, using=using)


def _look_for_devices(application: Application, using: str) -> None:
    """When all devices of an application are suspended, somebody should look."""
    devices = Device.objects.using(using).active().filter(_devices_of(application))
    if not devices.exclude(suspended_until__gt=Now()).exists():
        alert(application, origin="", reason="all devices are suspended", using=using)


def _devices_of(application: Application) -> Q:
    mine = Q(application=application)
    if application.is_default:
        mine |= Q(application=None, backend=application.backend)
    return mine


def pause(application: Application, *, origin: str, reason: str, using: str) -> None:
    """Lets an application, or one origin of it, wait until somebody has looked, and alerts."""
    rows = Pause.objects.using(using)
    rows.bulk_create(
        [
            Pause(
                application=application,
                origin=origin,
                kind=Pause.Kind.FAULT,
                reason=reason[:200],
                until=Now() + TRIAL,
            )
        ],
        update_conflicts=True,
        unique_fields=["application", "origin"],
        update_fields=["kind", "reason", "until"],
    )
    logger.error("paused application=%s origin=%s reason=%s", application.pk, origin, reason)
    alert(application, origin=origin, reason=reason, using=using)


def _busy(application: Application, answer: Answer, using: str) -> None:
    """The provider asked for time for more than this one delivery."""
    outcome = answer.outcome
    if outcome.scope not in (Scope.ORIGIN, Scope.APPLICATION):
        return
    wait = min(timedelta(seconds=outcome.retry_after or 0), LONGEST_BUSY)
    until = Now() + wait
    rows = Pause.objects.using(using)
    known = rows.filter(application=application, origin=answer.fault_origin)
    # Never shortens another one, and never ends the pause of a fault.
    if known.filter(kind=Pause.Kind.BUSY, until__lt=until).update(until=until):
        return
    fresh = Pause(
        application=application,
        origin=answer.fault_origin,
        kind=Pause.Kind.BUSY,
        reason=outcome.reason[:200],
        until=until,
    )
    rows.bulk_create([fresh], ignore_conflicts=True)


def alert(application: Application, *, origin: str, reason: str, using: str) -> None:
    """Calls for a person: by log, by signal, and in the application's row."""
    text = f"{origin}: {reason}"[:300] if origin else reason[:300]
    rows = Application.objects.using(using).filter(pk=application.pk)
    told = Q(alert=text, alerted_at__gt=Now() - ALERT_AGAIN)
    if not rows.exclude(told).update(alert=text, alerted_at=Now()):
        return
    logger.error("push_alert application=%s origin=%s reason=%s", application.pk, origin, reason)
    tell(push_alert, using=using, application=application, origin=origin, reason=reason)


def lift(application: Application, *, origin: str | None = None, using: str) -> None:
    """Ends pauses, of the whole application or of one origin, with the suspensions that led
    there; what was refused or waited because of them is due again."""
    mine = Q() if not origin else Q(origin=origin)
    with transaction.atomic(using=using):
        Pause.objects.using(using).filter(
            Q() if origin is None else Q(origin=origin), application=application
        ).delete()
        Fault.objects.using(using).filter(
            Q() if origin is None else Q(origin=origin), application=application
        ).delete()
        Device.objects.using(using).filter(
            _devices_of(application), mine, suspended_until__isnull=False
        ).update(suspended_until=None, suspended_for="")
        rows = Delivery.objects.using(using).filter(mine, application=application)
        rows.filter(suspended=True, state=Delivery.State.ERROR, expires_at__gt=Now()).update(
            state=Delivery.State.WAITING,
            suspended=False,
            due=Now(),
            give_up_at=None,
            finished_at=None,
            claims=0,
        )
        rows.waiting().filter(error__in=[PAUSED, SUSPENDED]).update(due=Now(), error="")
        # A pause counts nothing: what was tried before it gets its whole time again.
        rows.waiting().exclude(give_up_at=None).update(give_up_at=None)
        Application.objects.using(using).filter(pk=application.pk).update(alert="")
    logger.info("lifted application=%s origin=%s", application.pk, origin)


def release(device_id: int, *, using: str) -> None:
    """The device registered again: what waited for its suspension is due."""
    rows = Delivery.objects.using(using).waiting().filter(device=device_id, error=SUSPENDED)
    rows.update(due=Now(), error="")
