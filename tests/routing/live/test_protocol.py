"""The frames of docs/protocol.md, compared with its golden examples to the letter."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from notifications import inbox
from notifications.representation import encode
from notifications.signals import Deleted, Marked, Position
from routing.live import messages, protocol
from routing.live.protocol import Ack, Delete, FrameError, Mark, Pong, Sync

pytestmark = pytest.mark.embedded

GOLDEN = Path(__file__).parents[2] / "golden"
EPOCH = "k3v9-7312.1"
AT = datetime.fromisoformat("2026-03-02T08:16:02.330918+00:00")


def golden(name: str) -> Any:
    return json.loads((GOLDEN / f"{name}.json").read_text())


def assert_equals(text: str | bytes, name: str) -> None:
    """Same keys in the same order, same values."""
    expected = golden(name)
    found = json.loads(text)
    assert found == expected
    assert list(found) == list(expected)


def position(version: int, unread: int, unseen: int) -> Position:
    return Position(user_id=1, version=version, unread=unread, unseen=unseen)


def test_hello() -> None:
    assert_equals(protocol.hello_frame(epoch=EPOCH, version=17, unread=5, unseen=2), "frame_hello")


@pytest.mark.parametrize("name", ["frame_new", "frame_new_silent"])
def test_new(name: str) -> None:
    example = golden(name)
    notification = example["notification"]
    frames = protocol.NewFrames(encode(notification["event"]), event_id=notification["id"])
    frame = frames.frame(
        version=example["version"],
        unread=example["unread"],
        unseen=example["unseen"],
        silent=notification["silent"],
    )
    text = protocol.payload_of(frame).decode()
    assert_equals(text, name)
    assert list(json.loads(text)["notification"]) == list(notification)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (
            Marked(position=position(18, 4, 1), state="read", at=AT, ids=[4211]),
            "frame_marked_ids",
        ),
        (
            Marked(position=position(19, 4, 0), state="seen", at=AT, up_to=18),
            "frame_marked_up_to",
        ),
        (
            Marked(position=position(20, 2, 0), state="read", at=AT, up_to=19, type="post_comment"),
            "frame_marked_up_to_type",
        ),
        (
            Marked(position=position(22, 1, 0), state="expired", at=AT, ids=[4102, 4150]),
            "frame_marked_expired",
        ),
        (Deleted(position=position(23, 1, 0), ids=[4187, 4190]), "frame_deleted"),
    ],
)
def test_changes(change: Any, name: str) -> None:
    [(_, message)] = messages.outgoing(change)
    assert_equals(message["frame"], name)


@pytest.mark.parametrize("name", ["frame_sync", "frame_sync_empty", "frame_sync_more"])
def test_sync(name: str) -> None:
    example = golden(name)
    changes = inbox.Changes(
        epoch=example["epoch"],
        version=example["version"],
        cursor=example["cursor"] or "whatever",
        changes=example["changes"],
        more=example["more"],
        unread=example["unread"],
        unseen=example["unseen"],
    )
    assert_equals(protocol.sync_frame(changes, since=example["since"]), name)


def test_answers() -> None:
    assert_equals(protocol.done_frame(ref="m1", changed=1, version=18), "frame_done")
    error = FrameError("invalid_ack", "This socket was not sent version 99.", ref="a2")
    assert_equals(protocol.error_frame(error), "frame_error")
    error = FrameError("parse_error", "The frame is not JSON.")
    assert_equals(protocol.error_frame(error), "frame_error_without_ref")
    assert_equals(protocol.PING, "frame_ping")
    assert_equals(protocol.bye_frame(4501), "frame_bye_final")


def test_waits_are_spread() -> None:
    waits = {json.loads(protocol.bye_frame(1012))["retry_after"] for _ in range(50)}
    waits |= {json.loads(protocol.reset_frame())["retry_after"] for _ in range(50)}
    assert len(waits) > 50
    assert all(0 < wait <= 5 for wait in waits)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("client_ack", Ack(version=17, ref="a1")),
        ("client_delete", Delete(ids=[4187, 4190], ref="d1")),
        ("client_mark_ids", Mark(state="read", ids=[4211], ref="m1")),
        ("client_mark_up_to", Mark(state="seen", up_to=18)),
        (
            "client_mark_up_to_type",
            Mark(state="read", up_to=19, type="post_comment", ref=12),
        ),
        ("client_pong", Pong()),
        ("client_sync", Sync(since=17, ref="s1")),
        ("client_sync_cursor", Sync(since="19.4187")),
    ],
)
def test_client_frames(name: str, command: protocol.Command) -> None:
    assert protocol.parse((GOLDEN / f"{name}.json").read_text()) == command


def test_keys_that_an_action_does_not_know_are_ignored() -> None:
    assert protocol.parse('{"action": "pong", "ids": "x", "since": null}') == Pong()
    assert protocol.parse('{"action": "pong", "text": "\\u00e9\\ud83c\\udf89"}') == Pong()
