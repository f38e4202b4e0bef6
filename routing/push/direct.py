"""Direct pushes: to devices, to a user's devices, or to a topic, without an inbox in between.

    device.send_message("Your train is late", title="Train 12")
    Device.objects.filter(type="ios").send_message("Hello", badge=lambda device: 3)
    send_message(recipient("phones", kind="topic", recipient="news"), "Hello")

A direct push has an event without audience. Its deliveries go the way of all others: through the
worker, with retries and a visible state. With `send_immediately` they go in the call itself, and a
worker repeats what has to be repeated; with `persist=False` they go at once, without a row. What is
wrong with one recipient is that recipient's result, and stops no other.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

from asgiref.sync import sync_to_async
from django.db import connections, models, transaction

from routing.conf import conf
from routing.push import immediate, unrecorded
from routing.push.calls import CHUNK, TYPE, Badge, Call, Recipient, Target, recipient
from routing.push.deliveries import alias
from routing.push.models import Delivery, Device
from routing.push.results import Result, Results

SQLITE_PAUSE = 0.005  # seconds between two writers' turns

__all__ = [
    "TYPE",
    "Badge",
    "Target",
    "asend_message",
    "chunks_of",
    "recipient",
    "send_message",
    "send_to_user",
]


def send_message(
    to: Any,
    message: str = "",
    *,
    title: str = "",
    tag: str = "",
    related_objects: Iterable[models.Model] = (),
    template: str | None = None,
    context: Mapping[str, Any] | None = None,
    badge: Badge = None,
    persist: bool = True,
    send_immediately: bool = False,
    at_once: int | None = None,
    using: str | None = None,
    **options: Any,
) -> Results:
    """Sends to a device, to a queryset or any iterable of devices, or to a `recipient(...)`.

    Queryset: its active devices. Other inactive devices are skipped, and say so. `badge` may be a
    function that gives each device's own number; left out, it is the number of the user's unread
    notifications. `at_once` bounds the messages that the call itself has on their way, below what
    the application allows. `options` are push options (docs/push.md). `template` is a template's
    slug and `context` what fills its gaps: each device is told in its user's language.

    Returns one result per recipient, whatever became of it; a device that is named twice has one.
    Raises `UnsupportedOption` for options that no backend knows, `InvalidField` for related
    objects that are not saved, and `UnknownTemplate`, `TemplateRefused` or `TemplateFailed`, before
    anything is sent.

    In a transaction nothing leaves before the commit: until then all results are waiting.
    """
    if at_once is not None and at_once < 1:
        raise ValueError("at_once must be at least 1")
    database = alias(using)
    call = Call(
        title=title,
        message=message,
        tag=tag,
        related_objects=related_objects,
        template=template,
        context=context,
        options=options,
        badge=badge,
        batch=conf().push_batch and not send_immediately,
        using=database,
    )
    if not persist:
        return _unrecorded(call, to, immediate.Pace(at_once))
    found = Results()
    pace = immediate.Pace(at_once)
    for chunk in chunks_of(to, database):
        found += _store(call, chunk, pace if send_immediately else None)
    found.event = call.stored_event
    return found


asend_message = sync_to_async(send_message, thread_sensitive=True)


def send_to_user(user: Any, message: str = "", **more: Any) -> Results:
    """As `send_message`, to all active devices of a user."""
    return send_message(Device.objects.using(alias()).filter(user=user), message, **more)


def problems(
    to: Any,
    message: str = "",
    *,
    title: str = "",
    tag: str = "",
    using: str | None = None,
    **options: Any,
) -> list[str]:
    """Why a message cannot be sent to some of these: too long for a provider, say. One device of
    each application is looked at. Raises `UnsupportedOption`."""
    database = alias(using)
    call = Call(
        title=title,
        message=message,
        tag=tag,
        options=options,
        badge=None,
        batch=False,
        using=database,
    )
    if not isinstance(to, models.QuerySet):
        return call.problems(each for chunk in chunks_of(to, database) for each in chunk)
    through = to.order_by().values_list("backend", "application").distinct()
    return call.problems(
        Device.objects.using(database).get(pk=pk)
        for backend, application in through
        for pk in to.filter(backend=backend, application=application).values_list("pk", flat=True)[
            :1
        ]
    )


def chunks_of(to: Any, using: str) -> Iterator[list[Recipient]]:
    """Recipients, each once, a bounded number at a time."""
    seen: set[int] = set()
    several = _of_queryset(to, using) if isinstance(to, models.QuerySet) else _of_objects(to)
    for chunk in several:
        fresh: list[Recipient] = []
        for each in chunk:
            if isinstance(each, Device):
                if each.pk in seen:
                    continue
                seen.add(each.pk)
            elif not isinstance(each, Target):
                raise TypeError(f"cannot send to a {type(each).__name__}")
            fresh.append(each)
        if fresh:
            yield fresh


def _of_queryset(rows: "models.QuerySet[Any]", using: str) -> Iterator[list[Recipient]]:
    """By keys, which are read at once: a cursor that stays open between the writes of the chunks
    would keep an old snapshot, and SQLite refuses to write from one."""
    if rows.model is not Device:
        raise TypeError(f"cannot send to {rows.model.__name__}: give devices")
    wanted = rows if rows.query.is_sliced else rows.filter(active=True)
    keys = iter(list(wanted.values_list("pk", flat=True)))
    while ids := list(islice(keys, CHUNK)):
        found = Device.objects.using(using).in_bulk(ids)
        yield [found[key] for key in ids if key in found]


def _of_objects(to: Any) -> Iterator[list[Recipient]]:
    each = iter([to] if isinstance(to, Device | Target) else to)
    while chunk := list(islice(each, CHUNK)):
        yield chunk


def _store(call: Call, chunk: Sequence[Recipient], pace: immediate.Pace | None) -> list[Result]:
    """Stores the deliveries of a chunk; with `pace` it sends them, too."""
    found = [call.planned(each) for each in chunk]
    rows = [each for each in found if isinstance(each, Delivery)]
    waiting = [row for row in rows if row.finished_at is None]
    if pace is not None:
        later = call.at + immediate.hold()
        for row in waiting:
            row.due = later
    call.store(rows)
    if connections[call.using].vendor == "sqlite" and len(rows) == CHUNK:
        time.sleep(SQLITE_PAUSE)
    ids: dict[int, list[int]] = {}
    for row in waiting:
        ids.setdefault(row.application_id or 0, []).append(row.pk)
    if pace is not None and ids:
        send = partial(immediate.send_rows, ids, pace=pace, using=call.using)
        if immediate.in_transaction(call.using):
            transaction.on_commit(send, using=call.using, robust=True)
        else:
            send()
            _look_again(waiting, call.using)
    return [each if isinstance(each, Result) else call.result_of(each) for each in found]


def _look_again(rows: Iterable[Delivery], using: str) -> None:
    """What has become of them."""
    known = {row.pk: row for row in rows}
    now = Delivery.objects.using(using).filter(pk__in=known)
    for pk, state, error in now.values_list("pk", "state", "error"):
        known[pk].state, known[pk].error = state, error


def _unrecorded(call: Call, to: Any, pace: immediate.Pace) -> Results:
    found = Results()
    chunks = chunks_of(to, call.using)
    if not immediate.in_transaction(call.using):
        for chunk in chunks:
            found += unrecorded.send(call, chunk, pace)
        return found
    for chunk in chunks:
        found += [call.result(each, Delivery.State.WAITING, "for the commit") for each in chunk]
        send = partial(_send_after_commit, call, _keys(chunk), pace)
        transaction.on_commit(send, using=call.using, robust=True)
    return found


def _keys(chunk: Sequence[Recipient]) -> list[int | Target]:
    """Not the devices: a transaction may be long, and they may have changed by its end."""
    return [each.pk if isinstance(each, Device) else each for each in chunk]


def _send_after_commit(call: Call, keys: Sequence[int | Target], pace: immediate.Pace) -> None:
    known: Mapping[int, Device] = Device.objects.using(call.using).in_bulk(
        [key for key in keys if isinstance(key, int)]
    )
    there: list[Recipient] = [
        known[key] if isinstance(key, int) else key
        for key in keys
        if not isinstance(key, int) or key in known
    ]
    unrecorded.send(call, there, pace)
