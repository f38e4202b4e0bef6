"""Encrypts credentials at rest, with keys that can be changed.

The keys are `HUB["CREDENTIAL_KEYS"]`, newest first: the first encrypts, all decrypt. They are apart
from SECRET_KEY: whoever changes that must not lose every application, and whoever learns it must
not read them. Without a key nothing is encrypted and nothing is stored: `NoCredentialKey`. (The
project in `hub/` keeps a key in a file of its data folder when `HUB_CREDENTIAL_KEYS` is not set;
a copy of the database alone then gives nothing away, a copy of the whole folder does.)

A stored text is `v1:<key id>:<Fernet token>`. The token holds the row's name beside the value, so
that a text copied into another row is refused there.

To change keys: put a new one in front, restart, run `manage.py rotate_credentials`, take the old
one out.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured

from routing.conf import conf

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

VERSION = "v1"
#: A key is text with enough chance in it, e.g. what `Fernet.generate_key()` prints; it is hashed,
#: not stretched, so a password will not do.
LEAST_CHARACTERS = 32


class NoCredentialKey(ImproperlyConfigured):
    """`HUB["CREDENTIAL_KEYS"]` is empty."""


class Unreadable(Exception):
    """The stored text is of another row, of a key that is gone, or damaged."""


def problems(keys: Sequence[Any]) -> list[str]:
    """Sentences about keys that cannot be used."""
    return [
        f'HUB["CREDENTIAL_KEYS"][{number}] must be a text of {LEAST_CHARACTERS} characters or more'
        for number, key in enumerate(keys)
        if not isinstance(key, str) or len(key) < LEAST_CHARACTERS
    ]


def seal(value: Mapping[str, Any], *, row: str) -> str:
    """The value as it is stored in the row of this name, e.g. "application:7"."""
    key_id, fernet = next(iter(_ring().items()))
    text = json.dumps({"row": row, "value": dict(value)}, separators=(",", ":"))
    return f"{VERSION}:{key_id}:{fernet.encrypt(text.encode()).decode()}"


def unseal(stored: str, *, row: str) -> dict[str, Any]:
    """The value again. Raises `Unreadable`."""
    from cryptography.fernet import InvalidToken

    version, key_id, token = _parts(stored)
    fernet = _ring().get(key_id)
    if version != VERSION or fernet is None:
        raise Unreadable(f"the credentials of {row} were encrypted with a key that is not set")
    try:
        found = json.loads(fernet.decrypt(token.encode()))
    except (InvalidToken, ValueError):
        raise Unreadable(f"the credentials of {row} are damaged") from None
    if found.get("row") != row:
        raise Unreadable(f"the credentials of {row} were stored for another row")
    value: dict[str, Any] = found["value"]
    return value


def is_current(stored: str) -> bool:
    """Whether the newest key encrypted this."""
    version, key_id, _ = _parts(stored)
    return version == VERSION and key_id == next(iter(_ring()))


def rotate(stored: str, *, row: str) -> str:
    """The same value under the newest key; unchanged where it is already."""
    return stored if is_current(stored) else seal(unseal(stored, row=row), row=row)


def _parts(stored: str) -> tuple[str, str, str]:
    version, _, rest = stored.partition(":")
    key_id, _, token = rest.partition(":")
    return version, key_id, token


def _ring() -> dict[str, "Fernet"]:
    """The keys by id, newest first."""
    keys = conf().credential_keys
    wrong = problems(keys)
    if wrong:
        raise ImproperlyConfigured("; ".join(wrong))
    if not keys:
        raise NoCredentialKey('set HUB["CREDENTIAL_KEYS"] (HUB_CREDENTIAL_KEYS) to keep secrets')
    return dict(_fernet(key) for key in keys)


@lru_cache(maxsize=32)
def _fernet(key: str) -> tuple[str, "Fernet"]:
    from cryptography.fernet import Fernet
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    def derive(info: bytes, length: int) -> bytes:
        return HKDF(hashes.SHA256(), length, None, info).derive(key.encode())

    # The id tells keys apart and says nothing of them.
    return derive(b"hub credentials id", 6).hex(), Fernet(
        base64.urlsafe_b64encode(derive(b"hub credentials", 32))
    )
