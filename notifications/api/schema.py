"""Describes operations for the OpenAPI schema: answers, errors, parameters, headers."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema

from notifications.api.answers import Error
from notifications.api.errors import STATUS

Method = TypeVar("Method", bound=Callable[..., Any])

ALWAYS = ("method_not_allowed", "not_acceptable", "throttled", "server_error", "unavailable")
#: A session needs the CSRF header for what changes something, a service key a scope for anything.
SIGNED_IN = ("not_authenticated", "authentication_failed", "permission_denied")
WITH_BODY = ("parse_error", "too_large", "unsupported_media_type")

NOBODY: Any = [{}]  # a security requirement that nothing has to meet

HEADERS = [
    OpenApiParameter(
        "WWW-Authenticate", str, OpenApiParameter.HEADER, response=[401], description="Bearer"
    ),
    OpenApiParameter(
        "Retry-After", int, OpenApiParameter.HEADER, response=[429, 503], description="Seconds"
    ),
    OpenApiParameter(
        "Allow", str, OpenApiParameter.HEADER, response=[405], description="The methods there are"
    ),
]


def operation(
    operation_id: str,
    *,
    tag: str,
    answers: Mapping[int, Any],
    summary: str,
    errors: Sequence[str] = (),
    body: Any = None,
    parameters: Sequence[OpenApiParameter] = (),
    signed_in: bool = True,
) -> Callable[[Method], Method]:
    """Describes a method of a `HubView`.

    `answers` are serializers (or None) by status, `errors` the codes beside those that every
    operation can answer, `body` a serializer or a JSON schema.
    """
    # a text that is no text is refused everywhere
    codes = [*errors, "invalid", *ALWAYS]
    if signed_in:
        codes += SIGNED_IN
    if body is not None:
        codes += WITH_BODY

    def describe(method: Method) -> Method:
        responses: dict[int, Any] = dict(answers)
        for status, names in _by_status(codes).items():
            responses[status] = OpenApiResponse(
                Error, description=", ".join(f"`{name}`" for name in names)
            )
        # else extend_schema builds on REST_FRAMEWORK["DEFAULT_SCHEMA_CLASS"] of whatever project
        method.kwargs = {"schema": AutoSchema}  # type: ignore[attr-defined]
        decorate: Callable[[Method], Method] = extend_schema(
            operation_id=operation_id,
            summary=summary,
            description=summary,
            tags=[tag],
            request={"application/json": body} if isinstance(body, dict) else body,
            responses=responses,
            parameters=[*parameters, *HEADERS],
            auth=None if signed_in else NOBODY,
        )
        return decorate(method)

    return describe


def _by_status(codes: Sequence[str]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = defaultdict(list)
    for code in dict.fromkeys(codes):
        found[STATUS[code]].append(code)
    return found


class BodyScheme(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """Says of a body that it takes no other keys than its own."""

    target_class = "notifications.api.serializers.Body"
    match_subclasses = True

    def map_serializer(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        mapped: dict[str, Any] = auto_schema._map_serializer(
            self.target, direction, bypass_extensions=True
        )
        return {**mapped, **self.target.also, "additionalProperties": False}


def query(
    name: str, kind: Any, description: str, *, required: bool = False, enum: Any = None
) -> OpenApiParameter:
    return OpenApiParameter(name, kind, description=description, required=required, enum=enum)


LIMIT = query(
    "limit",
    {"type": "integer", "minimum": 1, "default": 20},
    "How many; above 200 it is taken as 200.",
)
OFFSET = query("offset", {"type": "integer", "minimum": 0, "default": 0}, "How many to pass over.")
