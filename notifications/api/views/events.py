"""Sends an event as the caller, or by a service key as nobody, for programs that are not part of
this one."""

import logging
from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import OpenApiParameter
from rest_framework import exceptions, permissions
from rest_framework.request import Request
from rest_framework.response import Response

from notifications import EVERYONE, service_keys
from notifications.api import answers
from notifications.api.schema import operation
from notifications.api.serializers import EventBody, read
from notifications.api.throttles import SendThrottle, UserThrottle
from notifications.api.views.base import HubView
from notifications.errors import InvalidField
from notifications.models import ServiceKey, Token
from notifications.sending import send_notification
from notifications.service_keys import BROADCAST, SEND
from notifications.words import MAX_KEY, clean_text

logger = logging.getLogger(__name__)

KEY_HEADER = "Idempotency-Key"


class MaySend(permissions.BasePermission):
    """The Django permission to add events; or a service key, whose scope is looked at already."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if isinstance(request.auth, ServiceKey):
            return True
        return bool(request.user.has_perm("hub_notifications.add_event"))


class EventsView(HubView):
    scopes = {"POST": SEND}
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
        given = read(EventBody, request.data)
        key = request.auth if isinstance(request.auth, ServiceKey) else None
        if key is not None:
            _check_key(key, given)
        event = send_notification(
            **given,
            author=request.user if key is None else None,
            idempotency_key=_key(request),
            scope=_scope(request),
        )
        if key is not None:
            # the event has no author: this line says who sent it
            logger.info("sent event=%s key=%s", event.pk, key.pk)
        return Response({"id": event.pk}, status=200 if event.repeated else 201)


def _check_key(key: ServiceKey, given: Mapping[str, Any]) -> None:
    """Raises `PermissionDenied` for a type or an audience that the key does not name."""
    if not service_keys.may_send(key, given["type"]):
        raise exceptions.PermissionDenied("The key may not send events of this type.")
    if given["users"] is EVERYONE and BROADCAST not in key.scopes:
        raise exceptions.PermissionDenied("The key has no scope to send to everyone.")


def _key(request: Request) -> str | None:
    """The header Idempotency-Key, or None. Raises `InvalidField`."""
    key = request.headers.get(KEY_HEADER)
    if key is not None and not clean_text(KEY_HEADER, key, limit=MAX_KEY):
        raise InvalidField.of(KEY_HEADER, "must not be empty")
    return key


def _scope(request: Request) -> str:
    """Whose idempotency keys these are."""
    if isinstance(request.auth, ServiceKey):
        return f"key:{request.auth.pk}"
    if isinstance(request.auth, Token):
        return f"token:{request.auth.pk}"
    return f"user:{request.user.pk}"
