"""Nothing that a user registers makes the hub ask an address that is not public."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver
from django.test import override_settings

from routing.conf import conf
from routing.push.backends import checks, guard, wire
from routing.push.backends.webpush import WebPushBackend
from routing.push.outcomes import Address, InvalidAddress, Note, Verdict
from routing.push.vapid import VapidKey
from tests.vendors.backend import local_peers, opened, send_one
from tests.vendors.webpush import Browser, PushService, push_service

pytestmark = pytest.mark.embedded  # no database: once is enough

CREDENTIALS = {
    "private_key": VapidKey.generate().private_text(),
    "subject": "mailto:ops@example.com",
}
KEYS = Browser.new().keys

ALLOWED = [
    "https://fcm.googleapis.com/fcm/send/abc:def",
    "https://updates.push.services.mozilla.com/wpush/v2/gAAA=",
    "https://web.push.apple.com/QOv?x=1&y=%2F",
    "https://db5p.notify.windows.com:443/w/?token=a%3d",
    "https://FCM.googleapis.com/x",
]
LITERALS = [
    "https://127.0.0.1/x",
    "https://8.8.8.8/x",
    "https://[::1]/x",
    "https://[::ffff:127.0.0.1]/x",
    "https://[64:ff9b::7f00:1]/x",
    "https://2130706433/x",
    "https://0x7f000001/x",
    "https://0x7f.1/x",
    "https://127.1/x",
    "https://0177.0.0.01/x",
]
#: Wrong whatever the list of hosts says.
NEVER = [
    *LITERALS,
    "",
    "x",
    "ftp://fcm.googleapis.com/x",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "//fcm.googleapis.com/x",
    "http://fcm.googleapis.com/x",
    "https://fcm.googleapis.com:8443/x",
    "https://fcm.googleapis.com:80/x",
    "https://fcm.googleapis.com:99999/x",
    "https://user@fcm.googleapis.com/x",
    "https://fcm.googleapis.com@evil.example/x",
    "https://fcm.googleapis.com:443@evil.example/x",
    "https://evil.example#.fcm.googleapis.com/x",
    "https://evil.example#@fcm.googleapis.com/x",
    "https://evil.example\\@fcm.googleapis.com/x",
    "https://fcm.googleapis.com\\.evil.example/x",
    "https://fcm.googleapis.com/x#fragment",
    "https://fcm.googleapis.com/x y",
    "https://fcm.googleapis.com/x\r\nHost: evil.example",
    "https://fcm.googleapis.com/x\n",
    "https://fcm.googleapis.com\t/x",
    " https://fcm.googleapis.com/x",
    "https://fcm.googleapis.com./x",
    "https://fcm。googleapis。com/x",
    "https://\uff46cm.googleapis.com/x",
    "https:///x",
    "https://?x",
    "https://%66cm.googleapis.com/x",
    "https://fcm.googleapis.com/" + "x" * 2048,
    "http://localhost/x",
    "http://169.254.169.254/latest/meta-data/",
]
#: Names that only look as if they were on the list.
FOREIGN_NAMES = [
    "https://evil.example/a.googleapis.com/",
    "https://fcm.googleapis.com.evil.example/x",
    "https://evilfcm.googleapis.com.evil.example/x",
    "https://xfcm.googleapis.com/x",
    "https://googleapis.com/x",
    "https://storage.googleapis.com/x",
    "https://windows.com/x",
    "https://localhost/x",
    "https://metadata.google.internal/x",
]
NOT_PUBLIC = [
    "127.0.0.1",
    "127.8.9.10",
    "0.0.0.0",  # noqa: S104
    "10.0.0.1",
    "172.16.5.4",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "192.0.0.192",
    "192.88.99.1",
    "198.18.0.1",
    "203.0.113.7",
    "224.0.0.251",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:0:7f00:1",
    "64:ff9b::7f00:1",
    "64:ff9b::808:808",
    "64:ff9b:1::1",
    "2002:7f00:1::1",
    "2001:0:4136:e378::1",
    "2001:db8::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "100::1",
    "not an address",
]


@pytest.fixture
async def service() -> AsyncIterator[PushService]:
    async with push_service() as found:
        yield found


def accepts(url: str) -> bool:
    try:
        WebPushBackend.clean_address(url, KEYS)
    except InvalidAddress as problem:
        assert not url or url not in str(problem)
        return False
    return True


# The text of the URL, at registration


@pytest.mark.parametrize("url", ALLOWED)
def test_endpoints_of_the_push_services_may_register(url: str) -> None:
    assert accepts(url)


@pytest.mark.parametrize("url", [*NEVER, *FOREIGN_NAMES])
def test_anything_else_may_not(url: str) -> None:
    assert not accepts(url)


@pytest.mark.parametrize("url", NEVER)
def test_a_list_of_hosts_that_allows_all_allows_names_over_https_only(url: str) -> None:
    with override_settings(HUB={"WEBPUSH_HOSTS": ["*"]}):
        assert not accepts(url)
        assert accepts("https://ntfy.example.org/up/abc")


def test_what_the_port_443_and_capitals_leave_of_an_origin() -> None:
    target = guard.check_url("https://WEB.push.apple.com:443/Q", hosts=["push.apple.com"])
    assert target.origin == "https://web.push.apple.com"


@pytest.mark.parametrize("debug", [True, False])
def test_the_seam_for_local_peers_works_under_debug_only(debug: bool) -> None:
    with local_peers(debug=debug):
        for url in ("http://localhost:8091/n", "http://127.0.0.1:9/n", "http://[::1]:80/n"):
            assert accepts(url) is debug
        for url in ("http://10.0.0.1/n", "http://169.254.169.254/n", "http://example.com/n"):
            assert not accepts(url)


def test_the_seam_without_debug_stops_the_start() -> None:
    with local_peers(debug=False):
        assert [error.id for error in checks.check_push_settings()] == ["hub.E041"]
    with local_peers(debug=True):
        assert checks.check_push_settings() == []


# The address of the connection, at send


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not guard.is_public(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "142.250.74.42", "2a00:1450:4001:82a::200a", "::ffff:8.8.8.8"]
)
def test_addresses_that_are(address: str) -> None:
    assert guard.is_public(address)


class Answers(AbstractResolver):
    """Gives a name one address after the other, and stays with the last."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)
        self.asked = 0

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[Any]:
        self.asked += 1
        address = self.addresses.pop(0) if len(self.addresses) > 1 else self.addresses[0]
        kind = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [
            {
                "hostname": host,
                "host": address,
                "port": port,
                "family": kind,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
        ]

    async def close(self) -> None:
        pass


def looked_up(*addresses: str) -> Callable[..., Awaitable[list[Any]]]:
    """The same for `wire.Wire`."""
    answers = Answers(*addresses)

    async def look_up(self: wire.Wire, host: str, port: int) -> list[Any]:
        (found,) = await answers.resolve(host, port)
        address = (found["host"], port, 0, 0) if ":" in found["host"] else (found["host"], port)
        return [(found["family"], socket.SOCK_STREAM, 0, "", address)]

    return look_up


@pytest.fixture
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: Any, **named: Any) -> Any:
        raise AssertionError("a socket was made")

    monkeypatch.setattr(guard, "socket", SimpleNamespace(socket=never))


