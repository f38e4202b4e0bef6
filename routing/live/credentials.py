"""What sockets are opened with, and whether it is still good: sessions and bearer tokens.

Nothing here writes to a session: Django's own `get_user` would cycle its key.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import (
    BACKEND_SESSION_KEY,
    HASH_SESSION_KEY,
    SESSION_KEY,
    get_user_model,
    load_backend,
)
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from notifications.models import Token
from routing.live.messages import Key, key_of

BATCH = 500  # credentials looked at by one query


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """What a socket was opened with, and ends with: a session or a bearer token of a user."""

    key: Key
    session_key: str = ""
    token_id: int | None = None


def of_session(session_key: str) -> Credential | None:
    """The credential of a live session, or None. Also asks the backend that signed it in."""
    if not session_key or "\x00" in session_key:
        return None
    data = _load_session(session_key)
    backend_path = data.get(BACKEND_SESSION_KEY)
    if backend_path is None or backend_path not in settings.AUTHENTICATION_BACKENDS:
        return None
    try:
        user_id = get_user_model()._meta.pk.to_python(data.get(SESSION_KEY))
    except ValidationError:
        return None
    user = load_backend(backend_path).get_user(user_id)
    if user is None or not _is_of(data, user):
        return None
    return Credential(key=key_of(user.pk), session_key=session_key)


def ended(credentials: Iterable[Credential]) -> set[Credential]:
    """Those that are good no longer: session or token gone, password changed, user inactive."""
    wanted = list(set(credentials))
    gone: set[Credential] = set()
    for start in range(0, len(wanted), BATCH):
        gone |= _ended(wanted[start : start + BATCH])
    return gone


def _ended(batch: list[Credential]) -> set[Credential]:
    model = get_user_model()
    users = {
        key_of(user.pk): user
        for user in model._default_manager.filter(pk__in={one.key for one in batch})
    }
    token_ids = {one.token_id for one in batch if one.token_id is not None}
    owners: dict[int | None, Key] = {
        token_id: key_of(user_id)
        for token_id, user_id in Token.objects.filter(pk__in=token_ids).values_list("pk", "user")
    }
    sessions = _load_sessions({one.session_key for one in batch if one.session_key})
    return {
        one
        for one in batch
        if not _is_good(one, users.get(one.key), owner=owners.get(one.token_id), sessions=sessions)
    }


def _is_good(
    one: Credential, user: Any, *, owner: Key | None, sessions: Mapping[str, Mapping[str, Any]]
) -> bool:
    if user is None or not getattr(user, "is_active", True):
        return False
    if one.token_id is not None:
        return owner == one.key
    return _is_of(sessions.get(one.session_key, {}), user)


def _is_of(data: Mapping[str, Any], user: Any) -> bool:
    """Whether this session signs in this user: same user, backend and password as at login."""
    if not getattr(user, "is_active", True):
        return False
    if data.get(SESSION_KEY) != user._meta.pk.value_to_string(user):
        return False
    if data.get(BACKEND_SESSION_KEY) not in settings.AUTHENTICATION_BACKENDS:
        return False
    if not hasattr(user, "get_session_auth_hash"):
        return True
    given = data.get(HASH_SESSION_KEY) or ""
    # the fallbacks are the hashes under SECRET_KEY_FALLBACKS
    hashes = [user.get_session_auth_hash()]
    if hasattr(user, "get_session_auth_fallback_hash"):
        hashes += user.get_session_auth_fallback_hash()
    return any([constant_time_compare(given, one) for one in hashes])


def _store() -> Any:
    return import_module(settings.SESSION_ENGINE).SessionStore


def _load_session(session_key: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = _store()(session_key).load()
    return found


def _load_sessions(session_keys: set[str]) -> dict[str, Mapping[str, Any]]:
    """By one query where sessions are rows, else one by one; those that are gone are left out."""
    from django.contrib.sessions.backends.db import SessionStore

    store = _store()
    if not issubclass(store, SessionStore):
        return {key: _load_session(key) for key in session_keys}
    model = store.get_model_class()
    rows = model.objects.filter(session_key__in=session_keys, expire_date__gt=timezone.now())
    return {row.session_key: row.get_decoded() for row in rows}
