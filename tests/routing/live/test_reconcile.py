"""Whatever the layer loses, a client equals the database soon after, or is told to reload."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db.models import F
from django.utils import timezone

from notifications import EVERYONE, asend_notification, inbox
from notifications.models import Event, Inbox, Notification
from routing.live import runtime as runtimes
from routing.live.runtime import Runtime
from tests.routing.live.fakes import FakeServer
from tests.routing.live.test_consumer import send
from tests.waiting import await_for

SignedIn = Callable[..., FakeServer]
Settled = Callable[..., Any]


def silence(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on no message of the layer is heard."""
    monkeypatch.setattr(runtime.listener, "_handle", lambda message: None)


async def test_the_last_hint_lost_is_found(
    signed_in: SignedIn, runtime: Runtime, alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    silence(runtime, monkeypatch)
    async with signed_in() as socket:
        await socket.hello()
        await send(alice, "unheard")
        await socket.nothing()
        runtime.reconciler.now()
        sync = await socket.frame()
        assert (sync["action"], sync["version"], sync["unread"]) == ("sync", 1, 1)
        runtime.reconciler.now()
        await socket.nothing(within=0.5)  # nothing twice


async def test_it_happens_by_itself(
    signed_in: SignedIn,
    runtime: Runtime,
    alice: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    silence(runtime, monkeypatch)
    monkeypatch.setattr(runtime.reconciler, "_every", 0.2)
    runtime.reconciler.now()  # begins a new wait, with the new time
    async with signed_in() as socket:
        await socket.hello()
        await send(alice)
        assert (await socket.frame())["version"] == 1


async def test_a_young_subscription_is_looked_at_again(
    signed_in: SignedIn, runtime: Runtime, alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("routing.live.subscriptions.YOUNG", (0.05, 0.2))
    silence(runtime, monkeypatch)
    async with signed_in() as socket:
        await socket.hello()
        await send(alice)
        assert (await socket.frame(within=2))["version"] == 1


async def test_a_new_epoch_resets(
    signed_in: SignedIn, runtime: Runtime, settled: Settled, alice: Any
) -> None:
    await send(alice)
    async with signed_in() as socket:
        old = await socket.hello()
        await socket.ask(action="ack", version=1)
        await sync_to_async(inbox.new_epoch)()
        runtime.reconciler.now()
        assert (await socket.frame())["action"] == "reset"
        await socket.nothing()
        # live from there on, and in the new epoch
        await settled(alice)
        await send(alice)
        assert (await socket.frame())["version"] == 2
        socket.say({"action": "sync", "since": 1})
        page = await socket.frame()
        assert page["epoch"] != old["epoch"]
        assert [row["version"] for row in page["changes"]] == [2]


async def test_an_inbox_behind_what_was_sent_resets(
    signed_in: SignedIn, runtime: Runtime, settled: Settled, alice: Any
) -> None:
    """A backup was restored, and nobody said so."""
    for _ in range(3):
        await send(alice)
    async with signed_in() as socket:
        assert (await socket.hello())["version"] == 3
        await settled(alice)
        await Notification.objects.filter(version__gt=1).adelete()
        await Inbox.objects.aupdate(version=1, unread=1, unseen=1, total=1)
        runtime.reconciler.now()
        assert (await socket.frame())["action"] == "reset"
        await send(alice)
        frame = await socket.frame()
        assert (frame["action"], frame["version"]) == ("new", 2)
        assert (await socket.ask(action="ack", version=3))["code"] == "invalid_ack"


async def test_a_broadcast_of_which_nothing_was_heard_is_taken_in(
    signed_in: SignedIn, runtime: Runtime, alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    silence(runtime, monkeypatch)
    async with signed_in() as socket:
        await socket.hello()
        await asend_notification("post_like", users=EVERYONE, title="To all")
        runtime.reconciler.now()
        await await_for(lambda: _version_of(alice))
        runtime.reconciler.now()
        sync = await socket.frame()
        assert sync["changes"][0]["event"]["title"] == "To all"


async def test_what_is_due_expires(
    signed_in: SignedIn, runtime: Runtime, settled: Settled, alice: Any
) -> None:
    event = await send(alice)
    async with signed_in() as socket:
        await socket.hello()
        await settled(alice)
        past = timezone.now() - timedelta(seconds=1)
        await Event.objects.filter(pk=event.pk).aupdate(expires_at=past)
        await Inbox.objects.filter(pk=alice.pk).aupdate(next_expiry=past)
        runtime.reconciler.now()
        frame = await socket.frame()
        assert (frame["action"], frame.get("state")) == ("marked", "expired")


async def test_a_database_that_is_away_is_asked_again(
    signed_in: SignedIn, runtime: Runtime, alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import OperationalError

    from routing.live import reconcile

    silence(runtime, monkeypatch)
    monkeypatch.setattr(reconcile, "DEAF_EVERY", 0.05)
    positions, asked = inbox.positions, []

    def sometimes(keys: Any) -> Any:
        asked.append(keys)
        if len(asked) < 3:
            raise OperationalError("gone")
        return positions(keys)

    monkeypatch.setattr(reconcile.inbox, "positions", sometimes)
    async with signed_in() as socket:
        await socket.hello()
        await send(alice)
        runtime.reconciler.now()
        assert (await socket.frame())["version"] == 1
        assert len(asked) >= 3


async def test_a_read_that_fails_is_tried_again(
    signed_in: SignedIn, runtime: Runtime, alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import OperationalError

    from routing.live import reading

    silence(runtime, monkeypatch)
    monkeypatch.setattr(reading, "RETRY", 0.05)
    read, tries = reading.read_page, []

    def sometimes(*args: Any, **kwargs: Any) -> Any:
        tries.append(args)
        if len(tries) < 3:
            raise OperationalError("gone")
        return read(*args, **kwargs)

    monkeypatch.setattr(reading, "read_page", sometimes)
    async with signed_in() as socket:
        await socket.hello()
        await send(alice)
        runtime.registry.hint(alice.pk, version=1)
        assert (await socket.frame())["version"] == 1


@pytest.mark.embedded
async def test_sqlite_tells_what_another_process_wrote(
    hub: Any, transactional_db: None, token: str, alice: Any, processes: Any
) -> None:
    """By `data_version` alone: reconcile is far away, and the layer reaches no other process."""
    from tests.routing.live.conftest import ORIGIN

    runtime = runtimes.running()
    try:
        await await_for(lambda: not runtime.listener.deaf)
        headers = [(b"authorization", f"Bearer {token}".encode()), (b"origin", ORIGIN.encode())]
        async with FakeServer(headers=headers) as socket:
            await socket.hello()
            process = processes.start(
                "shell",
                "-c",
                "from notifications import send_notification as s;"
                f"s('post_like', users={alice.pk}, title='from elsewhere')",
            )
            await await_for(lambda: not process.is_running, 20)
            assert process.returncode == 0, process.log
            # the process itself has just ended: what it wrote is seen within a poll and a pause
            sync = await socket.frame(within=1)
            assert sync["changes"][0]["event"]["title"] == "from elsewhere"
    finally:
        await runtimes.stop()


async def test_large_numbers_of_users_are_asked_for_in_parts(
    signed_in: SignedIn, runtime: Runtime, alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from routing.live import reconcile
    from routing.live.registry import UserSockets

    monkeypatch.setattr(reconcile, "CHUNK", 10)
    sizes = []
    positions = inbox.positions

    def noted(keys: Any) -> Any:
        sizes.append(len(keys))
        return positions(keys)

    monkeypatch.setattr(reconcile.inbox, "positions", noted)
    async with signed_in() as socket:
        await socket.hello()
        sizes.clear()
        for key in range(10**6, 10**6 + 24):
            runtime.registry.users[key] = UserSockets(key)
        runtime.reconciler.now()
        await await_for(lambda: sum(sizes) >= 25)
        assert sorted(sizes) == [5, 10, 10]


async def _version_of(user: Any) -> bool:
    return await Inbox.objects.filter(pk=user.pk, version=F("unread"), version__gt=0).aexists()
