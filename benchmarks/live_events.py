"""Events for the live road that cost no database: one is stored, and those after it are counted on.

What the road is told of the next ones differs in ids, versions and counters alone. So a publisher
can be faster than any database. Sockets then stand above their inboxes, which reconcile would find
out; a server under such a load has `benchmarks.peers.rare_reconcile` and lives for one run.
"""

import asyncio
import copy
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.live_stand import PLACE, WORDS

Told = list[tuple[str, dict[str, Any]]]  # groups of the layer, and what they are told

ANNOUNCE = "hub_live_announce"  # under which the live road hears of changes

SETTINGS = {"DJANGO_SETTINGS_MODULE": "benchmarks.peers.rare_reconcile"}


class Events:
    """One event in the inboxes of these users, and what would come after it."""

    def __init__(self, ids: Sequence[int]) -> None:
        self.changes = stored(ids)
        self._next = 0

    def to_all(self, number: int) -> Iterator[Told]:
        """The next events, each to all."""
        from routing.live.messages import outgoing

        for _ in range(number):
            self._next += 1
            yield [one for change in self.changes for one in outgoing(self._later(change))]

    def to_one(self, places: Sequence[int]) -> Iterator[Told]:
        """The next events, each to the user at one of these places."""
        from routing.live.messages import outgoing

        everybody = [(change, told) for change in self.changes for told in change.recipients]
        steps = [0] * len(everybody)
        for place in places:
            self._next += 1
            steps[place] += 1
            change, told = everybody[place]
            one = dataclasses.replace(change, recipients=[counted_on(told, steps[place])])
            one = dataclasses.replace(one, event=self._event(change))
            yield outgoing(one)

    def _later(self, change: Any) -> Any:
        told = [counted_on(one, self._next) for one in change.recipients]
        return dataclasses.replace(change, event=self._event(change), recipients=told)

    def _event(self, change: Any) -> Any:
        event = copy.copy(change.event)
        event.pk += self._next
        return event


def packed(told: Told) -> bytes:
    """The bytes by which the layer hands an event's messages to Redis."""
    from channels.layers import get_channel_layer
    from redis import Connection

    from routing.live.redis_layer import Shards

    async def names() -> list[str]:
        shards = Shards(layer)
        return [shards.locate(group)[1] for group, _ in told]

    layer: Any = get_channel_layer()
    pack = Connection().pack_command
    return b"".join(
        part
        for name, (_, message) in zip(asyncio.run(names()), told, strict=True)
        for part in pack("PUBLISH", name, layer.serialize(message))
    )


def counted_on(told: Any, step: int) -> Any:
    return told._replace(
        version=told.version + step, unread=told.unread + step, unseen=told.unseen + step
    )


def stored(ids: Sequence[int]) -> list[Any]:
    """Stores an event for these users and answers the changes that it made. The live road is not
    told of them."""
    from django.db import router

    from notifications import send_notification
    from notifications.fanout import fan_out, together
    from notifications.models import Audience
    from notifications.signals import inbox_changed
    from routing.receivers import announce

    caught: list[Any] = []

    def catch(*, change: Any, **_: Any) -> None:
        caught.append(change)

    using = router.db_for_write(Audience)
    inbox_changed.disconnect(announce, dispatch_uid=ANNOUNCE)
    inbox_changed.connect(catch)
    try:
        event = send_notification("post_comment", users=ids, data={"ts": PLACE}, **WORDS)
        for keys in together(Audience.objects.using(using).filter(event=event).order_by("pk")):
            fan_out(*keys, using=using)
    finally:
        inbox_changed.disconnect(catch)
        inbox_changed.connect(announce, dispatch_uid=ANNOUNCE)
    told = sum(len(change.recipients) for change in caught)
    if told != len(ids):
        raise SystemExit(f"{told} of {len(ids)} users were told of an event")
    return caught
