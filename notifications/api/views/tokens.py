"""Bearer tokens: made for a name and a password, listed, ended."""

from typing import Any

from django.contrib.auth import authenticate
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response

from notifications import tokens, users
from notifications.api import answers, pagination
from notifications.api.schema import LIMIT, OFFSET, operation
from notifications.api.serializers import TokenBody, read
from notifications.api.throttles import AddressThrottle, NameThrottle
from notifications.api.views.base import HubView
from notifications.models import Token
from notifications.representation import moment

TAG = "tokens"


class TokenView(HubView):
    """Looks at no credentials but its body: an app has nothing else when it begins."""

    authentication_classes = []
    permission_classes = []
    throttle_classes = [AddressThrottle, NameThrottle]

    @operation(
        "token_create",
        tag=TAG,
        summary="Make a bearer token",
        body=TokenBody,
        answers={200: answers.TokenMade},
        errors=["authentication_failed"],
        signed_in=False,
    )
    def post(self, request: Request) -> Response:
        given = read(TokenBody, request.data)
        user = authenticate(
            request._request,
            username=users.normal(given["username"]),
            password=given["password"],
        )
        if user is None:
            # one answer for a wrong name, a wrong password and an inactive user
            raise exceptions.AuthenticationFailed("The name or the password is wrong.")
        text = tokens.make(user, name=given["name"])
        return Response({"token": text}, headers={"Cache-Control": "no-store"})


class TokensView(HubView):
    @operation(
        "token_list",
        tag=TAG,
        summary="The caller's tokens, newest first",
        answers={200: answers.TokenPage},
        parameters=[LIMIT, OFFSET],
    )
    def get(self, request: Request) -> Response:
        part = pagination.window(request)
        rows = tokens.of_user(request.user)
        count = rows.count()
        start = min(part.offset, count)
        return Response(
            {
                "count": count,
                **pagination.links(request, part=part, more=part.offset + part.limit < count),
                "results": [token_json(row) for row in rows[start : start + part.limit]],
            }
        )


class OneTokenView(HubView):
    @operation(
        "token_delete",
        tag=TAG,
        summary="End a token and the sockets signed in by it",
        answers={204: None},
        errors=["not_found"],
    )
    def delete(self, request: Request, token_id: int) -> Response:
        if not tokens.revoke(request.user, token_id=token_id):
            raise exceptions.NotFound("There is no such token.")
        return Response(status=204)


def token_json(row: Token) -> dict[str, Any]:
    return {
        "id": row.pk,
        "name": row.name,
        "created_at": moment(row.created_at),
        "last_used_at": moment(row.last_used_at),
    }
