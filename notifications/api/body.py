"""Reads a request: at most 1 MiB of JSON in UTF-8, in which no text holds what is not text."""

import json
import re
from typing import Any, NoReturn
from urllib.parse import unquote_to_bytes

from django.http import HttpRequest, RawPostDataException
from django.utils.datastructures import MultiValueDict
from rest_framework import exceptions
from rest_framework.parsers import JSONParser
from rest_framework.request import Request

from notifications.api.errors import TooLarge
from notifications.words import FORBIDDEN

MAX_BODY = 1024 * 1024  # bytes
KEPT = 16 * 1024  # bytes of a body that may stay in memory after the answer

#: The one way for NUL and surrogates into a JSON text that is good UTF-8. Pairs of surrogates
#: are good text, so whoever finds this looks closer.
ESCAPED = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")


NOT_TEXT = "Text must not hold NUL or lone surrogates."


class JsonRequest(Request):
    """A request whose `data` is read as docs/protocol.md says; an empty body is `{}`."""

    def _parse(self) -> tuple[Any, MultiValueDict[str, Any]]:
        raw = _body(self._request)
        nothing: MultiValueDict[str, Any] = MultiValueDict()
        if not raw:
            return {}, nothing
        if self.content_type.partition(";")[0].strip().lower() != JSONParser.media_type:
            raise exceptions.UnsupportedMediaType(self.content_type)
        return parse(raw), nothing

    def forget(self) -> None:
        """Lets go of a body that was answered.

        REST framework's requests refer to themselves, as Django's do: memory of theirs waits for a
        full collection, which small requests cause seldom and large ones do not hasten. A megabyte
        of JSON is twenty of objects.
        """
        self._full_data = self._data = None
        if len(getattr(self._request, "_body", b"")) > KEPT:
            self._request._body = b""


def _body(request: HttpRequest) -> bytes:
    """The body, also where no header says how long it is. Raises `TooLarge`."""
    check_length(request)
    try:
        if hasattr(request, "_body"):
            raw = request.body
        elif getattr(request, "_read_started", False):
            raise RawPostDataException
        else:
            raw = request._body = request.read(MAX_BODY + 1)
    except RawPostDataException:
        # Somebody before us read it as a form, which it therefore is.
        raise exceptions.UnsupportedMediaType(request.content_type or "") from None
    if len(raw) > MAX_BODY:
        raise TooLarge
    return raw


def check_length(request: HttpRequest) -> None:
    """Raises `TooLarge` by what the header says, before anything is read."""
    length = str(request.META.get("CONTENT_LENGTH") or "")
    if length.isascii() and length.isdigit() and int(length[:20]) > MAX_BODY:
        raise TooLarge


def parse(raw: bytes) -> Any:
    """Any JSON. Raises `ParseError`, and `ValidationError` for forbidden characters or depth."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise exceptions.ParseError("The body is not UTF-8.") from None
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise exceptions.ValidationError("The body is nested too deeply.") from None
    except ValueError:
        raise exceptions.ParseError("The body is not JSON.") from None
    if ESCAPED.search(text):
        _look_through(value)
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _look_through(value: Any) -> None:
    """Refuses NUL and lone surrogates in keys and values, at whatever depth."""
    waiting = [value]
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, str):
            if FORBIDDEN.search(inner):
                raise exceptions.ValidationError(NOT_TEXT)
        elif isinstance(inner, dict):
            waiting += inner.keys()
            waiting += inner.values()
        elif isinstance(inner, list):
            waiting += inner


def check_address(request: HttpRequest) -> None:
    """Refuses NUL, and in the query bytes that are not UTF-8. Raises `ValidationError`."""
    if FORBIDDEN.search(request.path_info):
        raise exceptions.ValidationError(NOT_TEXT)
    try:
        query = unquote_to_bytes(request.META.get("QUERY_STRING") or "").decode()
    except UnicodeError:
        raise exceptions.ValidationError("The query string is not UTF-8.") from None
    if "\0" in query:
        raise exceptions.ValidationError(NOT_TEXT)
