"""Presence is written in batches, beside the sockets and never in a connect."""

from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from routing import presence
from routing.live.runtime import Runtime
from tests.routing import leases
from tests.routing.live.fakes import FakeServer
from tests.routing.live.test_consumer import send
from tests.waiting import await_for

SignedIn = Callable[..., FakeServer]

looking = sync_to_async(leases.looking)
acked = sync_to_async(presence.acked)


async def test_who_connects_is_looking_within_about_a_second(
    signed_in: SignedIn, alice: Any, bob: Any
) -> None:
    async with signed_in() as socket:
        await socket.hello()
        await await_for(lambda: looking([alice.pk, bob.pk]), 2)
        assert await looking([alice.pk, bob.pk]) == {alice.pk}
    # never cleared: a lease ends by itself
    assert await looking([alice.pk]) == {alice.pk}


async def test_a_lease_is_renewed(
    signed_in: SignedIn, alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from routing.models import Presence

    async with signed_in() as socket:
        await socket.hello()
        await await_for(lambda: looking([alice.pk]), 2)
        first = (await Presence.objects.aget()).until
        monkeypatch.setattr("routing.live.leases.RENEW", 0.0)

        async def renewed() -> bool:
            return (await Presence.objects.aget()).until > first

        await await_for(renewed, 3)


async def test_a_write_that_fails_is_made_up_for(
    signed_in: SignedIn, alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import OperationalError

    from routing.live import leases

    monkeypatch.setattr(leases, "FAULT_PAUSE", 0.05)
    hold, tries = presence.hold, []

    def sometimes(rows: Any) -> None:
        tries.append(rows)
        if len(tries) < 3:
            raise OperationalError("gone")
        hold(rows)

    monkeypatch.setattr(leases.presence, "hold", sometimes)
    await send(alice)
    async with signed_in() as socket:
        hello = await socket.hello()
        await socket.ask(action="ack", version=1)
        await await_for(lambda: acked([alice.pk], epoch=hello["epoch"]), 5)


async def test_idle_people_cost_no_writes(
    signed_in: SignedIn, runtime: Runtime, alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from routing.live import leases

    hold, writes = presence.hold, []

    def counted(rows: Any) -> None:
        writes.append(rows)
        hold(rows)

    monkeypatch.setattr(leases.presence, "hold", counted)
    monkeypatch.setattr(leases, "EVERY", 0.02)
    await send(alice)
    async with signed_in() as first, signed_in() as second:
        await first.hello()
        await second.hello()
        await await_for(lambda: writes, 2)
        await first.ask(action="ack", version=1)
        await await_for(lambda: any(row[2] == 1 for rows in writes for row in rows), 2)
        count = len(writes)
        await second.ask(action="ack", version=1)  # nothing new
        await second.ask(action="ack", version=0)
        await second.nothing(within=0.2)
        assert len(writes) == count
