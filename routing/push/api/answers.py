"""What the push road answers. No token, endpoint or key stands in any of it."""

from typing import Any

from rest_framework import serializers

from notifications.api.answers import UserId
from notifications.representation import moment
from routing.push.models import Delivery, Device, Preference

Answer = serializers.Serializer[Any]


class DeviceAnswer(Answer):
    id = serializers.IntegerField()
    backend = serializers.CharField()
    application = serializers.CharField(allow_null=True)
    environment = serializers.CharField(allow_null=True)
    name = serializers.CharField()
    active = serializers.BooleanField()
    type = serializers.CharField(allow_null=True)
    client_id = serializers.CharField()
    app_version = serializers.CharField()
    os_version = serializers.CharField()
    locale = serializers.CharField()
    time_zone = serializers.CharField()
    created_at = serializers.DateTimeField()
    last_used_at = serializers.DateTimeField(allow_null=True)
    user = UserId(
        required=False, allow_null=True, help_text="In server calls only; null: nobody's device."
    )


class DevicePage(Answer):
    count = serializers.IntegerField()
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = DeviceAnswer(many=True)


class DeliveryAnswer(Answer):
    id = serializers.IntegerField()
    event = serializers.IntegerField()
    user = serializers.JSONField(help_text="The user's id; null for a topic or condition.")
    device = serializers.IntegerField(allow_null=True)
    recipient = serializers.CharField(help_text="A topic, condition or alias, or empty.")
    backend = serializers.CharField()
    application = serializers.CharField(allow_null=True)
    state = serializers.ChoiceField(choices=Delivery.State.choices)
    attempts = serializers.IntegerField()
    error = serializers.CharField()
    created_at = serializers.DateTimeField()
    due_at = serializers.DateTimeField()
    sent_at = serializers.DateTimeField(allow_null=True)


class DeliveryPage(Answer):
    count = serializers.IntegerField()
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = DeliveryAnswer(many=True)


class VapidKeyAnswer(Answer):
    key = serializers.CharField(help_text="base64url; what PushManager.subscribe takes.")


class QuietHoursAnswer(Answer):
    start = serializers.CharField()
    end = serializers.CharField()


class PreferencesAnswer(Answer):
    quiet_hours = QuietHoursAnswer(allow_null=True)
    time_zone = serializers.CharField()


class Conflict(Answer):
    code = serializers.CharField()
    detail = serializers.CharField()


def device_json(row: Device) -> dict[str, Any]:
    """A device whose `application` is loaded."""
    return {
        "id": row.pk,
        "backend": row.backend,
        "application": row.application.name if row.application is not None else None,
        "environment": row.environment or None,
        "name": row.name,
        "active": row.active,
        "type": row.type or None,
        "client_id": row.client_id,
        "app_version": row.app_version,
        "os_version": row.os_version,
        "locale": row.locale,
        "time_zone": row.time_zone,
        "created_at": moment(row.created_at),
        "last_used_at": moment(row.last_used_at),
    }


def server_device_json(row: Device) -> dict[str, Any]:
    """For callers who see devices of others: whose it is, too."""
    return {**device_json(row), "user": _user_id(row.user_id)}


def _user_id(key: Any) -> Any:
    return key if key is None or isinstance(key, int) else str(key)


def delivery_json(row: Delivery) -> dict[str, Any]:
    """A delivery whose `application` is loaded."""
    return {
        "id": row.pk,
        "event": row.event_id,
        "user": _user_id(row.user_id),
        "device": row.device_id,
        "recipient": row.recipient,
        "backend": row.backend,
        "application": row.application.name if row.application is not None else None,
        "state": row.state,
        "attempts": row.attempts,
        "error": row.error,
        "created_at": moment(row.created_at),
        "due_at": moment(row.due),
        "sent_at": moment(row.sent_at),
    }


def preferences_json(row: Preference) -> dict[str, Any]:
    hours = None
    if row.quiet_start is not None and row.quiet_end is not None:
        hours = {
            "start": row.quiet_start.strftime("%H:%M"),
            "end": row.quiet_end.strftime("%H:%M"),
        }
    return {"quiet_hours": hours, "time_zone": row.time_zone}
