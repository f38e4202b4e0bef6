"""Who asks: a bearer token in the header, or else the session of a browser."""

from typing import Any

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import authentication, exceptions
from rest_framework.request import Request

from notifications import tokens
from notifications.api.errors import CHALLENGE


class BearerAuthentication(authentication.BaseAuthentication):
    """`Authorization: Bearer <token>`. A header that is not a live token never falls back to the
    cookie: whoever sends one must not be taken for somebody else."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        """(user, Token), or None without the header. Raises `AuthenticationFailed`."""
        header = request.META.get("HTTP_AUTHORIZATION")
        if header is None:
            return None
        scheme, _, text = header.partition(" ")
        token = tokens.find(text.strip()) if scheme.lower() == "bearer" else None
        if token is None:
            raise exceptions.AuthenticationFailed("The header Authorization has no live token.")
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


class SessionAuthentication(authentication.SessionAuthentication):
    """The session cookie of the log-in page; whatever changes something needs the CSRF header."""


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = BearerAuthentication
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "description": "A token of auth/token/."}


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = SessionAuthentication
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {
            "type": "apiKey",
            "in": "cookie",
            "name": settings.SESSION_COOKIE_NAME,
            "description": "With it every method but GET needs the header X-CSRFToken.",
        }
