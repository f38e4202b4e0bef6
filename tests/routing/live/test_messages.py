"""What processes tell each other: small, shared, and fit for any layer."""

import re
import uuid
from datetime import UTC, datetime
from typing import Any

import msgpack
import pytest

from notifications.models import Event, EventType
from notifications.signals import Arrived, Broadcast, Deleted, Marked, Position, Recipient
from routing.live import messages

pytestmark = pytest.mark.embedded

AT = datetime(2026, 3, 2, 8, 16, 2, 330918, tzinfo=UTC)
ACCEPTED = re.compile(r"[a-zA-Z0-9._-]{1,99}")  # what every layer takes as a group's name


def event() -> Event:
    kind = EventType(pk=2, name="post_comment", title="New comment")
    return Event(pk=4211, type=kind, title="Grüße 🎉", data={"a": [1, None, 2.5]}, timestamp=AT)


def recipient(user_id: Any, version: int = 7, *, silent: bool = False) -> Recipient:
    return Recipient(user_id=user_id, version=version, unread=3, unseen=1, silent=silent)


def position(user_id: Any = 5) -> Position:
    return Position(user_id=user_id, version=18, unread=4, unseen=1)


def test_few_recipients_are_told_each_in_their_own_group() -> None:
    told = messages.outgoing(Arrived(event=event(), recipients=[recipient(n) for n in range(8)]))
    assert [group for group, _ in told] == [f"hub.user.i.{n}" for n in range(8)]
    # nobody's group carries word of somebody else
    assert [list(message["to"][0]) for _, message in told] == [[n] for n in range(8)]
    assert len({id(message["event"]) for _, message in told}) == 1


def test_many_recipients_are_one_message() -> None:
    recipients = [recipient(n, n + 1, silent=n == 3) for n in range(500)]
    [(group, message)] = messages.outgoing(Arrived(event=event(), recipients=recipients))
    assert group == messages.EVERYBODY
    rows = list(zip(*message["to"], strict=True))
    assert rows[3] == (3, 4, 3, 1, True)
    assert len(rows) == 500


@pytest.mark.parametrize("count", [0, 1, 100])
def test_up_to_a_hundred_ids_stand_in_the_frame(count: int) -> None:
    ids = list(range(count))
    [(_, message)] = messages.outgoing(Deleted(position=position(), ids=ids))
    assert message["type"] == "hub.changed"
    assert message["version"] == 18


def test_more_are_a_bare_hint() -> None:
    ids = list(range(101))
    for change in (
        Deleted(position=position(), ids=ids),
        Marked(position=position(), state="read", at=AT, ids=ids),
    ):
        [(group, message)] = messages.outgoing(change)
        assert group == "hub.user.i.5"
        assert message == {"type": "hub.hint", "user": 5, "version": 18}


@pytest.mark.parametrize(
    "change",
    [
        Arrived(event=event(), recipients=[recipient(uuid.uuid4()) for _ in range(20)]),
        Arrived(event=event(), recipients=[recipient(uuid.uuid4())]),
        Marked(position=position(uuid.uuid4()), state="seen", at=AT, up_to=5, type="x"),
        Marked(position=position("a name"), state="seen", at=AT, ids=(1, 2)),
        Deleted(position=position(), ids=list(range(200))),
        Broadcast(number=3),
    ],
)
def test_every_message_survives_msgpack(change: Any) -> None:
    for group, message in messages.outgoing(change):
        assert msgpack.unpackb(msgpack.packb(message)) == message
        assert ACCEPTED.fullmatch(group)


def test_every_key_has_a_group_of_its_own_with_an_accepted_name() -> None:
    keys = [1, -1, 2**63, "1", "-1", "a", "A", "ä", "a b", "a.b", "x" * 300, "", str(uuid.uuid4())]
    names = [messages.user_group(messages.key_of(key)) for key in keys]
    assert len(set(names)) == len(keys)
    assert all(ACCEPTED.fullmatch(name) for name in names)
    one = uuid.uuid4()
    assert messages.user_group(messages.key_of(one)) == messages.user_group(str(one))
