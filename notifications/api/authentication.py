"""Who asks: a user by a token, by Basic or by a browser's session; or a service by its key."""

import base64
import binascii
from typing import Any

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import authentication, exceptions
from rest_framework.request import Request

from notifications import service_keys, tokens
from notifications.api import passwords
from notifications.api.errors import CHALLENGE
from notifications.conf import conf
from notifications.words import FORBIDDEN


class Service:
    """Stands in the place of the user where a service key asks. It is nobody: it has no row, no
    inbox and no permission, so that what looks for a user's things finds none."""

    pk = id = None
    is_authenticated = is_active = True
    is_anonymous = is_staff = is_superuser = False

    def get_username(self) -> str:
        return ""

    def has_perm(self, perm: str, obj: object = None) -> bool:
        return False


class Basic:
    """`request.auth` of a request by name and password."""


class BasicAuthentication(authentication.BaseAuthentication):
    """`Authorization: Basic <name:password>`, where the setting BASIC_AUTHENTICATION is on.

    It is not offered by any challenge: a browser would ask for the password, keep it, and send it
    along with whatever another site makes it send.
    """

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        """(user, Basic), or None where the header is another. Raises `AuthenticationFailed`, or
        `Throttled` for an address or a name whose tries failed too often."""
        scheme, _, text = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "basic" or not conf().basic_authentication:
            return None
        if not request.is_secure() and not settings.DEBUG:
            raise exceptions.AuthenticationFailed("Basic is taken over HTTPS only.")
        name, password = _name_and_password(text.strip())
        user = passwords.check(request._request, username=name, password=password)
        if user is None:
            raise exceptions.AuthenticationFailed("The name or the password is wrong.")
        return user, Basic()

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


def _name_and_password(text: str) -> tuple[str, str]:
    """What RFC 7617 packs together. Raises `AuthenticationFailed`."""
    try:
        name, colon, password = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        raise exceptions.AuthenticationFailed("The header Authorization is no base64.") from None
    if not colon or FORBIDDEN.search(name + password):
        raise exceptions.AuthenticationFailed("The header Authorization has no name:password.")
    return name, password


class BearerAuthentication(authentication.BaseAuthentication):
    """`Authorization: Bearer <token or service key>`. A header that is neither never falls back to
    the cookie: whoever sends one must not be taken for somebody else."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        """(user, Token), or None without the header. Raises `AuthenticationFailed`."""
        header = request.META.get("HTTP_AUTHORIZATION")
        if header is None:
            return None
        scheme, _, text = header.partition(" ")
        if scheme.lower() == "bearer":
            view = request.parser_context.get("view")
            token = tokens.find(text.strip(), with_inbox=getattr(view, "with_inbox", False))
            if token is not None:
                return token.user, token
            key = service_keys.find(text.strip())
            if key is not None:
                return Service(), key
        raise exceptions.AuthenticationFailed("The header Authorization has no live token.")

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


class SessionAuthentication(authentication.SessionAuthentication):
    """The session cookie of the log-in page; whatever changes something needs the CSRF header."""


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Two schemes: an operation names the second where it has a scope for service keys."""

    target_class = BearerAuthentication
    name = ["bearer", "serviceKey"]

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, Any]]:
        scopes = "; ".join(f"{name}: {what}" for name, what in service_keys.SCOPES.items())
        return [
            {"type": "http", "scheme": "bearer", "description": "A token of auth/token/."},
            {
                "type": "http",
                "scheme": "bearer",
                "description": f"A service key, by `manage.py service_keys`. Scopes: {scopes}.",
            },
        ]

    def get_security_requirement(self, auto_schema: Any) -> list[dict[str, list[Any]]]:
        scope = getattr(auto_schema.view, "scopes", {}).get(auto_schema.method)
        return [{"bearer": []}] + ([{"serviceKey": [scope]}] if scope else [])


class BasicScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = BasicAuthentication
    name = "basic"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {
            "type": "http",
            "scheme": "basic",
            "description": "Name and password, over HTTPS only; off unless it was switched on.",
        }


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
