"""Keys by which push services know the hub (VAPID, RFC 8292), and the header they sign.

A browser subscribes under one public key, and only that key may send to it: each Web Push device
remembers the id of its key, so that a change of keys does not look like a thousand dead devices.
"""

import base64
import binascii
import hashlib
import os
import re
import tempfile
import time
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

from django.core.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

#: RFC 8292 allows 24 h; a clock that is a little off makes that fail (pywebpush#74, vapid#56).
LIFETIME = 12 * 3600
#: A header is used for half its life; then another is signed.
RENEW = LIFETIME // 2
#: Origins whose headers are kept; signing another costs 60 µs.
CACHE_SIZE = 1000

MAILTO = re.compile(r"mailto:[^\s@<>:/?#,]+@(?P<host>[^\s@<>:/?#,]+)")
HTTPS = re.compile(r"https://(?P<host>[A-Za-z0-9.-]+)(?:[:/?][^\s<>]*)?")
NAME = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z][A-Za-z0-9-]*[A-Za-z0-9]"
)
#: Names that are nobody's (RFC 2606, 6761, 6762): Apple answers 403 BadJwtToken for them.
UNREAL = ("localhost", "local", "invalid", "test", "example", "internal", "localdomain", "lan")


class InvalidKey(ImproperlyConfigured):
    """A text that is no VAPID private key; the text of the error never quotes it."""


def encode(raw: bytes) -> str:
    """base64url without padding, as browsers and JWTs write it."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """base64 or base64url, padded or not. Raises `ValueError`."""
    try:
        plain = text.strip().translate(str.maketrans("-_", "+/")).rstrip("=")
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, UnicodeError):
        raise ValueError("not base64") from None


class VapidKey:
    """One P-256 key. Its repr shows the id alone."""

    def __init__(self, private: "ec.EllipticCurvePrivateKey") -> None:
        from cryptography.hazmat.primitives import serialization

        self._private = private
        raw = private.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        #: What browsers are given as `applicationServerKey`.
        self.public = encode(raw)
        #: What a device remembers.
        self.id = key_id(raw)
        self._headers: OrderedDict[tuple[str, str], tuple[float, str]] = OrderedDict()

    def __repr__(self) -> str:
        return f"<VapidKey {self.id}>"

    @classmethod
    def generate(cls) -> "VapidKey":
        from cryptography.hazmat.primitives.asymmetric import ec

        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def read(cls, text: str) -> "VapidKey":
        """From base64url of the 32 bytes (as npm's web-push and py-vapid print it), from PEM, or
        from base64 of PKCS 8. Raises `InvalidKey`."""
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        try:
            if "-----BEGIN" in text:
                found = serialization.load_pem_private_key(text.strip().encode(), password=None)
            else:
                raw = decode(text)
                if len(raw) == 32:
                    number = int.from_bytes(raw, "big")
                    return cls(ec.derive_private_key(number, ec.SECP256R1()))
                found = serialization.load_der_private_key(raw, password=None)
        except (ValueError, TypeError):
            raise InvalidKey("the VAPID private key cannot be read") from None
        if not isinstance(found, ec.EllipticCurvePrivateKey) or found.curve.name != "secp256r1":
            raise InvalidKey("the VAPID private key is not of the curve P-256")
        return cls(found)

    def private_text(self) -> str:
        """The 32 bytes as base64url: secret, for `generate_vapid_keys` alone."""
        return encode(self._private.private_numbers().private_value.to_bytes(32, "big"))

    def authorization(self, origin: str, subject: str, *, at: float | None = None) -> str:
        """The header for a push service, signed anew when half of its life is over."""
        now = time.time() if at is None else at
        kept = self._headers.get((origin, subject))
        # A clock that was set back must not keep a header for years.
        if kept is not None and 0 <= now - kept[0] < RENEW:
            return kept[1]
        header = self.sign(origin, subject, expires=int(now) + LIFETIME)
        self._headers[origin, subject] = (now, header)
        while len(self._headers) > CACHE_SIZE:
            self._headers.popitem(last=False)
        return header

    def sign(self, origin: str, subject: str, *, expires: int) -> str:
        import jwt

        claims = {"aud": origin, "exp": expires, "sub": subject}
        return f"vapid t={jwt.encode(claims, self._private, algorithm='ES256')}, k={self.public}"


def key_id(public: bytes) -> str:
    """A short name for a public key of 65 bytes."""
    return encode(hashlib.sha256(public).digest()[:12])


def subject_problem(subject: str) -> str:
    """A sentence about a `sub` that push services refuse, or nothing."""
    found = MAILTO.fullmatch(subject) or HTTPS.fullmatch(subject)
    if found is None:
        return "must be mailto:name@domain or https://domain/..., without spaces or brackets"
    host = found["host"].lower()
    if NAME.fullmatch(host) is None or host.rpartition(".")[2] in UNREAL:
        return "must name a real domain: Apple refuses localhost and the like"
    return ""


def kept_private_key(path: Path) -> str:
    """The private key in `path`, made on first use and readable by the owner alone.

    For a data folder of the hub's own: a key that is made because a path was mistyped makes every
    subscription useless, so wherever a key was handed out, read it and do not keep it.
    """
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        write_private_key(path, VapidKey.generate(), exist_ok=True)
        return path.read_text().strip()


def write_private_key(path: Path, key: VapidKey, *, exist_ok: bool = False) -> None:
    """Makes the file, whole or not at all. Raises `FileExistsError`: a key is never replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent)  # with mode 0600
    try:
        with os.fdopen(handle, "w") as file:
            file.write(key.private_text() + "\n")
        os.link(name, path)
    except FileExistsError:
        if not exist_ok:
            raise
    finally:
        os.unlink(name)
