"""What requests must look like, strictly: nothing is trimmed, converted or passed over."""

from collections.abc import Mapping
from datetime import datetime
from itertools import islice
from typing import Any

from django.utils.dateparse import parse_datetime
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from notifications import tokens, users
from notifications.api.errors import MAX_FIELDS
from notifications.errors import InvalidField
from notifications.inbox import STATES
from notifications.models import Priority
from notifications.words import MAX_MESSAGE, MAX_TAG, MAX_TITLE, MAX_URL, clean_text, clean_time

MAX_IDS = 1_000  # in one request
NO_OBJECT = "The body must be a JSON object."
MAX_CREDENTIAL = 4_096  # characters
WORDS: dict[str, Any] = {"required": "Is missing.", "null": "Must not be null."}


class Text(serializers.CharField):
    """Text as it was given. Lengths of an event's words are the domain's to judge."""

    default_error_messages = {
        **WORDS,
        "invalid": "Must be text.",
        "max_length": "Must have at most {max_length} characters.",
    }

    def __init__(self, **options: Any) -> None:
        super().__init__(trim_whitespace=False, **{"allow_blank": True, **options})

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return str(data)


class Integer(serializers.IntegerField):
    """An integer of JSON: neither true nor 1.0 nor "1"."""

    default_error_messages = {**WORDS, "invalid": "Must be an integer."}

    def to_internal_value(self, data: Any) -> int:
        if type(data) is not int:
            self.fail("invalid")
        return int(data)


class Ids(serializers.ListField):
    """A list of integers, each counted once."""

    default_error_messages = {
        **WORDS,
        "not_a_list": "Must be a list of integers.",
        "max_length": f"Must have at most {MAX_IDS} elements.",
    }
    child = serializers.IntegerField()

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=MAX_IDS, **options)

    def to_internal_value(self, data: Any) -> list[int]:
        if not isinstance(data, list) or not all(type(element) is int for element in data):
            self.fail("not_a_list", input_type=type(data).__name__)
        if len(data) > MAX_IDS:
            self.fail("max_length", max_length=MAX_IDS)
        return list(dict.fromkeys(data))


class Choice(serializers.ChoiceField):
    default_error_messages = WORDS

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str) or data not in self.choices:
            raise serializers.ValidationError(f"Must be one of {', '.join(self.choices)}.")
        return data


class Time(serializers.DateTimeField):
    default_error_messages = WORDS

    def to_internal_value(self, data: Any) -> datetime:
        return read_time(str(self.field_name), data)


def read_time(field: str, given: Any) -> datetime:
    """An ISO 8601 time with a zone, in UTC. Raises `InvalidField`."""
    try:
        parsed = parse_datetime(given) if isinstance(given, str) else None
    except ValueError:
        parsed = None
    found = clean_time(field, parsed)
    if found is None:
        raise InvalidField.of(field, "must be a time in ISO 8601, with its zone")
    return found


@extend_schema_field(OpenApiTypes.ANY)
class AnyJson(serializers.JSONField):
    """Whatever JSON, also null; the domain says what may be stored."""

    def validate_empty_values(self, data: Any) -> tuple[bool, Any]:
        return (True, None) if data is None else super().validate_empty_values(data)

    def to_internal_value(self, data: Any) -> Any:
        return data


@extend_schema_field(
    {
        "oneOf": [
            {
                "type": "array",
                "maxItems": users.MAX_USERS,
                "items": {"oneOf": [{"type": "integer"}, {"type": "string"}]},
            },
            {"type": "string", "const": "everyone"},
        ],
        "description": "Ids and names of users, or everyone.",
    }
)
class Users(serializers.Field[Any, Any, Any, Any]):
    """Whom an event concerns, as `users` that `send_notification` takes."""

    def validate_empty_values(self, data: Any) -> tuple[bool, Any]:
        return False, None if data is serializers.empty else data

    def to_internal_value(self, data: Any) -> Any:
        return users.named(data)


class Body(serializers.Serializer[Any]):
    """A JSON object with exactly the declared keys."""

    #: What else its JSON schema says.
    also: Mapping[str, Any] = {}

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, Mapping):
            raise serializers.ValidationError({"non_field_errors": [NO_OBJECT]})
        # no more than an answer names: a body holds a hundred thousand keys
        unknown = list(islice((key for key in data if key not in self.fields), MAX_FIELDS))
        if unknown:
            raise serializers.ValidationError({key: ["Is not known."] for key in unknown})
        return super().to_internal_value(data)


def read(kind: type[Body], data: Any) -> dict[str, Any]:
    """The valid values of a body of this kind. Raises `ValidationError` or `HubError`."""
    body = kind(data=data)
    body.is_valid(raise_exception=True)
    return dict(body.validated_data)


class TokenBody(Body):
    """Who wants a token."""

    username = Text(max_length=MAX_CREDENTIAL)
    password = Text(max_length=MAX_CREDENTIAL)
    name = Text(
        default="", max_length=tokens.MAX_NAME, help_text="By which the user recognises the token."
    )

    def validate_name(self, value: str) -> str:
        return clean_text("name", value, limit=tokens.MAX_NAME)


class MarkBody(Body):
    """A state, and of which notifications: exactly one of ids and up_to is given."""

    also = {
        "oneOf": [{"required": ["ids"]}, {"required": ["up_to"]}],
        "dependentRequired": {"type": ["up_to"]},
    }
    state = Choice(choices=list(STATES))
    ids = Ids(required=False)
    up_to = Integer(
        required=False,
        min_value=0,
        help_text="All that had arrived up to this number.",
        error_messages={"min_value": "Must be at least 0."},
    )
    type = Text(required=False, help_text="With up_to: only this event type.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "type" in attrs and "up_to" not in attrs:
            raise serializers.ValidationError({"type": "Goes with up_to only."})
        return attrs


class EventBody(Body):
    """What happened, and whom it concerns."""

    type = Text(help_text="The name of an event type.")
    users = Users()
    title = Text(required=False, help_text=f"At most {MAX_TITLE} characters.")
    message = Text(required=False, help_text=f"At most {MAX_MESSAGE} characters.")
    url = Text(required=False, help_text=f"http, https or a path; at most {MAX_URL} characters.")
    tag = Text(required=False, help_text=f"At most {MAX_TAG} characters.")
    data = AnyJson(required=False)  # type: ignore[assignment]
    priority = Choice(required=False, allow_null=True, choices=Priority.values)
    expires_at = Time(required=False, allow_null=True)
