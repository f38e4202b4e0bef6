"""The connections of Web Push: kept open, bounded, encrypted, and never believed."""

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from routing.push.backends import guard, wire
from routing.push.backends.answers import Answer
from routing.push.backends.guard import check_url
from routing.push.backends.wire import NotConnected, Wire
from tests.vendors.backend import local_peers
from tests.vendors.webpush import PushService, Reply, push_service

pytestmark = pytest.mark.embedded  # no database: once is enough


@pytest.fixture(autouse=True)
def on_this_machine() -> Iterator[None]:
    with local_peers():
        yield


@pytest.fixture
async def service() -> AsyncIterator[PushService]:
    async with push_service() as found:
        yield found


@pytest.fixture
async def connections() -> AsyncIterator[Wire]:
    found = Wire()
    yield found
    found.close()


async def post(connections: Wire, url: str) -> Answer:
    target = check_url(url, hosts=[])
    head = f"POST {target.path} HTTP/1.1\r\nHost: {target.host}\r\nContent-Length: 0\r\n\r\n"
    return await connections.post(target, head.encode())


async def test_one_connection_serves_one_request_after_the_other(
    service: PushService, connections: Wire
) -> None:
    for _ in range(5):
        assert (await post(connections, service.url())).status == 201
    assert service.connections == 1


@pytest.mark.parametrize(
    ("raw", "status", "body"),
    [
        (b"HTTP/1.1 201 Created\r\n\r\n", 201, b""),
        (b"HTTP/1.0 410 Gone\r\n\r\ngone", 410, b"gone"),
        (b"HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 500, b"abc"),
        (
            b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n"
            b"HTTP/1.1 429 X\r\nRETRY-AFTER: 5\r\nContent-Length: 2\r\n\r\nno",
            429,
            b"no",
        ),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 400 X\r\nContent-Length: 9999\r\n\r\n" + b"x" * 9999, 400, b"x" * 4096),
    ],
)
async def test_answers_in_all_their_forms(
    raw: bytes, status: int, body: bytes, service: PushService, connections: Wire
) -> None:
    service.replies["/push/one"] = Reply(raw=raw)
    answer = await post(connections, service.url())
    assert (answer.status, answer.body) == (status, body)
    if status == 429:
        assert answer.headers["Retry-After"] == "5"
    # And the next one is asked on a connection that works.
    service.replies.clear()
    await asyncio.sleep(0.05)  # the service has closed it by now
    assert (await post(connections, service.url())).status == 201


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nab",
        b"HTTP/1.1 201 Created\r\nX: y",
        b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 201 Created\r\n" + b"X-Endless: yes\r\n" * 5000,
    ],
)
async def test_what_is_no_answer_is_an_error(
    raw: bytes, service: PushService, connections: Wire
) -> None:
    service.replies["/push/one"] = Reply(raw=raw)
    with pytest.raises(OSError) as caught:
        await post(connections, service.url())
    assert not isinstance(caught.value, NotConnected)


async def test_a_connection_that_the_service_closed_meanwhile_is_not_used(
    connections: Wire,
) -> None:
    async with push_service() as first:
        first.answers("/push/one", 201)
        await post(connections, first.url())
        url = first.url()
    await asyncio.sleep(0.05)
    with pytest.raises(NotConnected):
        await post(connections, url)


async def test_what_comes_unasked_is_not_taken_for_the_next_answer(
    service: PushService, connections: Wire
) -> None:
    double = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
    service.replies["/push/one"] = Reply(raw=double + double.replace(b"201 Created", b"410 Gone"))
    assert (await post(connections, service.url())).status == 201
    assert connections._idle == {}
    assert (await post(connections, service.url("/push/two"))).status == 201


async def test_idle_connections_end(
    service: PushService, connections: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with push_service() as other:
        await post(connections, service.url())
        monkeypatch.setattr(guard, "KEEP_ALIVE_SECONDS", -1)
        monkeypatch.setattr(wire, "SWEEP_SECONDS", 0)
        await post(connections, other.url())
        assert connections._idle == {}
        await post(connections, service.url())
    assert service.connections == 2


async def test_a_name_is_looked_up_once_for_many_connections(
    service: PushService, connections: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    look_up = Wire._look_up

    async def counted(self: Wire, host: str, port: int) -> list[object]:
        asked.append(host)
        return await look_up(self, host, port)

    monkeypatch.setattr(Wire, "_look_up", counted)
    service.behaves("/push/one", "hang")
    url = f"http://localhost:{service.port}/push"
    await asyncio.gather(*(post(connections, url) for _ in range(20)))
    assert asked == ["localhost"]


# TLS


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """For `localhost`, signed by itself; the key is in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "localhost.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


@pytest.fixture
async def secure(certificate: Path) -> AsyncIterator[PushService]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    async with push_service(context) as found:
        yield found


async def test_a_certificate_that_nobody_vouches_for_gets_nothing(
    secure: PushService, connections: Wire
) -> None:
    with pytest.raises(NotConnected) as caught:
        await post(connections, secure.url())
    assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)
    assert secure.received == []


async def test_a_certificate_of_another_name_gets_nothing(
    secure: PushService, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    connections = Wire()
    with pytest.raises(NotConnected) as caught:
        await post(connections, f"https://127.0.0.1:{secure.port}/push")
    assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)
    connections.close()


async def test_over_tls(
    secure: PushService, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    connections = Wire()
    for _ in range(3):
        assert (await post(connections, secure.url())).status == 201
    connections.close()
    assert secure.connections == 1
