"""The signed token by which APNs knows us: one for all connections and all processes.

Apple wants a token renewed at least every 60 minutes and at most every 20, and answers 429
TooManyProviderTokenUpdates to who uses many. Processes therefore share the time of issue, and
nothing else: the signature is deterministic (RFC 6979), so the same key and the same time make the
same token everywhere, and no token is stored.
https://developer.apple.com/documentation/usernotifications/establishing-a-token-based-connection-to-apns
"""

import hashlib
import json
import logging
import time
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from jwt.utils import der_to_raw_signature

from routing.push.backends import apns_issued
from routing.push.backends.apns_issued import SKEW

logger = logging.getLogger(__name__)

# Seconds.
RENEW = 45 * 60
LEAST_AGE = 20 * 60
MOST_AGE = 58 * 60


class Deterministic(ECAlgorithm):
    def sign(self, msg: bytes, key: Any) -> bytes:
        try:
            method = ec.ECDSA(self.hash_alg(), deterministic_signing=True)
        except UnsupportedAlgorithm:
            # OpenSSL before 3.2, which no wheel of cryptography has: one token per process.
            method = ec.ECDSA(self.hash_alg())
        return der_to_raw_signature(key.sign(msg, method), key.curve)


_jws = jwt.PyJWS()
_jws.unregister_algorithm("ES256")
_jws.register_algorithm("ES256", Deterministic(hashes.SHA256))


class InvalidKey(ValueError):
    """Not the .p8 of a signing key; the text never quotes it."""


def read_key(pem: Any) -> ec.EllipticCurvePrivateKey:
    try:
        text = pem.encode() if isinstance(pem, str) else bytes(pem)
        key = serialization.load_pem_private_key(text.strip(), password=None)
    except Exception:
        raise InvalidKey("is no private key in PEM form (a .p8 file)") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise InvalidKey("is no key on the curve P-256")
    return key


class ProviderToken:
    def __init__(self, *, key: Any, key_id: str, team_id: str) -> None:
        self._key, self._key_id, self._team_id = read_key(key), key_id, team_id
        public = self._key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        whose = b"\0".join([team_id.encode(), key_id.encode(), public])
        #: By which processes know that they sign with the same key.
        self.name = hashlib.sha256(whose).hexdigest()
        self._issued, self._header = 0, ""
        self._held_until = 0.0

    async def header(self) -> str:
        """The value of `authorization`."""
        at = int(time.time())
        age = at - self._issued
        if age > (MOST_AGE if at < self._held_until else RENEW) or age < -SKEW:
            await self._renew(at, before=at - RENEW)
        return self._header

    async def expired(self) -> None:
        """APNs called the token expired: another one, if this is old enough."""
        at = int(time.time())
        if at >= self._held_until:
            try:
                await self._renew(at, before=at - LEAST_AGE)
            except Exception as error:  # the next message asks again
                logger.warning("provider token not renewed error=%s", type(error).__name__)

    def hold(self) -> None:
        """APNs has seen too many tokens: keep this one for as long as may be."""
        self._held_until = time.time() + LEAST_AGE

    async def _renew(self, at: int, *, before: int) -> None:
        try:
            issued = await apns_issued.ask(self.name, at=at, before=before)
        except Exception as error:
            if at - self._issued > MOST_AGE:
                raise
            logger.warning("provider token not renewed error=%s", type(error).__name__)
            return
        if issued != self._issued:
            self._issued, self._header = issued, f"bearer {self._sign(issued)}"

    def _sign(self, issued: int) -> str:
        claims = json.dumps({"iss": self._team_id, "iat": issued}, separators=(",", ":"))
        return _jws.encode(claims.encode(), self._key, "ES256", {"kid": self._key_id})
