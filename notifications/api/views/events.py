"""Sends an event as the caller, for programs that are not part of this one."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter
from rest_framework import permissions
from rest_framework.request import Request
from rest_framework.response import Response

from notifications.api import answers
from notifications.api.schema import operation
from notifications.api.serializers import EventBody, read
from notifications.api.throttles import SendThrottle, UserThrottle
from notifications.api.views.base import HubView
from notifications.errors import InvalidField
from notifications.models import Token
from notifications.sending import send_notification
from notifications.words import MAX_KEY, clean_text

KEY_HEADER = "Idempotency-Key"


class MaySend(permissions.BasePermission):
    """The Django permission to add events."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return bool(request.user.has_perm("hub_notifications.add_event"))


class EventsView(HubView):
    permission_classes = [permissions.IsAuthenticated, MaySend]
    throttle_classes = [UserThrottle, SendThrottle]

    @operation(
        "event_create",
        tag="events",
        summary="Send an event as the caller",
        body=EventBody,
        answers={201: answers.EventMade, 200: answers.EventMade},
        errors=[
            "unknown_event_type",
            "invalid_data",
            "no_audience",
            "invalid_audience",
            "unknown_user",
            "idempotency_conflict",
        ],
        parameters=[
            OpenApiParameter(
                KEY_HEADER,
                {"type": "string", "minLength": 1, "maxLength": MAX_KEY},
                OpenApiParameter.HEADER,
                description="A repeat with the same key and content makes no second event.",
            )
        ],
    )
    def post(self, request: Request) -> Response:
        event = send_notification(
            **read(EventBody, request.data),
            author=request.user,
            idempotency_key=_key(request),
            scope=_scope(request),
        )
        return Response({"id": event.pk}, status=200 if event.repeated else 201)


def _key(request: Request) -> str | None:
    """The header Idempotency-Key, or None. Raises `InvalidField`."""
    key = request.headers.get(KEY_HEADER)
    if key is not None and not clean_text(KEY_HEADER, key, limit=MAX_KEY):
        raise InvalidField.of(KEY_HEADER, "must not be empty")
    return key


def _scope(request: Request) -> str:
    """Whose idempotency keys these are."""
    if isinstance(request.auth, Token):
        return f"token:{request.auth.pk}"
    return f"user:{request.user.pk}"