@pytest.mark.usefixtures("no_sockets")
@pytest.mark.parametrize("address", [a for a in NOT_PUBLIC if a[0] != "n" and "%" not in a])
async def test_a_name_that_leads_into_the_house_is_not_asked(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire.Wire, "_look_up", looked_up(address))
    device = Address(token="https://fcm.googleapis.com/fcm/send/abc", extra=KEYS)
    async with opened(WebPushBackend, CREDENTIALS) as backend:
        outcome = await send_one(backend, device, Note(title="Hello"))
    assert (outcome.verdict, outcome.reason) == (Verdict.REFUSED, "not a public address")
    assert outcome.suspends


@pytest.mark.usefixtures("no_sockets")
@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/x",
        "http://[::1]/x",
        "http://[::ffff:127.0.0.1]/x",
        "http://[::ffff:7f00:1]/x",
        "http://[64:ff9b::7f00:1]/x",
        "http://[2002:7f00:1::]/x",
        "http://2130706433/x",
        "http://0x7f.1/x",
        "http://127.1/x",
        "http://169.254.169.254/latest/meta-data/",
        "http://localhost/x",
    ],
)
async def test_literals_which_no_resolver_sees_are_stopped_at_the_socket(url: str) -> None:
    async with guard.session(guard.connector(limit=1, limit_per_host=1)) as http:
        with pytest.raises((aiohttp.ClientConnectorError, aiohttp.InvalidURL)) as caught:
            await http.post(url)
    error = caught.value  # aiohttp itself refuses some spellings
    assert isinstance(error, aiohttp.InvalidURL) or isinstance(error.os_error, guard.Forbidden)


