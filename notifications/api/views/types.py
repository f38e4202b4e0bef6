"""Event types, and the user's filter over them."""

from typing import Any

from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response

from notifications import event_types, filters
from notifications.api import answers
from notifications.api.errors import MAX_FIELDS
from notifications.api.schema import operation
from notifications.api.serializers import NO_OBJECT
from notifications.api.views.base import HubView
from notifications.errors import InvalidField
from notifications.representation import event_type_json
from notifications.service_keys import READ

TAG = "event types"
FILTER_BODY = {
    "oneOf": [
        {
            "type": "object",
            "description": "Replaces the choice for the channel inbox.",
            "properties": {
                "types_enabled": {
                    "type": "array",
                    "items": {
                        "oneOf": [
                            {"type": "string"},
                            {
                                "type": "object",
                                "properties": {"id": {"type": "integer"}},
                                "required": ["id"],
                            },
                        ]
                    },
                }
            },
            "required": ["types_enabled"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "description": "Changes the named channels of the named types.",
            "properties": {
                "types": {
                    "type": "object",
                    "additionalProperties": {
                        "type": "object",
                        "properties": {name: {"type": "boolean"} for name in filters.CHANNELS},
                        "additionalProperties": False,
                    },
                }
            },
            "required": ["types"],
            "additionalProperties": False,
        },
    ]
}


class EventTypesView(HubView):
    scopes = {"GET": READ}

    @operation(
        "event_type_list",
        tag=TAG,
        summary="The active event types, by name",
        answers={200: answers.EventTypeRow(many=True)},
    )
    def get(self, request: Request) -> Response:
        return Response(
            [{**event_type_json(row), "critical": row.critical} for row in event_types.active()]
        )


class FilterView(HubView):
    @operation(
        "filter_retrieve",
        tag=TAG,
        summary="The user's filter",
        answers={200: answers.Filter},
    )
    def get(self, request: Request) -> Response:
        return Response(filter_json(request.user.pk))

    @operation(
        "filter_update",
        tag=TAG,
        summary="Change the filter; answers the whole of it",
        body=FILTER_BODY,
        answers={200: answers.Filter},
        errors=["unknown_event_type", "critical_type"],
    )
    def patch(self, request: Request) -> Response:
        key, value = _one_key(request.data)
        if key == "types_enabled":
            filters.replace_types_enabled(request.user.pk, types=_types_enabled(value))
        else:
            filters.set_channels(request.user.pk, types=_types(value))
        return Response(filter_json(request.user.pk))


def filter_json(user_id: Any) -> dict[str, Any]:
    choices = filters.read(user_id)
    return {
        "types_enabled": [
            event_type_json(choice.type) for choice in choices if choice.channels["inbox"]
        ],
        "types": {choice.type.name: choice.channels for choice in choices},
    }


def _one_key(data: Any) -> tuple[str, Any]:
    """The one key of the body and its value. Raises `ValidationError`."""
    if not isinstance(data, dict):
        raise exceptions.ValidationError(NO_OBJECT)
    unknown = [key for key in data if key not in {"types_enabled", "types"}][:MAX_FIELDS]
    if unknown:
        raise exceptions.ValidationError({key: "Is not known." for key in unknown})
    if len(data) != 1:
        raise exceptions.ValidationError("Give either types_enabled or types.")
    return next(iter(data.items()))


def _types_enabled(value: Any) -> list[str | int]:
    """Names and ids. Raises `InvalidField`."""
    if not isinstance(value, list):
        raise InvalidField.of("types_enabled", "must be a list")
    wanted: list[str | int] = []
    for position, element in enumerate(value):
        if isinstance(element, str):
            wanted.append(element)
        elif isinstance(element, dict) and type(element.get("id")) is int:
            wanted.append(element["id"])
        else:
            field = f"types_enabled.{position}"
            raise InvalidField.of(field, "must be a name or an object with an id")
    return wanted


def _types(value: Any) -> dict[str, dict[str, bool]]:
    """Channels by name. Raises `InvalidField`."""
    if not isinstance(value, dict):
        raise InvalidField.of("types", "must be an object")
    for name, channels in value.items():
        if not isinstance(channels, dict):
            raise InvalidField.of(f"types.{name}", "must be an object")
        for channel, enabled in channels.items():
            if not isinstance(enabled, bool):
                raise InvalidField.of(f"types.{name}.{channel}", "must be true or false")
    return value
