"""The frames of docs/protocol.md: what clients send is parsed, what they get is built here."""

import json
import random
import re
from dataclasses import dataclass
from struct import Struct
from typing import Any

from notifications import inbox
from notifications.representation import encode

MAX_FRAME = 64 * 1024  # bytes of UTF-8 in a client's frame
MAX_IDS = 1_000
MAX_REF = 64  # characters
BIGGEST_ID = 2**53 - 1
BIGGEST_VERSION = 2**63 - 1
HUGE = 10**20  # stands for every integer that no column can hold
RETRY = (0.5, 5.0)  # seconds; clients that are told to come back spread over this

#: No text may hold NUL or lone surrogates: no database and no UTF-8 encoder takes them.
FORBIDDEN = re.compile("[\x00\ud800-\udfff]")

RESTART, UNAVAILABLE = 1012, 4000
TOO_SLOW, TOO_MANY_FRAMES, NOT_HEARD = 4001, 4002, 4003
TOO_MANY_ERRORS, NOT_AUTHENTICATED, TOO_MANY_SOCKETS, TOO_LARGE = 4500, 4501, 4502, 4503
COME_BACK_BELOW = 4500

Ref = str | int | None


class FrameError(Exception):
    """A client's frame is refused; `code` is for programs, `detail` for people."""

    def __init__(self, code: str, detail: str, *, ref: Ref = None) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.ref = ref


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Base of what a client asks for."""

    ref: Ref = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark(Command):
    state: str
    ids: list[int] | None = None
    up_to: int | None = None
    type: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete(Command):
    ids: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack(Command):
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sync(Command):
    since: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Pong(Command):
    pass


def parse(text: str) -> Command:
    """Raises `FrameError` with the frame's `ref`, if one can be read."""
    try:
        frame = json.loads(text, parse_int=_integer, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise FrameError("parse_error", "The frame is not JSON.") from None
    if not isinstance(frame, dict):
        raise FrameError("invalid", "A frame is a JSON object.")
    ref = _ref(frame)
    try:
        if "\\u" in text and not _is_clean(frame):
            raise FrameError("invalid", "NUL and lone surrogates are not allowed.")
        action = frame.get("action")
        read = ACTIONS.get(action) if isinstance(action, str) else None
        if read is None:
            raise FrameError("unknown_action", f"action must be one of {', '.join(ACTIONS)}.")
        return read(frame, ref)
    except FrameError as error:
        error.ref = ref
        raise


def _integer(digits: str) -> int:
    # int() is quadratic, and refuses thousands of digits with an error of its own
    if len(digits) > 20:
        return -HUGE if digits.startswith("-") else HUGE
    return int(digits)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _is_clean(frame: Any) -> bool:
    waiting = [frame]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            if FORBIDDEN.search(value):
                return False
        elif isinstance(value, dict):
            waiting += value.keys()
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return True


def _ref(frame: dict[str, Any]) -> Ref:
    if "ref" not in frame:
        return None
    ref = frame["ref"]
    if isinstance(ref, str) and 1 <= len(ref) <= MAX_REF and not FORBIDDEN.search(ref):
        return ref
    if _is_integer(ref) and abs(ref) <= BIGGEST_ID:
        return int(ref)
    raise FrameError("invalid", "ref must be a text of 1 to 64 characters or an integer.")


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _mark(frame: dict[str, Any], ref: Ref) -> Mark:
    state = frame.get("state")
    if not isinstance(state, str) or state not in inbox.STATES:
        raise FrameError("invalid", f"state must be one of {', '.join(inbox.STATES)}.")
    if ("ids" in frame) == ("up_to" in frame):
        raise FrameError("invalid", "Give either ids or up_to.")
    if "ids" in frame:
        if "type" in frame:
            raise FrameError("invalid", "type goes with up_to only.")
        return Mark(ref=ref, state=state, ids=_ids(frame))
    name = frame.get("type")
    if "type" in frame and not isinstance(name, str):
        raise FrameError("invalid", "type must be the name of an event type.")
    return Mark(ref=ref, state=state, up_to=_version(frame, "up_to"), type=name)


def _delete(frame: dict[str, Any], ref: Ref) -> Delete:
    return Delete(ref=ref, ids=_ids(frame))


def _ack(frame: dict[str, Any], ref: Ref) -> Ack:
    return Ack(ref=ref, version=_version(frame, "version"))


def _sync(frame: dict[str, Any], ref: Ref) -> Sync:
    if "since" not in frame:
        raise FrameError("invalid", "sync needs since.")
    return Sync(ref=ref, since=frame["since"])


def _pong(frame: dict[str, Any], ref: Ref) -> Pong:
    return Pong(ref=ref)


#: The client's actions, each with what reads the rest of its frame.
ACTIONS = {"sync": _sync, "ack": _ack, "mark": _mark, "delete": _delete, "pong": _pong}


def _ids(frame: dict[str, Any]) -> list[int]:
    ids = frame.get("ids")
    if not isinstance(ids, list) or len(ids) > MAX_IDS or not all(map(_is_integer, ids)):
        raise FrameError("invalid", f"ids must be a list of at most {MAX_IDS} integers.")
    # an integer that cannot be an id is one that nobody has
    return sorted({value for value in ids if 1 <= value <= BIGGEST_ID})


def _version(frame: dict[str, Any], name: str) -> int:
    value: Any = frame.get(name)
    if not _is_integer(value) or value < 0:
        raise FrameError("invalid", f"{name} must be an integer of at least 0.")
    return min(int(value), BIGGEST_VERSION)


def text_of(frame: dict[str, Any]) -> str:
    return encode(frame).decode()


def hello_frame(*, epoch: str, version: int, unread: int, unseen: int) -> str:
    return text_of(
        {
            "action": "hello",
            "epoch": epoch,
            "version": version,
            "unread": unread,
            "unseen": unseen,
        }
    )


#: First byte of an unfragmented text frame (RFC 6455, section 5.2), and heads by length.
TEXT = 0x81
SHORT, MEDIUM, LONG = Struct(">BB").pack, Struct(">BBH").pack, Struct(">BBQ").pack


def head_of(length: int) -> bytes:
    """The head of a server's text frame with so many bytes: unmasked, unfragmented."""
    if length < 126:
        return SHORT(TEXT, length)
    return MEDIUM(TEXT, 126, length) if length < 65_536 else LONG(TEXT, 127, length)


def ready(payload: bytes) -> bytes:
    """A frame as it goes over the wire."""
    return head_of(len(payload)) + payload


def payload_of(frame: bytes) -> bytes:
    """What is in a ready frame."""
    return frame[{126: 4, 127: 10}.get(frame[1], 2) :]


class NewFrames:
    """Makes the `new` frames of one event: what all who got it share is put together once."""

    __slots__ = ("_begin", "_heads", "_loud", "_quiet")

    def __init__(self, event: bytes, *, event_id: int) -> None:
        """`event` is its JSON."""
        self._begin = (
            b'{"action":"new","version":%d,"unread":%d,"unseen":%d,'
            b'"notification":{"id":' + str(event_id).encode() + b',"arrived":%d,"version":%d,'
        )
        rest = b'"seen_at":null,"read_at":null,"archived_at":null,"expired_at":null,"silent":'
        self._loud = rest + b'false,"event":' + event + b"}}"
        self._quiet = rest + b'true,"event":' + event + b'},"silent":true}'
        self._heads: dict[int, bytes] = {}

    def frame(self, version: int, unread: int, unseen: int, silent: bool) -> bytes:
        """For one user, ready; a few numbers are all that differs."""
        begin = self._begin % (version, unread, unseen, version, version)
        rest = self._quiet if silent else self._loud
        length = len(begin) + len(rest)
        head = self._heads.get(length)
        if head is None:
            head = self._heads[length] = head_of(length)
        return b"".join((head, begin, rest))


def sync_frame(changes: inbox.Changes, *, since: Any) -> str:
    """`since`: from where it was read, so that a client sees whether it stands there."""
    return text_of(
        {
            "action": "sync",
            "epoch": changes.epoch,
            "since": _told(since),
            "version": changes.version,
            "cursor": changes.cursor if changes.more else None,
            "unread": changes.unread,
            "unseen": changes.unseen,
            "changes": changes.changes,
            "more": changes.more,
        }
    )


def _told(since: Any) -> Any:
    """A version that came in a URL is a text; one too long to be one is answered by a reset."""
    is_version = isinstance(since, str) and since.isdecimal() and len(since) < 20
    return int(since) if is_version else since


def reset_frame() -> str:
    return text_of({"action": "reset", "retry_after": retry_after()})


def done_frame(*, ref: Ref, changed: int, version: int) -> str:
    return text_of({"action": "done", "ref": ref, "changed": changed, "version": version})


def error_frame(error: FrameError) -> str:
    frame: dict[str, Any] = {"action": "error", "code": error.code, "detail": error.detail}
    if error.ref is not None:
        frame["ref"] = error.ref
    return text_of(frame)


def bye_frame(code: int) -> str:
    wait = retry_after() if code < COME_BACK_BELOW else None
    return text_of({"action": "bye", "code": code, "retry_after": wait})


PING = text_of({"action": "ping"})


def retry_after() -> float:
    return round(random.uniform(*RETRY), 3)  # noqa: S311 - spreads clients
