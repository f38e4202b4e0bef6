"""Topics at a provider: devices are added to them and taken out; FCM has them.

    Device.objects.filter(type="android").subscribe("news")
    send_message(recipient("phones", kind="topic", recipient="news"), "Hello")

It is asked at once, and nothing is recorded: one result per device says what the provider answered.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from asgiref.sync import sync_to_async

from routing.push import applications, clients, devices
from routing.push.backends import answers
from routing.push.backends.base import PushBackend
from routing.push.calls import NO_APPLICATION, address_of
from routing.push.deliveries import alias
from routing.push.direct import chunks_of
from routing.push.handing_over import Endpoint
from routing.push.models import Application, Delivery, Device
from routing.push.outcomes import Address, InvalidAddress, Outcome, Verdict
from routing.push.results import Result, Results

logger = logging.getLogger(__name__)

State = Delivery.State

Ask = Callable[[PushBackend, Address], Coroutine[Any, Any, Outcome]]


def subscribe(to: Any, topic: str) -> Results:
    """Adds a device, or a queryset or iterable of devices, to a topic; a repeat changes nothing.

    Returns one result per device, SENT where the provider agreed; never raises for one of them.
    """
    return _each(to, lambda backend, address: backend.subscribe(address, topic))


def unsubscribe(to: Any, topic: str) -> Results:
    """Takes devices out of a topic; as `subscribe`."""
    return _each(to, lambda backend, address: backend.unsubscribe(address, topic))


asubscribe = sync_to_async(subscribe, thread_sensitive=True)
aunsubscribe = sync_to_async(unsubscribe, thread_sensitive=True)


def _each(to: Any, ask: Ask) -> Results:
    found = Results()
    using = alias()
    for chunk in chunks_of(to, using):
        rows = [each for each in chunk if isinstance(each, Device)]
        if len(rows) < len(chunk):
            raise TypeError("only devices are in topics")
        results: dict[int, Result] = {}
        known = applications.current(using=using)
        groups: dict[Application, list[Device]] = {}
        for row in rows:
            application = known.of_device(row.backend, row.application_id)
            if not row.active:
                results[row.pk] = Result(
                    state=State.SKIPPED, reason=row.inactivity, device_id=row.pk
                )
            elif application is None:
                results[row.pk] = Result(state=State.ERROR, reason=NO_APPLICATION, device_id=row.pk)
            else:
                groups.setdefault(application, []).append(row)
        for application, members in groups.items():
            for row, outcome in zip(members, _ask_all(application, members, ask), strict=True):
                results[row.pk] = _result(row, application, outcome, using)
        found += [results[row.pk] for row in rows]
    return found


def _ask_all(application: Application, rows: Sequence[Device], ask: Ask) -> list[Outcome]:
    try:
        endpoint = clients.shared().endpoint(application)
        addresses = [address_of(row) for row in rows]
        return clients.shared().ask(endpoint, lambda _: _gathered(endpoint, addresses, ask))
    except Exception as error:
        # Unreadable credentials, a missing library: nobody of this application can be asked.
        logger.error("topic failed application=%s error=%s", application.pk, type(error).__name__)
        lost = Outcome(verdict=Verdict.MISCONFIGURED, reason=type(error).__name__)
        return [lost] * len(rows)


async def _gathered(endpoint: Endpoint, addresses: Sequence[Address], ask: Ask) -> list[Outcome]:
    slots = asyncio.Semaphore(endpoint.slots)

    async def one(address: Address) -> Outcome:
        async with slots:
            try:
                async with asyncio.timeout(endpoint.limit.total_seconds()):
                    return await ask(endpoint.backend, address)
            except InvalidAddress as problem:
                return Outcome(verdict=Verdict.REFUSED, reason=str(problem))
            except Exception as error:
                # Its text may hold an address.
                return answers.no_answer(error, sent=True)

    return list(await asyncio.gather(*(one(address) for address in addresses)))


def _result(row: Device, application: Application, outcome: Outcome, using: str) -> Result:
    if outcome.verdict is Verdict.GONE:
        devices.gone(row.pk, registered_at=row.registered_at, since=outcome.gone_since, using=using)
    taken = outcome.verdict is Verdict.SENT
    return Result(
        state=State.SENT if taken else State.ERROR,
        reason="" if taken else outcome.reason or outcome.verdict.value,
        device_id=row.pk,
        application=application.name,
    )
