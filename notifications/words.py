"""What an event may say: lengths, characters and JSON, checked before anything is stored."""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from django.utils import timezone

from notifications.errors import InvalidData, InvalidField
from notifications.models import Priority

MAX_TYPE = 100  # characters
MAX_TITLE = 200
MAX_MESSAGE = 4_000
MAX_URL = 2_000
MAX_TAG = 64
MAX_KEY = 200
MAX_DATA = 16 * 1024  # bytes of UTF-8 JSON
MAX_DEPTH = 64  # levels of nesting in data

#: Code points that no text may hold: NUL (PostgreSQL cannot store it) and lone surrogates
#: (they are not Unicode text, and no UTF-8 encoder takes them).
FORBIDDEN = re.compile("[\x00\ud800-\udfff]")
LINE_ENDS = re.compile("\r\n?")


def clean_text(field: str, value: Any, *, limit: int, lines: bool = False) -> str:
    """`value` as text of at most `limit` characters.

    With `lines` line ends are allowed and become LF, without them CR and LF are refused.
    Raises `InvalidField`.
    """
    if not isinstance(value, str):
        raise InvalidField.of(field, "must be text")
    if FORBIDDEN.search(value):
        raise InvalidField.of(field, "must not hold NUL or lone surrogates")
    if lines:
        value = LINE_ENDS.sub("\n", value)
    elif "\n" in value or "\r" in value:
        raise InvalidField.of(field, "must be a single line")
    if len(value) > limit:
        raise InvalidField.of(field, f"must have at most {limit} characters, has {len(value)}")
    return str(value)


def clean_url(value: Any) -> str:
    """An http or https address or a path of the own site; anything else is refused."""
    url = clean_text("url", value, limit=MAX_URL)
    if not url:
        return url
    if any(ord(char) <= 0x20 or ord(char) == 0x7F for char in url):
        raise InvalidField.of("url", "must not hold spaces or control characters")
    if url.startswith("/"):
        # browsers read // and /\ as the start of another host
        if url[1:2] in {"/", "\\"}:
            raise InvalidField.of("url", "a path begins with a single slash")
        return url
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable:
        raise InvalidField.of("url", "must be an http or https address or a path")
    return url


def clean_data(data: Any) -> Any:
    """`data` when it is compact JSON of at most 16 KiB; raises `InvalidData` otherwise."""
    _look_through(data)
    try:
        text = json.dumps(data, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        size = len(text.encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidData(f"data is not JSON: {error}") from None
    if size > MAX_DATA:
        raise InvalidData(f"data has {size} bytes of JSON; {MAX_DATA} are allowed")
    return data


def _look_through(data: Any) -> None:
    """Refuses what json.dumps would let pass: other keys than text, NUL, surrogates, depth."""
    waiting = [(data, 1)]
    while waiting:
        value, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise InvalidData(f"data is nested deeper than {MAX_DEPTH} levels")
        if isinstance(value, str):
            if FORBIDDEN.search(value):
                raise InvalidData("data must not hold NUL or lone surrogates")
        elif isinstance(value, Mapping):
            for key in value:
                if not isinstance(key, str):
                    raise InvalidData(f"data is not JSON: the key {key!r} is not text")
                if FORBIDDEN.search(key) or "\n" in key or "\r" in key:
                    raise InvalidData("a key of data must be a single line of text")
            waiting += [(inner, depth + 1) for inner in value.values()]
        elif isinstance(value, list | tuple):
            waiting += [(inner, depth + 1) for inner in value]
        elif isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**300:
            raise InvalidData("data holds a number that no client can read")


def clean_priority(value: Any, default: str) -> str:
    if value is None:
        return default
    if value not in Priority.values:
        raise InvalidField.of("priority", "must be low, normal or high")
    return str(value)


def clean_time(field: str, value: Any) -> datetime | None:
    """A time with a zone, or None. Raises `InvalidField` for a time from nowhere."""
    if value is None:
        return None
    if not isinstance(value, datetime):
        raise InvalidField.of(field, "must be a time")
    if timezone.is_naive(value):
        raise InvalidField.of(field, "must name its time zone")
    try:
        # Far ends of the calendar overflow when they are brought to UTC.
        return value.astimezone(timezone.get_fixed_timezone(0))
    except OverflowError:
        raise InvalidField.of(field, "is out of range") from None