async def test_an_endpoint_that_changes_its_address_between_two_sends(
    service: PushService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "is_public", lambda address: address == "127.0.0.1")
    monkeypatch.setattr(wire.Wire, "_look_up", looked_up("127.0.0.1", "127.0.0.2"))
    monkeypatch.setattr(wire, "LOOKUP_SECONDS", 0)
    service.answers("/push/one", 201, Connection="close")
    device = Address(token=service.url().replace("127.0.0.1", "localhost"), extra=KEYS)
    with local_peers():
        async with opened(WebPushBackend, CREDENTIALS) as backend:
            first = await send_one(backend, device, Note(title="Hello"))
            monkeypatch.setattr(guard, "local_peers", lambda: False)
            second = await send_one(backend, device, Note(title="Hello"))
    assert (first.verdict, second.verdict) == (Verdict.SENT, Verdict.REFUSED)
    assert second.reason == "not a public address"
    assert len(service.received) == 1


async def test_a_name_that_changes_its_address_between_two_requests_of_aiohttp(
    service: PushService, monkeypatch: pytest.MonkeyPatch
) -> None:
    # For this test one address of this machine is taken for a public one.
    monkeypatch.setattr(guard, "is_public", lambda address: address == "127.0.0.1")
    resolver = Answers("127.0.0.1", "127.0.0.2")
    connections = guard.connector(limit=1, limit_per_host=1, resolver=resolver)
    async with guard.session(connections) as http:
        service.answers("/x", 201, Connection="close")
        url = f"http://rebound.example:{service.port}/x"
        async with http.post(url) as answer:
            assert answer.status == 201
        connections.clear_dns_cache()  # as time does
        with pytest.raises(aiohttp.ClientConnectorError) as caught:
            await http.post(url)
    assert isinstance(caught.value.os_error, guard.Forbidden)
    assert resolver.asked == 2
    assert len(service.received) == 1


async def test_an_endpoint_that_was_registered_before_the_list_changed_is_not_asked() -> None:
    device = Address(token="https://ntfy.example.org/up/abc", extra=KEYS)
    async with opened(WebPushBackend, CREDENTIALS) as backend:
        outcome = await send_one(backend, device, Note(title="Hello"))
        with pytest.raises(InvalidAddress):
            backend.check_address(device)
    assert outcome.verdict is Verdict.REFUSED
    assert outcome.suspends
    assert "ntfy" not in outcome.reason


async def test_a_local_peer_is_not_asked_once_debug_is_off(service: PushService) -> None:
    device = Address(token=service.url(), extra=KEYS)
    with local_peers(debug=False):
        async with opened(WebPushBackend, CREDENTIALS) as backend:
            assert (await send_one(backend, device, Note(title="Hi"))).verdict is Verdict.REFUSED
    assert service.received == []


async def test_proxies_and_passwords_of_the_environment_are_not_used(
    service: PushService, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with local_peers():
        async with opened(WebPushBackend, CREDENTIALS) as backend:
            device = Address(token=service.url(), extra=KEYS)
            assert (await send_one(backend, device, Note(title="Hi"))).verdict is Verdict.SENT


def test_the_push_services_are_what_is_allowed_by_default() -> None:
    with override_settings(HUB={}):
        assert "fcm.googleapis.com" in conf().webpush_hosts
        assert "*" not in conf().webpush_hosts
