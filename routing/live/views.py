"""Makes tickets for clients that can send neither cookie nor header with a WebSocket."""

from typing import Any

from rest_framework import exceptions, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from notifications.api import HubView, operation
from notifications.api.authentication import Basic
from notifications.models import Token
from routing.live import tickets


class TicketMade(serializers.Serializer[Any]):
    ticket = serializers.CharField(help_text="Opens one socket, once.")
    expires_in = serializers.IntegerField(help_text="Seconds.")


class TicketView(HubView):
    @operation(
        "ws_ticket_create",
        tag="live",
        summary="Make a ticket that opens one socket, once",
        answers={200: TicketMade},
    )
    def post(self, request: Request) -> Response:
        if isinstance(request.auth, Token):
            ticket = tickets.issue(request.user, token_id=request.auth.pk)
        elif isinstance(request.auth, Basic):
            # nothing that could end: a socket would outlive the password
            raise exceptions.PermissionDenied("A ticket is made from a token or a session.")
        else:
            ticket = tickets.issue(request.user, session_key=request.session.session_key or "")
        return Response(
            {"ticket": ticket, "expires_in": int(tickets.LIFETIME.total_seconds())},
            headers={"Cache-Control": "no-store"},
        )
