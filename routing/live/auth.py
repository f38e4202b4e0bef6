"""How a socket signs in: its Origin, and the first credential that it shows."""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http.cookie import parse_cookie

from notifications import tokens
from routing.conf import conf
from routing.live import tickets
from routing.live.credentials import Credential, ended, of_session
from routing.live.messages import key_of

SUBPROTOCOL = "hub.v1"
TICKET = "ticket."  # the subprotocol that carries a ticket begins so
DEFAULT_PORTS = {"http": 80, "https": 443}

Headers = Iterable[tuple[bytes, bytes]]


def origin_of(text: str) -> tuple[str, str, int | None] | None:
    """Scheme, host and port of an Origin; None for what is none, also for `null`."""
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError:
        return None
    if not parts.scheme or not parts.hostname or parts.username is not None:
        return None
    if parts.path or parts.query or parts.fragment:
        return None
    scheme = parts.scheme.lower()
    return scheme, parts.hostname.lower(), DEFAULT_PORTS.get(scheme) if port is None else port


def values_of(headers: Headers, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in headers if key.lower() == name]


def origin_verdict(headers: Headers) -> bool | None:
    """Whether the Origin is an allowed one; None where there is none."""
    given = values_of(headers, b"origin")
    if not given:
        return None
    allowed = {origin_of(str(one)) for one in conf().allowed_origins} - {None}
    return all(origin_of(one) in allowed for one in given)


def sign_in(scope: Mapping[str, Any], *, has_origin: bool) -> Credential | None:
    """The credential of a connection whose Origin, if it has one, is allowed.

    The first kind that is present decides; a bad one never falls back to the next.
    """
    headers = scope["headers"]
    authorization = values_of(headers, b"authorization")
    if authorization:
        return _of_header(authorization)
    offered = scope.get("subprotocols") or []
    ticket = next((name[len(TICKET) :] for name in offered if name.startswith(TICKET)), None)
    if ticket is not None:
        return _of_ticket(ticket)
    if not has_origin:
        return None
    return of_session(_session_key(headers))


def _of_header(authorization: list[str]) -> Credential | None:
    kind, _, text = authorization[0].strip().partition(" ")
    if len(authorization) != 1 or kind.lower() != "bearer":
        return None
    token = tokens.find(text.strip())
    if token is None:
        return None
    return Credential(key=key_of(token.user_id), token_id=token.pk)


def _of_ticket(text: str) -> Credential | None:
    credential = tickets.redeem(text)
    if credential is None or credential in ended([credential]):
        return None
    return credential


def _session_key(headers: Headers) -> str:
    # HTTP/2 may split the header
    cookie = "; ".join(values_of(headers, b"cookie"))
    return parse_cookie(cookie).get(settings.SESSION_COOKIE_NAME, "")
