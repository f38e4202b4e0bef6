"""Reads and checks what APNs wants to see of us: signing keys, certificates, hosts."""

import re
import secrets
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID

from routing.push.backends import guard
from routing.push.backends.apns_message import TOPIC
from routing.push.backends.apns_token import InvalidKey, read_key
from routing.push.outcomes import InvalidAddress

ENVIRONMENTS = {"production": "api.push.apple.com", "sandbox": "api.sandbox.push.apple.com"}
BASE_URL = {"production": "base_url", "sandbox": "sandbox_base_url"}
PORTS = (443, 2197)  # the other one passes firewalls that know APNs from older days
KNOWN = {
    "key", "key_id", "team_id", "certificate", "passphrase", "topic", "environment", "port",
    "base_url", "sandbox_base_url", "ca",
}  # fmt: skip
IDENTIFIER = re.compile(r"[A-Z0-9]{10}")
PEM_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.S)


class InvalidCertificate(ValueError):
    """Nothing to show to Apple; the text never quotes it."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A client certificate with what it was signed by, and its key."""

    chain: bytes
    key: Any = field(repr=False)
    topic: str
    expires: datetime

    @classmethod
    def read(cls, pem: Any, passphrase: Any = None) -> "Certificate":
        """Raises `InvalidCertificate`."""
        text = pem.encode() if isinstance(pem, str) else bytes(pem or b"")
        chain = PEM_CERTIFICATE.findall(text)
        if not chain:
            raise InvalidCertificate("holds no certificate in PEM form")
        password = passphrase.encode() if isinstance(passphrase, str) and passphrase else None
        bare = PEM_CERTIFICATE.sub(b"", text).strip()
        try:
            found = x509.load_pem_x509_certificate(chain[0])
        except Exception:
            raise InvalidCertificate("holds no certificate that can be read") from None
        begins = bare.find(b"-----BEGIN")
        try:
            key = serialization.load_pem_private_key(
                bare[begins:] if begins > 0 else bare, password
            )
        except Exception:
            raise InvalidCertificate(
                "has no private key beside it, or the passphrase does not open it"
            ) from None
        if key.public_key() != found.public_key():
            raise InvalidCertificate("is of another key than the one beside it")
        uids = found.subject.get_attributes_for_oid(NameOID.USER_ID)
        topic = str(uids[0].value) if uids else ""
        return cls(b"\n".join(chain), key, topic, found.not_valid_after_utc)


def problems(credentials: Mapping[str, Any]) -> list[str]:
    """Sentences; nobody is asked."""
    found = [f"{name} is not known to apns" for name in sorted(set(credentials) - KNOWN)]
    topic = credentials.get("topic")
    if credentials.get("key"):
        found += _problems_of_token(credentials)
    elif credentials.get("certificate"):
        try:
            certificate = Certificate.read(
                credentials["certificate"], credentials.get("passphrase")
            )
        except InvalidCertificate as problem:
            found.append(f"certificate {problem}")
        else:
            topic = topic or certificate.topic
            if certificate.expires <= datetime.now(UTC):
                found.append(f"certificate has expired on {certificate.expires:%Y-%m-%d}")
    else:
        found.append("key, key_id and team_id are missing, or else certificate")
    if not isinstance(topic, str) or not TOPIC.fullmatch(topic):
        found.append("topic is missing or no bundle id")
    if credentials.get("environment") not in (None, "", *ENVIRONMENTS):
        found.append("environment must be production or sandbox")
    if credentials.get("port") not in (None, *PORTS):
        found.append("port must be 443 or 2197")
    try:
        for environment in ENVIRONMENTS:
            host_of(credentials, environment)
    except InvalidAddress as problem:
        found.append(f"base_url and sandbox_base_url are for peers on this machine: {problem}")
    else:
        if credentials.get("ca") and not credentials.get("base_url"):
            found.append("ca is for peers on this machine")
    return found


def _problems_of_token(credentials: Mapping[str, Any]) -> list[str]:
    found = []
    try:
        read_key(credentials["key"])
    except InvalidKey as problem:
        found.append(f"key {problem}")
    for name in ("key_id", "team_id"):
        text = credentials.get(name)
        if not isinstance(text, str) or not IDENTIFIER.fullmatch(text):
            found.append(f"{name} must be 10 capitals and digits")
    return found


def host_of(credentials: Mapping[str, Any], environment: str) -> tuple[str, int]:
    """Apple's host, or that of a peer on this machine. Raises `InvalidAddress`."""
    given = credentials.get(BASE_URL[environment]) or credentials.get("base_url")
    if not given:
        return ENVIRONMENTS[environment], int(credentials.get("port") or PORTS[0])
    guard.check_url(given, hosts=())  # loopback, and only with PUSH_LOCAL_PEERS
    url = urlsplit(given)
    if url.scheme != "https":
        raise InvalidAddress("APNs speaks TLS only")
    return url.hostname or "", url.port or 443


def tls_context(certificate: Certificate | None, *, ca: str | None = None) -> ssl.SSLContext:
    """Takes 27 ms: once for all connections."""
    context = ssl.create_default_context(cadata=ca)
    context.set_alpn_protocols(["h2"])
    if certificate is not None:
        _load(context, certificate)
    return context


def _load(context: ssl.SSLContext, certificate: Certificate) -> None:
    """Python takes a certificate from a file only: there the key is encrypted, with a password
    that nobody knows a moment later."""
    password = secrets.token_bytes(32).hex().encode()
    key = certificate.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password),
    )
    with tempfile.NamedTemporaryFile(prefix="hub-apns-") as file:  # readable by us only
        file.write(certificate.chain + b"\n" + key)
        file.flush()
        context.load_cert_chain(file.name, password=password)
