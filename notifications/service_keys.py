"""Service keys: how other programs call the hub. A key may what its scopes name and nothing else.

Only the hash of a key is stored. A key is no user: it sends to any user and reads nobody's inbox.
"""

import hashlib
import re
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import router
from django.utils import timezone

from notifications import event_types as declared
from notifications.errors import InvalidField
from notifications.models import ServiceKey
from notifications.tokens import note_use
from notifications.words import clean_text, clean_time

#: What every key begins with, so that scanners for leaked secrets find it, and nobody takes it
#: for a user's token.
PREFIX = "hubkey_"
SECRET = 32  # bytes of randomness
TEXT = re.compile(PREFIX + r"[A-Za-z0-9_-]{20,100}", re.ASCII)
MAX_NAME = 100  # characters
LIFETIME = timedelta(days=365)  # where nothing else is said

SEND = "events:send"
BROADCAST = "events:everyone"
REGISTER = "devices:register"
READ = "read"
SCOPES = {
    SEND: "send events of its event types to named users",
    BROADCAST: "send them to everyone",
    REGISTER: "register and end devices of any user",
    READ: "read event types, and devices and deliveries of all users; no inbox, no device token",
}


def make(
    name: str,
    *,
    scopes: Iterable[str],
    event_types: Iterable[str] | None = (),
    expires_at: datetime | None,
) -> tuple[ServiceKey, str]:
    """A new key and its text, which is shown this once.

    `event_types` are the names of those that it may send, None every one; `expires_at` None means
    never. Raises `InvalidField`.
    """
    key = ServiceKey(**cleaned(name, scopes=scopes, event_types=event_types, expires_at=expires_at))
    return key, issue(key)


def issue(key: ServiceKey) -> str:
    """Stores a new key whose fields are in order; returns its text."""
    text = PREFIX + secrets.token_urlsafe(SECRET)
    key.digest = digest(text)
    key.save(using=router.db_for_write(ServiceKey))
    return text


def cleaned(
    name: str,
    *,
    scopes: Iterable[str],
    event_types: Iterable[str] | None,
    expires_at: datetime | None,
) -> dict[str, Any]:
    """The fields of a key. Raises `InvalidField` for what would make it useless or unclear."""
    name = clean_text("name", name, limit=MAX_NAME).strip()
    if not name:
        raise InvalidField.of("name", "must not be empty")
    wanted = sorted(set(scopes))
    unknown = [scope for scope in wanted if scope not in SCOPES]
    if not wanted or unknown:
        raise InvalidField.of("scopes", f"must be some of {', '.join(SCOPES)}")
    sends = SEND in wanted
    if BROADCAST in wanted and not sends:
        raise InvalidField.of("scopes", f"must hold {SEND} where they hold {BROADCAST}")
    types = None if event_types is None else sorted(set(event_types))
    if sends and types == []:
        raise InvalidField.of("event_types", f"must name what a key with {SEND} may send")
    if not sends and types != []:
        raise InvalidField.of("event_types", f"go with the scope {SEND} only")
    missing = sorted(set(types or []) - set(declared.declared_types()))
    if missing:
        raise InvalidField.of("event_types", f"must be declared: there is no {missing[0]!r}")
    until = clean_time("expires_at", expires_at)
    if until is not None and until <= timezone.now():
        raise InvalidField.of("expires_at", "must lie in the future")
    return {"name": name, "scopes": wanted, "event_types": types, "expires_at": until}


def find(text: str) -> ServiceKey | None:
    """The live key with this text, or None; says that it was used."""
    if TEXT.fullmatch(text) is None:
        return None
    rows = ServiceKey.objects.using(router.db_for_write(ServiceKey))
    key = rows.live().filter(digest=digest(text)).first()
    if key is None:
        return None
    note_use(key, rows)
    return key


def revoke(key_id: int) -> bool:
    """Ends a key from its next request on; False where none lives by this id."""
    if not 0 < key_id < 2**63:
        return False
    rows = ServiceKey.objects.using(router.db_for_write(ServiceKey))
    return bool(rows.filter(pk=key_id, revoked_at=None).update(revoked_at=timezone.now()))


def may_send(key: ServiceKey, event_type: str) -> bool:
    return SEND in key.scopes and (key.event_types is None or event_type in key.event_types)


def digest(text: str) -> str:
    # Plain SHA-256: what is hashed is random, so there is nothing that could be guessed.
    return hashlib.sha256(text.encode()).hexdigest()
