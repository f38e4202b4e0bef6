"""The hostile APNs of apns_peer.js in the hands of a test, with certificates made on the spot."""

import asyncio
import functools
import ipaddress
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.vendors import node

SCRIPT = Path(__file__).parent / "apns_peer.js"
START_SECONDS = 20
LINE = 1024 * 1024  # bytes
TOPIC = "com.example.app"

Key = ec.EllipticCurvePrivateKey


def new_key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def private_pem(key: Key, passphrase: bytes = b"") -> str:
    how = (
        serialization.BestAvailableEncryption(passphrase)
        if passphrase
        else serialization.NoEncryption()
    )
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how
    ).decode()


def public_pem(private: str) -> str:
    key = serialization.load_pem_private_key(private.encode(), None)
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def named(common: str, uid: str = "") -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    if uid:
        parts.append(x509.NameAttribute(NameOID.USER_ID, uid))
    return x509.Name(parts)


@dataclass
class Authority:
    """Signs the peer's certificate and ours."""

    key: Key = field(default_factory=new_key, repr=False)

    @functools.cached_property
    def certificate(self) -> x509.Certificate:
        name = named("test authority")
        builder = self._builder(name, self.key, days=30).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        usage = x509.KeyUsage(
            digital_signature=True, content_commitment=False, key_encipherment=False,
            data_encipherment=False, key_agreement=False, key_cert_sign=True, crl_sign=True,
            encipher_only=False, decipher_only=False,
        )  # fmt: skip
        builder = builder.add_extension(usage, critical=True)
        subject = x509.SubjectKeyIdentifier.from_public_key(self.key.public_key())
        return builder.add_extension(subject, critical=False).sign(self.key, hashes.SHA256())

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def server(self, key: Key) -> str:
        names = [
            x509.DNSName("localhost"),
            x509.DNSName("api.push.apple.com"),
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        ]
        builder = self._builder(named("localhost"), key).add_extension(
            x509.SubjectAlternativeName(names), critical=False
        )
        return self._sign(builder, ExtendedKeyUsageOID.SERVER_AUTH)

    def client(self, key: Key, *, uid: str = TOPIC, days: int = 30) -> str:
        builder = self._builder(named(f"Apple Push Services: {uid}", uid), key, days=days)
        return self._sign(builder, ExtendedKeyUsageOID.CLIENT_AUTH)

    def _builder(self, name: x509.Name, key: Key, days: int = 30) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(named("test authority"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=60))
            .not_valid_after(now + timedelta(days=days))
        )

    def _sign(self, builder: x509.CertificateBuilder, usage: x509.ObjectIdentifier) -> str:
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        made = (
            builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(authority, critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return made.public_bytes(serialization.Encoding.PEM).decode()


@dataclass
class ApnsPeer:
    base: str
    ca: str
    key: str = field(repr=False)
    process: asyncio.subprocess.Process

    @property
    def port(self) -> int:
        return int(self.base.rpartition(":")[2])

    def credentials(self, **more: Any) -> dict[str, Any]:
        return {
            "key": self.key,
            "key_id": "ABCDE12345",
            "team_id": "TEAM123456",
            "topic": TOPIC,
            "base_url": self.base,
            "ca": self.ca,
            **more,
        }

    async def stats(self) -> dict[str, Any]:
        return await self.tell({"do": "stats"})

    async def says(self, status: int, body: Any = "", **headers: str) -> None:
        """The answer to everything from now on."""
        text = body if isinstance(body, str) else json.dumps(body)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = {"status": status, "body": text, "headers": named}
        await self.tell({"do": "say", "answer": answer})

    async def last(self) -> dict[str, Any]:
        found: dict[str, Any] = (await self.stats())["came"][-1]
        return found

    async def tell(self, command: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(command).encode() + b"\n")
        async with asyncio.timeout(START_SECONDS):
            line = await self.process.stdout.readline()
        found: dict[str, Any] = json.loads(line)
        return found


@asynccontextmanager
async def apns_peer(
    *,
    authority: Authority | None = None,
    client_certificates: bool = False,
    signing: str = "",
    **config: Any,
) -> AsyncIterator[ApnsPeer]:
    """`streams`, `latency` (ms) and `refuses` are the peer's manners at large; `signing` is the key
    (PEM) that tokens must be of."""
    authority = authority or Authority()
    signing, server = signing or private_pem(new_key()), new_key()
    tls = {"key": private_pem(server), "cert": authority.server(server)}
    if client_certificates:
        tls["ca"] = authority.pem
    else:
        config["key"] = public_pem(signing)
    process = await asyncio.create_subprocess_exec(
        node.program("node"),
        str(SCRIPT),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LINE,
    )
    peer = ApnsPeer("", authority.pem, signing, process)
    try:
        port = (await peer.tell({"tls": tls, **config}))["port"]
        peer.base = f"https://localhost:{port}"
        yield peer
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
