"""The one shape of every error answer: `{code, detail, fields?}`, and the one place it is made."""

import logging
import math
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpResponse, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from rest_framework import exceptions
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response

from notifications.errors import HubError, IdempotencyConflict
from notifications.representation import encode

logger = logging.getLogger(__name__)

#: Every code an answer can have, and its status (docs/protocol.md, section 2).
STATUS = {
    "invalid": 400,
    "parse_error": 400,
    "unknown_event_type": 400,
    "invalid_data": 400,
    "no_audience": 400,
    "invalid_audience": 400,
    "unknown_user": 400,
    "critical_type": 400,
    "not_authenticated": 401,
    "authentication_failed": 401,
    "permission_denied": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "not_acceptable": 406,
    "idempotency_conflict": 409,
    "too_large": 413,
    "unsupported_media_type": 415,
    "throttled": 429,
    "server_error": 500,
    "unavailable": 503,
}

#: What is said where the exception has no words of ours.
DETAILS = {
    "invalid": "The request is not valid.",
    "parse_error": "The body cannot be read.",
    "not_authenticated": "Sign in first.",
    "permission_denied": "You are not allowed to do this.",
    "not_found": "There is no such path.",
    "not_acceptable": "This operation has no format that the header Accept allows.",
    "unsupported_media_type": "The body must be application/json.",
    "too_large": "The body is larger than 1 MiB.",
    "server_error": "The server has a fault; nothing was stored by halves.",
    "unavailable": "The database did not answer in time; come back later.",
}

CHALLENGE = "Bearer"  # of the header WWW-Authenticate
RETRY_AFTER = 5  # seconds, while the database is away
MAX_FIELDS = 20  # in one answer
MAX_WORDS = 500  # characters of a sentence, or of a name


def short(words: str) -> str:
    """Words may quote a request, of which a name alone can have a million characters."""
    return words if len(words) <= MAX_WORDS else words[: MAX_WORDS - 1] + "…"


class TooLarge(exceptions.APIException):
    status_code = 413
    default_code = "too_large"
    default_detail = DETAILS["too_large"]


@dataclass(slots=True, kw_only=True)
class Problem:
    """An error as a client sees it."""

    code: str
    detail: str = ""
    fields: dict[str, list[str]] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def status(self) -> int:
        # a team's own kind of HubError is a caller's mistake like the others
        return STATUS.get(self.code, 400)

    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = {
            "code": self.code,
            "detail": short(self.detail) or DETAILS[self.code],
        }
        if self.fields:
            body["fields"] = {
                short(name): [short(words) for words in found]
                for name, found in self.fields.items()
            }
        return body


def exception_handler(error: Exception, context: dict[str, Any]) -> Response:
    """For REST_FRAMEWORK["EXCEPTION_HANDLER"]: answers whatever a view raised."""
    problem = problem_of(error)
    if problem.status >= 500:
        _log(problem, error, context.get("view"))
    request = context.get("request")
    if request is not None:
        # an error is JSON also where the answer would have been a page
        request.accepted_renderer = JSONRenderer()
        request.accepted_media_type = JSONRenderer.media_type
    return Response(problem.body(), status=problem.status, headers=problem.headers)


def plain(code: str, detail: str = "") -> HttpResponse:
    """The same answer outside of REST framework, e.g. for `handler404` and `handler500`."""
    problem = Problem(code=code, detail=detail)
    return HttpResponse(
        encode(problem.body()), content_type=JSONRenderer.media_type, status=problem.status
    )


def problem_of(error: Exception) -> Problem:
    """What a client is told of an exception; `server_error` of one that nobody foresaw."""
    if isinstance(error, HubError):
        fields = {} if isinstance(error, IdempotencyConflict) else error.fields
        return Problem(code=error.code, detail=error.detail, fields=fields)
    if isinstance(error, exceptions.APIException):
        return _of_rest_framework(error)
    if isinstance(error, Http404):
        return Problem(code="not_found")
    if isinstance(error, PermissionDenied):
        return Problem(code="permission_denied")
    if isinstance(error, RequestDataTooBig):
        return Problem(code="too_large")
    if isinstance(error, MultiPartParserError | UnreadablePostError):
        return Problem(code="parse_error")
    if isinstance(error, SuspiciousOperation):
        return Problem(code="invalid")
    if isinstance(error, OperationalError | InterfaceError):
        return Problem(code="unavailable", headers={"Retry-After": str(RETRY_AFTER)})
    return Problem(code="server_error")


def _of_rest_framework(error: exceptions.APIException) -> Problem:
    if isinstance(error, exceptions.ValidationError):
        return _of_validation(error)
    code = error.default_code if error.default_code in STATUS else "server_error"
    problem = Problem(code=code)
    if isinstance(error, exceptions.NotAuthenticated | exceptions.AuthenticationFailed):
        problem.headers["WWW-Authenticate"] = CHALLENGE
    if isinstance(error, exceptions.Throttled):
        # a whole number, and never one that is over too early
        problem.headers["Retry-After"] = str(max(math.ceil(getattr(error, "wait", None) or 1), 1))
    own_words = isinstance(error.detail, str) and error.detail != error.default_detail
    if code not in DETAILS or (own_words and code != "unsupported_media_type"):
        problem.detail = str(error.detail)
    return problem


def _of_validation(error: exceptions.ValidationError) -> Problem:
    """`invalid`, with each faulty key as a path with dots."""
    found: dict[str, list[str]] = {}
    for path, words in _flat(error.detail, ""):
        if path not in found and len(found) == MAX_FIELDS:
            break
        found.setdefault(path, []).append(words)
    whole = found.pop("", [])
    if whole:
        return Problem(code="invalid", detail=whole[0], fields=found)
    name, [words, *_] = next(iter(found.items()))
    return Problem(code="invalid", detail=f"{name} {words[:1].lower()}{words[1:]}", fields=found)


def _flat(detail: Any, path: str) -> Iterator[tuple[str, str]]:
    """(path, words) of an error's details, however they are nested."""
    if isinstance(detail, dict):
        for key, inner in detail.items():
            name = "" if key == "non_field_errors" else str(key)
            yield from _flat(inner, f"{path}.{name}".strip("."))
    elif isinstance(detail, list):
        for inner in detail:
            yield from _flat(inner, path)
    else:
        yield path, str(detail)


def _log(problem: Problem, error: Exception, view: object) -> None:
    """Where it happened, but neither the exception's words nor values: they may hold data."""
    where = type(view).__name__
    if problem.code == "unavailable":
        logger.warning("unavailable view=%s error=%s", where, type(error).__name__)
        return
    frames = "".join(traceback.format_tb(error.__traceback__))
    logger.error("server_error view=%s error=%s\n%s", where, type(error).__name__, frames)
