"""A socket from hello to its end, as docs/protocol.md section 6 has it."""

import json
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from notifications import EVERYONE, asend_notification, inbox
from routing.live.runtime import Runtime
from tests.routing.live.fakes import FakeServer

GOLDEN = Path(__file__).parents[2] / "golden"

SignedIn = Callable[..., FakeServer]
Settled = Callable[..., Any]

amark = sync_to_async(inbox.mark)
adelete = sync_to_async(inbox.delete)
asummary = sync_to_async(inbox.summary)


def shape(value: Any) -> Any:
    """The keys, in order, and the types: what a golden example fixes."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items() if key != "data"}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def golden(name: str) -> Any:
    return json.loads((GOLDEN / f"{name}.json").read_text())


def assert_shaped_as(frame: dict[str, Any], name: str) -> None:
    expected, found = shape(golden(name)), shape(frame)
    assert list(found) == list(expected)
    assert found == expected


async def send(user: Any, title: str = "Hello", **words: Any) -> Any:
    words = {"type": "post_comment", "expires_at": timezone.now() + timedelta(days=1), **words}
    return await asend_notification(users=user, title=title, **words)


async def test_hello_says_where_the_inbox_is(signed_in: SignedIn, alice: Any) -> None:
    await send(alice)
    await send(alice)
    async with signed_in() as socket:
        hello = await socket.hello()
        assert_shaped_as(hello, "frame_hello")
        assert (hello["version"], hello["unread"], hello["unseen"]) == (2, 2, 2)
        await socket.nothing()


async def test_what_arrives_comes_as_new(
    signed_in: SignedIn, settled: Settled, alice: Any, bob: Any
) -> None:
    async with signed_in() as socket:
        await socket.hello()
        await settled(alice)
        event = await send(
            alice,
            author=bob,
            message="Nice picture!",
            url="/posts/12/",
            data={"post": 12},
            tag="post-12",
        )
        frame = await socket.frame()
        assert_shaped_as(frame, "frame_new")
        assert frame["version"] == 1
        stored = await sync_to_async(inbox.get)(alice.pk, event.pk)
        assert frame["notification"] == stored


async def test_many_recipients_share_one_message_and_each_gets_their_own_head(
    signed_in: SignedIn, settled: Settled, make_user: Any, alice: Any
) -> None:
    many = [await sync_to_async(make_user)(f"user{number}") for number in range(12)]
    await send(alice, "before")
    async with signed_in() as socket:
        await socket.hello()
        await send([*many, alice], "for all")
        frame = await socket.frame()
        assert frame["action"] == "new"
        assert (frame["version"], frame["unread"]) == (2, 2)
        assert frame["notification"]["event"]["title"] == "for all"


async def test_silent_stands_in_the_frame(
    signed_in: SignedIn, settled: Settled, alice: Any
) -> None:
    from notifications.models import EventType, Filter

    row = await EventType.objects.aget(name="post_comment")
    await Filter.objects.acreate(user=alice, type=row, channel="live", enabled=False)
    async with signed_in() as socket:
        await socket.hello()
        await settled(alice)
        await send(alice)
        frame = await socket.frame()
        assert list(frame) == list(golden("frame_new_silent"))
        assert frame["silent"] is True
        assert frame["notification"]["silent"] is True


async def test_marks_reach_all_sockets_also_the_one_that_asked(
    signed_in: SignedIn, settled: Settled, alice: Any
) -> None:
    events = [await send(alice) for _ in range(2)]
    async with signed_in() as desk, signed_in() as phone:
        await desk.hello()
        await phone.hello()
        await settled(alice)
        desk.say({"action": "mark", "state": "read", "ids": [events[0].pk], "ref": "m1"})
        frames = {frame["action"]: frame for frame in await desk.frames(2)}
        assert_shaped_as(frames["done"], "frame_done")
        assert frames["done"] == {"action": "done", "ref": "m1", "changed": 1, "version": 3}
        assert_shaped_as(frames["marked"], "frame_marked_ids")
        assert await phone.frame() == frames["marked"]
        assert frames["marked"]["ids"] == [events[0].pk]

        await amark(alice.pk, state="seen", up_to=2)
        assert_shaped_as(await desk.frame(), "frame_marked_up_to")
        await amark(alice.pk, state="read", up_to=2, type="post_comment")
        assert_shaped_as(await desk.frame(), "frame_marked_up_to_type")
        await adelete(alice.pk, ids=[event.pk for event in events])
        frame = await desk.frame()
        assert_shaped_as(frame, "frame_deleted")
        assert frame["ids"] == [event.pk for event in events]
        assert (await asummary(alice.pk)).version == frame["version"]


async def test_a_change_of_many_ids_comes_as_sync(
    signed_in: SignedIn, settled: Settled, alice: Any
) -> None:
    ids = [(await send(alice)).pk for _ in range(101)]
    async with signed_in() as socket:
        await socket.hello()
        await settled(alice)
        await amark(alice.pk, state="read", ids=ids)
        frame = await socket.frame()
        assert frame["action"] == "sync"
        assert frame["version"] == 102
        assert {row["id"] for row in frame["changes"]} == set(ids)
        assert frame["unread"] == 0


async def test_a_cursor_is_answered_by_at_least_one_sync(
    signed_in: SignedIn, settled: Settled, alice: Any
) -> None:
    event = await send(alice)
    epoch = (await asummary(alice.pk)).epoch
    async with signed_in(query={"since": 1, "epoch": epoch}) as socket:
        await socket.hello()
        assert_shaped_as(await socket.frame(), "frame_sync_empty")
    await amark(alice.pk, state="read", ids=[event.pk])
    await send(alice)
    async with signed_in(query={"since": 1, "epoch": epoch}) as socket:
        hello = await socket.hello()
        assert hello["version"] == 3
        sync = await socket.frame()
        assert list(sync) == list(golden("frame_sync"))
        assert (sync["version"], sync["more"], sync["cursor"]) == (3, False, None)
        assert [row["version"] for row in sync["changes"]] == [2, 3]
        await settled(alice)
        await send(alice)
        assert (await socket.frame())["version"] == 4


@pytest.mark.parametrize(
    "query",
    [
        {"since": "0", "epoch": "other"},
        {"since": "0"},
        {"since": "99", "epoch": "{epoch}"},
        {"since": "", "epoch": "{epoch}"},
        {"since": "-1", "epoch": "{epoch}"},
        {"since": "\x00", "epoch": "{epoch}"},
        {"since": "9" * 5000, "epoch": "{epoch}"},
        {"since": "é", "epoch": "{epoch}"},
    ],
)
async def test_a_cursor_that_does_not_fit_is_reset(
    signed_in: SignedIn, settled: Settled, alice: Any, query: dict[str, str]
) -> None:
    await send(alice)
    epoch = (await asummary(alice.pk)).epoch
    query = {key: value.replace("{epoch}", epoch) for key, value in query.items()}
    async with signed_in(query=query) as socket:
        assert (await socket.hello())["version"] == 1
        assert_shaped_as(await socket.frame(), "frame_reset")
        # live from the inbox's version of that moment
        await settled(alice)
        await send(alice)
        frame = await socket.frame()
        assert (frame["action"], frame["version"]) == ("new", 2)


async def test_an_epoch_alone_is_no_cursor(signed_in: SignedIn, alice: Any) -> None:
    async with signed_in(query={"epoch": "whatever"}) as socket:
        await socket.hello()
        await socket.nothing()


async def test_a_long_answer_comes_in_pages_and_ends_live(
    signed_in: SignedIn, settled: Settled, alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("notifications.inbox.PAGE", 3)
    for number in range(7):
        await send(alice, str(number))
    epoch = (await asummary(alice.pk)).epoch
    async with signed_in(query={"since": 0, "epoch": epoch}) as socket:
        hello = await socket.hello()
        assert hello["version"] == 7
        pages = await socket.frames(3)
        assert [page["more"] for page in pages] == [True, True, False]
        assert list(pages[0]) == list(golden("frame_sync_more"))
        assert [row["version"] for page in pages for row in page["changes"]] == list(range(1, 8))
        assert pages[-1]["version"] == 7
        await settled(alice)
        await send(alice)
        assert (await socket.frame())["version"] == 8


async def test_a_page_of_large_rows_stays_below_a_megabyte(signed_in: SignedIn, alice: Any) -> None:
    for _ in range(80):
        await send(alice, data={"text": "ä" * 8000})
    epoch = (await asummary(alice.pk)).epoch
    async with signed_in(query={"since": 0, "epoch": epoch}) as socket:
        await socket.hello()
        versions: list[int] = []
        more = True
        while more:
            message = await socket.message()
            assert len(message["text"].encode()) < 2**20
            page = json.loads(message["text"])
            versions += [row["version"] for row in page["changes"]]
            more = page["more"]
        assert versions == list(range(1, 81))


async def test_sync_sends_again_from_any_cursor(signed_in: SignedIn, alice: Any) -> None:
    await send(alice)
    await send(alice)
    async with signed_in() as socket:
        await socket.hello()
        socket.say({"action": "sync", "since": 1, "ref": 7})
        page, done = await socket.frames(2)
        assert [row["version"] for row in page["changes"]] == [2]
        assert done == {"action": "done", "ref": 7, "changed": 0, "version": 2}
        socket.say({"action": "sync", "since": "nonsense", "ref": "r"})
        reset, done = await socket.frames(2)
        assert reset["action"] == "reset"
        assert done == {"action": "done", "ref": "r", "changed": 0, "version": 2}


async def test_ack_is_answered_and_kept_for_push(
    signed_in: SignedIn, runtime: Runtime, alice: Any
) -> None:
    from routing import presence
    from tests.waiting import await_for

    await send(alice)
    async with signed_in() as socket:
        hello = await socket.hello()
        assert await socket.ask(action="ack", version=1, ref="a") == {
            "action": "done",
            "ref": "a",
            "changed": 0,
            "version": 1,
        }
        acked = sync_to_async(presence.acked)
        await await_for(lambda: acked([alice.pk], epoch=hello["epoch"]))
        assert await acked([alice.pk], epoch=hello["epoch"]) == {alice.pk: 1}
        error = await socket.ask(action="ack", version=2, ref="a2")
        assert error["code"] == "invalid_ack"
        assert_shaped_as(error, "frame_error")
        # it takes no number
        assert (await asummary(alice.pk)).version == 1


async def test_commands_are_done_in_order_one_at_a_time(signed_in: SignedIn, alice: Any) -> None:
    event = await send(alice)
    async with signed_in() as socket:
        await socket.hello()
        for number, state in enumerate(["read", "unread", "archived", "unarchived", "read"]):
            socket.say({"action": "mark", "state": state, "ids": [event.pk], "ref": number})
        answers: list[dict[str, Any]] = []
        while len(answers) < 5:
            frame = await socket.frame()
            if frame["action"] == "done":
                answers.append(frame)
        assert [(answer["ref"], answer["version"]) for answer in answers] == [
            (0, 2),
            (1, 3),
            (2, 4),
            (3, 5),
            (4, 6),
        ]


async def test_delete_answers_and_passes_over_foreign_ids(
    signed_in: SignedIn, alice: Any, bob: Any
) -> None:
    mine, his = await send(alice), await send(bob)
    async with signed_in() as socket:
        await socket.hello()
        answer = await socket.ask(action="delete", ids=[mine.pk, his.pk, 10**30, -5, 0])
        assert answer["changed"] == 1
        assert await sync_to_async(inbox.get)(bob.pk, his.pk) is not None
        assert await sync_to_async(inbox.get)(alice.pk, mine.pk) is None


@pytest.mark.parametrize("number", [1, 4])
async def test_every_recipient_of_a_broadcast_who_is_here_takes_it_in(
    signed_in: SignedIn, alice: Any, number: int
) -> None:
    async with signed_in() as socket:
        await socket.hello()
        for _ in range(number):
            await asend_notification("post_like", users=EVERYONE, title="To all")
        versions: list[int] = []
        while len(versions) < number:
            frame = await socket.frame()
            if frame["action"] == "sync":
                versions += [row["version"] for row in frame["changes"]]
            else:
                versions.append(frame["version"])
        assert versions == list(range(1, number + 1))


async def test_unknown_event_type_and_slow_database_are_answered(
    signed_in: SignedIn, alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import OperationalError

    async with signed_in() as socket:
        await socket.hello()
        answer = await socket.ask(action="mark", state="read", up_to=1, type="nonsense")
        assert answer["code"] == "unknown_event_type"

        def away(*_: Any, **__: Any) -> None:
            raise OperationalError("gone")

        monkeypatch.setattr("routing.live.commands.inbox.delete", away)
        answer = await socket.ask(action="delete", ids=[1])
        assert answer["code"] == "unavailable"

        def broken(*_: Any, **__: Any) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr("routing.live.commands.inbox.delete", broken)
        answer = await socket.ask(action="delete", ids=[1])
        assert answer["code"] == "server_error"
        assert "Zero" not in answer["detail"]
        assert (await socket.ask(action="pong"))["action"] == "done"


async def test_no_hello_when_the_inbox_cannot_be_read(
    signed_in: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import OperationalError

    def away(*_: Any, **__: Any) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr("routing.live.reading.inbox.summary", away)
    async with signed_in() as socket:
        await socket.accepted()
        frames, code = await socket.closed()
        assert [frame["action"] for frame in frames] == ["bye"]
        assert_shaped_as(frames[0], "frame_bye")
        assert code == frames[0]["code"] == 4000


async def test_nothing_is_lost_between_registry_and_hello(
    signed_in: SignedIn, make_user: Any, alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event that arrives after the read but before hello is written still comes, without any
    reconcile: the socket was in the registry before."""
    from notifications import send_notification
    from routing.live import consumer
    from routing.live.publisher import publisher

    # so many that word of it goes to everybody's group, in which this process is already
    many = [alice, *[await sync_to_async(make_user)(f"user{number}") for number in range(10)]]
    read = consumer.read_start
    heard = threading.Event()

    def read_then_send(*args: Any, **kwargs: Any) -> Any:
        start = read(*args, **kwargs)
        send_notification("post_like", users=many, title="in between")
        assert publisher().flush(5)
        heard.wait(0.3)
        return start

    monkeypatch.setattr(consumer, "read_start", read_then_send)
    async with signed_in() as socket:
        assert (await socket.hello())["version"] == 0
        sync = await socket.frame()
        assert [row["event"]["title"] for row in sync["changes"]] == ["in between"]


async def test_expired_ones_are_announced(
    signed_in: SignedIn, settled: Settled, alice: Any
) -> None:
    from notifications.models import Event, Inbox

    event = await send(alice)
    async with signed_in() as socket:
        await socket.hello()
        await settled(alice)
        past = timezone.now() - timedelta(seconds=1)
        await Event.objects.filter(pk=event.pk).aupdate(expires_at=past)
        await Inbox.objects.filter(pk=alice.pk).aupdate(next_expiry=past)
        await sync_to_async(inbox.expire)([alice.pk])
        frame = await socket.frame()
        assert_shaped_as(frame, "frame_marked_expired")
        assert (frame["state"], frame["ids"]) == ("expired", [event.pk])
