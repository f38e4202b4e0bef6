"""What requests to the push road must look like, as strictly as the rest of the API."""

import re
from collections.abc import Mapping
from datetime import time
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from notifications.api.serializers import Body, Choice, Text
from notifications.errors import InvalidField
from routing.push.devices import TYPES
from routing.push.registration import ENVIRONMENTS, MAX_TOKEN

WEBPUSH = "webpush"
CLOCK = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]", re.ASCII)


class Boolean(serializers.BooleanField):
    """true or false, and nothing that looks like them."""

    default_error_messages = {
        "required": "Is missing.",
        "null": "Must not be null.",
        "invalid": "Must be true or false.",
    }

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid")
        return bool(data)


@extend_schema_field(OpenApiTypes.ANY)
class AnyValue(serializers.Field[Any, Any, Any, Any]):
    """Whatever it is, it is not looked at."""

    def to_internal_value(self, data: Any) -> Any:
        return data


@extend_schema_field(
    {
        "type": "object",
        "required": ["p256dh", "auth"],
        "properties": {"p256dh": {"type": "string"}, "auth": {"type": "string"}},
    }
)
class Keys(serializers.Field[Any, Any, Any, Any]):
    """`keys` of a browser's PushSubscription."""

    def to_internal_value(self, data: Any) -> dict[str, str]:
        if not isinstance(data, Mapping):
            raise serializers.ValidationError("Must be an object.")
        found = {name: data.get(name) for name in ("p256dh", "auth")}
        for name, value in found.items():
            if not isinstance(value, str) or not value:
                raise serializers.ValidationError({name: "Must be text."})
        return {name: str(value) for name, value in found.items()}


def metadata(**options: Any) -> Text:
    return Text(required=False, allow_null=True, **options)


class DeviceBody(Body):
    backend = metadata(max_length=50)
    token = metadata(max_length=MAX_TOKEN)
    endpoint = metadata(max_length=MAX_TOKEN)
    keys = Keys(required=False)
    expirationTime = AnyValue(required=False, allow_null=True)
    application = metadata(max_length=100)
    environment = Choice(choices=ENVIRONMENTS, required=False, allow_null=True)
    active = Boolean(required=False)
    old_token = metadata(max_length=MAX_TOKEN)
    name = metadata(max_length=100)
    type = Choice(choices=TYPES, required=False, allow_null=True)
    client_id = metadata(max_length=255)
    app_version = metadata(max_length=50)
    os_version = metadata(max_length=50)
    locale = metadata(max_length=35)
    time_zone = metadata(max_length=64)


@extend_schema_field({"oneOf": [{"type": "integer"}, {"type": "string"}]})
class OneUser(AnyValue):
    """The id or the name of a user, as in `users` of an event."""


class ServerDeviceBody(DeviceBody):
    """Of a caller who may register devices of others."""

    user = OneUser(
        required=False, help_text="Whose device it is. In server calls only; a service key must."
    )


class DevicePatch(Body):
    active = Boolean(required=False)
    name = metadata(max_length=100)
    type = Choice(choices=TYPES, required=False, allow_null=True)
    client_id = metadata(max_length=255)
    app_version = metadata(max_length=50)
    os_version = metadata(max_length=50)
    locale = metadata(max_length=35)
    time_zone = metadata(max_length=64)


def registration_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `register` for a valid `DeviceBody`. Raises `InvalidField`.

    A body with `endpoint` is a browser's subscription as it is.
    """
    found = {key: value for key, value in given.items() if value is not None}
    found.pop("expirationTime", None)
    endpoint, keys = found.pop("endpoint", None), found.pop("keys", None)
    if endpoint is not None:
        if "token" in found:
            raise InvalidField.of("token", "does not go with endpoint")
        if found.setdefault("backend", WEBPUSH) != WEBPUSH:
            raise InvalidField.of("backend", "must be webpush for an endpoint")
        found["token"] = endpoint
    for key in ("backend", "token"):
        if not found.get(key):
            raise InvalidField.of(key, "is missing")
    if found["backend"] == WEBPUSH and keys is None:
        raise InvalidField.of("keys", "is missing")
    found["extra"] = keys or {}
    return found


def patch_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Null empties a text."""
    return {key: "" if value is None else value for key, value in given.items()}


class PreferencesBody(Body):
    quiet_hours = AnyValue(required=False, allow_null=True)
    time_zone = Text(required=False, max_length=64)

    def validate_quiet_hours(self, value: Any) -> tuple[time, time] | None:
        if value is None:
            return None
        if not isinstance(value, Mapping) or set(value) != {"start", "end"}:
            raise serializers.ValidationError("Must be null or an object of start and end.")
        return _clock("start", value["start"]), _clock("end", value["end"])


def _clock(name: str, text: Any) -> time:
    if not isinstance(text, str) or CLOCK.fullmatch(text) is None:
        raise serializers.ValidationError({name: "Must be a time of day, as 22:00."})
    return time.fromisoformat(text)
