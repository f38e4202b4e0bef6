"""WNS: XML, headers, both ways to a token, and what each answer means."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import parse_qs
from xml.etree import ElementTree

import pytest

from routing.push.backends.wns import WnsBackend
from routing.push.outcomes import (
    Address,
    InvalidAddress,
    Note,
    PayloadTooLarge,
    Prepared,
    Scope,
    UnsupportedOption,
    Verdict,
)
from tests.vendors.api import Api, Request, Said, api
from tests.vendors.backend import everything_logged, local_peers, opened, outcomes, send_one

pytestmark = pytest.mark.embedded  # no database: once is enough

SECRET = "bXlzZWNyZXQ-very-secret"
STORE = {"package_sid": "ms-app://s-1-15-2-1", "client_secret": SECRET}
ENTRA = {
    "tenant_id": "3f0c2a52-6d0f-4a6b-9a53-0d6f7d0e6c11",
    "client_id": "11112222-bbbb-3333-cccc-4444dddd5555",
    "client_secret": SECRET,
}
WORDS = "Bob is leaving Carol"
NOTE = Note(title="Likes", body=WORDS, event_id=7, ttl=60)
CHANNEL = "/?token=BQYAAACsecretChannel%2b%3d"


@pytest.fixture(autouse=True)
def on_this_machine() -> Iterator[None]:
    with local_peers():
        yield


class Microsoft(Api):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[dict[str, list[str]]] = []
        self.grant = lambda: Said(
            200, {"access_token": f"EgAsecret{len(self.forms)}", "expires_in": "86399"}
        )

    def said(self, request: Request) -> Said:
        if request.path == "/login":
            self.forms.append(parse_qs(request.body.decode()))
            return self.grant()
        return self.answer(request)


@pytest.fixture
async def microsoft() -> AsyncIterator[Microsoft]:
    async with api() as found:
        microsoft = Microsoft()
        microsoft.base, microsoft.requests = found.base, found.requests
        found.answer = microsoft.said
        yield microsoft


@pytest.fixture
async def backend(microsoft: Microsoft) -> AsyncIterator[WnsBackend]:
    async with opened(WnsBackend, {**STORE, "token_url": f"{microsoft.base}/login"}) as found:
        assert isinstance(found, WnsBackend)
        yield found


@pytest.fixture
def pc(microsoft: Microsoft) -> Address:
    return Address(token=microsoft.base + CHANNEL)


def rendered(note: Note, credentials: dict[str, str] = STORE) -> Prepared:
    return WnsBackend(credentials).render(note, Address(token="x"), ref=1)


def options(**given: Any) -> dict[str, Any]:
    return {"wns": given}


# The body


def xml(note: Note) -> str:
    body = rendered(note).body
    ElementTree.fromstring(body)  # noqa: S314 - our own, and it must be readable
    return body.decode().split("\n", 1)[1]


def test_a_toast() -> None:
    note = Note(
        title="Likes <&> 'quotes'",
        body="Bob\x00 likes \ud800 your 🎉",
        url="/posts/1?a=1&b=2",
        image="https://e.org/b.png",
        icon="https://e.org/i.png",
        sound="ms-winsoundevent:Notification.IM",
        actions=({"action": "open&close", "title": "Open"},),
    )
    assert xml(note) == (
        '<toast launch="/posts/1?a=1&amp;b=2"><visual><binding template="ToastGeneric">'
        "<text>Likes &lt;&amp;&gt; 'quotes'</text><text>Bob\ufffd likes \ufffd your 🎉</text>"
        '<image src="https://e.org/b.png" /><image src="https://e.org/i.png"'
        ' placement="appLogoOverride" /></binding></visual>'
        '<audio src="ms-winsoundevent:Notification.IM" />'
        '<actions><action content="Open" arguments="open&amp;close" /></actions></toast>'
    )


def test_the_old_templates_number_their_parts() -> None:
    note = Note(
        options=options(template="ToastImageAndText02", texts=["one", "two"], images=["a.png"])
    )
    assert xml(note) == (
        '<toast><visual><binding template="ToastImageAndText02"><text id="1">one</text>'
        '<text id="2">two</text><image id="1" src="a.png" /></binding></visual></toast>'
    )


def test_xml_data_says_the_type_by_its_root() -> None:
    data = {
        "name": "tile",
        "children": [
            {
                "name": "visual",
                "children": [{"name": "text", "attrs": {"id": 1}, "children": ["<"]}],
            }
        ],
    }
    message = rendered(Note(options=options(xml_data=data)))
    assert message.headers["X-WNS-Type"] == "wns/tile"
    assert message.body.endswith(b'<tile><visual><text id="1">&lt;</text></visual></tile>')


@pytest.mark.parametrize(
    ("note", "kind", "content_type"),
    [
        (NOTE, "toast", "text/xml"),
        (Note(badge=3), "badge", "text/xml"),
        (Note(title="x", options=options(type="tile", tag="post1")), "tile", "text/xml"),
        (Note(raw={"wns": b"\x00"}), "raw", "application/octet-stream"),
        (Note(title="x", silent=True, badge=3), "raw", "application/octet-stream"),
        (Note(data={"sync": 1}), "raw", "application/octet-stream"),
    ],
)
def test_types(note: Note, kind: str, content_type: str) -> None:
    headers = rendered(note).headers
    assert headers["X-WNS-Type"] == f"wns/{kind}"
    assert headers["Content-Type"] == content_type


def test_a_badge_is_a_number() -> None:
    assert rendered(Note(badge=0)).body.endswith(b'<badge value="0" />')


def test_a_silent_note_is_data_for_the_app() -> None:
    body = json.loads(rendered(Note(body="x", silent=True, data={"a": 1}, event_id=7)).body)
    assert body == {"body": "x", "data": {"a": 1}, "event": 7}


def test_option_headers() -> None:
    note = Note(
        title="x",
        ttl=60,
        options=options(type="tile", tag="post1", cache_policy="cache", request_for_status=True),
    )
    headers = dict(rendered(note).headers)
    assert headers == {
        "X-WNS-Type": "wns/tile",
        "Content-Type": "text/xml",
        "X-WNS-TTL": "60",
        "X-WNS-Tag": "post1",
        "X-WNS-Cache-Policy": "cache",
        "X-WNS-RequestForStatus": "true",
    }


@pytest.mark.parametrize(
    "given",
    [
        {"tpye": "toast"},
        {"type": "popup"},
        {"tag": "post1"},
        {"type": "tile", "tag": "too long for a tile"},
        {"type": "tile", "tag": "a\r\nX: y"},
        {"cache_policy": "cache"},
        {"type": "raw", "cache_policy": "always"},
        {"template": 'x"><evil'},
        {"xml_data": {"name": "script"}},
        {"xml_data": {"name": "toast", "attrs": {"a b": 1}}},
        {"xml_data": {"name": "toast", "children": [{"nome": "x"}]}},
        {"xml_data": ["toast"]},
    ],
)
def test_what_wns_would_refuse_is_refused_before(given: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedOption):
        rendered(Note(title="x", options=options(**given)))


def test_apps_of_the_windows_app_sdk_take_toasts_and_raw_only() -> None:
    assert rendered(NOTE, ENTRA).headers["X-WNS-Type"] == "wns/toast"
    assert rendered(Note(raw={"wns": "x"}), ENTRA).body == b"x"
    with pytest.raises(UnsupportedOption):
        rendered(Note(badge=3), ENTRA)


def test_sizes_are_checked_before_any_request() -> None:
    assert rendered(Note(raw={"wns": "x" * 5000}))
    with pytest.raises(PayloadTooLarge):
        rendered(Note(raw={"wns": "é" * 2501}))


# What each answer means

CONFIG = {"verdict": Verdict.MISCONFIGURED, "scope": Scope.APPLICATION}
ROWS: list[tuple[int, dict[str, str], dict[str, Any]]] = [
    (200, {"X_WNS_Status": "received", "X_WNS_Msg_ID": "1F"}, {"verdict": Verdict.SENT}),
    (200, {"X_WNS_Msg_ID": "1F"}, {"verdict": Verdict.SENT, "provider_id": "1F"}),
    (
        200,
        {"X_WNS_Status": "dropped"},
        {"verdict": Verdict.REFUSED, "suspends": False, "reason": "dropped", "alert": False},
    ),
    (
        200,
        {"X_WNS_Status": "channelthrottled"},
        {"verdict": Verdict.RETRY, "retry_after": 600.0, "scope": Scope.DEVICE},
    ),
    (400, {}, {"verdict": Verdict.REFUSED, "alert": False}),
    (401, {}, CONFIG),
    (403, {}, {"verdict": Verdict.REFUSED, "suspends": True, "scope": Scope.APPLICATION}),
    (404, {}, {"verdict": Verdict.GONE, "scope": Scope.DEVICE}),
    (405, {}, {"verdict": Verdict.REFUSED, "alert": False}),
    (
        406,
        {},
        {"verdict": Verdict.RETRY, "retry_after": 3600.0, "scope": Scope.APPLICATION},
    ),
    (406, {"Retry_After": "30"}, {"verdict": Verdict.RETRY, "retry_after": 30.0}),
    (410, {}, {"verdict": Verdict.GONE, "scope": Scope.DEVICE}),
    (410, {"X_WNS_Error_Description": "The channel expired"}, {"verdict": Verdict.GONE}),
    (410, {"X_WNS_Error_Description": "Domain Blocked"}, CONFIG),
    (413, {}, {"verdict": Verdict.REFUSED, "alert": False}),
    (500, {}, {"verdict": Verdict.RETRY, "retry_after": None}),
    (503, {"Retry_After": "9"}, {"verdict": Verdict.RETRY, "retry_after": 9.0}),
    (302, {"Location": "/elsewhere"}, {"verdict": Verdict.REFUSED, "alert": True}),
    (418, {}, {"verdict": Verdict.REFUSED, "alert": True}),
]


@pytest.mark.parametrize(("status", "headers", "expected"), ROWS)
async def test_every_row_of_the_table(
    status: int,
    headers: dict[str, str],
    expected: dict[str, Any],
    backend: WnsBackend,
    microsoft: Microsoft,
    pc: Address,
) -> None:
    microsoft.always(status, "", **headers)
    outcome = await send_one(backend, pc, NOTE)
    assert outcome.status == status
    assert {name: getattr(outcome, name) for name in expected} == expected


# The request and its token


async def test_the_request(backend: WnsBackend, microsoft: Microsoft, pc: Address) -> None:
    batch = [backend.render(NOTE, pc, ref=number) for number in range(20)]
    await outcomes(backend, batch)
    sent = [request for request in microsoft.requests if request.path != "/login"]
    assert {request.path for request in sent} == {CHANNEL}  # as it was given
    assert {request.headers["Authorization"] for request in sent} == {"Bearer EgAsecret1"}
    assert len({request.headers["MS-CV"] for request in sent}) == 20
    assert "Transfer-Encoding" not in sent[0].headers
    assert sent[0].headers["Content-Length"] == str(len(sent[0].body))
    assert microsoft.forms == [
        {
            "grant_type": ["client_credentials"],
            "client_id": ["ms-app://s-1-15-2-1"],
            "client_secret": [SECRET],
            "scope": ["notify.windows.com"],
        }
    ]


async def test_the_token_of_entra(microsoft: Microsoft, pc: Address) -> None:
    async with opened(WnsBackend, {**ENTRA, "token_url": f"{microsoft.base}/login"}) as backend:
        assert (await send_one(backend, pc, NOTE)).verdict is Verdict.SENT
    assert microsoft.forms[0]["client_id"] == [ENTRA["client_id"]]
    assert microsoft.forms[0]["scope"] == ["https://wns.windows.com/.default"]
    assert WnsBackend(ENTRA).token_url == (
        f"https://login.microsoftonline.com/{ENTRA['tenant_id']}/oauth2/v2.0/token"
    )
    assert WnsBackend(STORE).token_url == "https://login.live.com/accesstoken.srf"


async def test_a_token_that_is_refused_is_replaced_once(
    backend: WnsBackend, microsoft: Microsoft, pc: Address
) -> None:
    microsoft.answer = lambda request: Said(
        401 if request.headers["Authorization"].endswith("secret1") else 200
    )
    found = await outcomes(backend, [backend.render(NOTE, pc, ref=n) for n in range(20)])
    assert {outcome.verdict for outcome in found.values()} == {Verdict.SENT}
    assert len(microsoft.forms) == 2


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        (Said(400, {"error": "invalid_client"}), Verdict.MISCONFIGURED),
        (Said(401, ""), Verdict.MISCONFIGURED),
        (Said(200, {"access_token": "x", "expires_in": "soon"}), Verdict.MISCONFIGURED),
        (Said(429, "", {"Retry-After": "5"}), Verdict.RETRY),
        (Said(503, ""), Verdict.RETRY),
    ],
)
async def test_without_a_token(
    said: Said, verdict: Verdict, backend: WnsBackend, microsoft: Microsoft, pc: Address
) -> None:
    microsoft.grant = lambda: said
    outcome = await send_one(backend, pc, NOTE)
    assert (outcome.verdict, outcome.may_have_arrived) == (verdict, False)
    assert [request.path for request in microsoft.requests] == ["/login"]


# Who may register, and who is asked


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/?token=x",
        "https://notify.windows.com.evil.example/?token=x",
        "https://evilnotify.windows.com/?token=x",
        "https://evil.example/.notify.windows.com/",
        "https://db5.notify.windows.com@evil.example/",
        "http://db5.notify.windows.com/?token=x",
        "https://db5.notify.windows.com:8443/?token=x",
        "",
    ],
)
async def test_the_access_token_goes_to_microsoft_alone(
    url: str, backend: WnsBackend, microsoft: Microsoft
) -> None:
    with pytest.raises(InvalidAddress):
        WnsBackend.clean_address(url, {})
    outcome = await send_one(backend, Address(token=url), NOTE)
    assert (outcome.verdict, outcome.suspends) == (Verdict.REFUSED, True)
    assert microsoft.requests == []


def test_channels_that_may_register() -> None:
    for url in (
        "https://db5p.notify.windows.com/w/?token=AwYAAAB%2b",
        "https://wns2-par02p.notify.windows.com/?token=A",
    ):
        assert WnsBackend.clean_address(url, {"a": 1}) == (url, {"a": 1})


@pytest.mark.parametrize(
    "credentials",
    [
        {},
        {"package_sid": "ms-app://x"},
        {**STORE, "client_id": "x"},
        {**STORE, "package_sid": "s-1"},
        {**STORE, "client_secret": " "},
        {**ENTRA, "tenant_id": "evil.example/x?"},
        {**ENTRA, "tenant_id": "../common"},
        {**ENTRA, "token_url": "https://evil.example/"},
        {**STORE, "token_url": "http://169.254.169.254/"},
    ],
)
def test_credentials_are_checked_without_asking_anybody(credentials: dict[str, Any]) -> None:
    found = WnsBackend.check_credentials(credentials)
    assert found
    assert SECRET not in "".join(found)
    assert WnsBackend.check_credentials(STORE) == WnsBackend.check_credentials(ENTRA) == []


async def test_probe(backend: WnsBackend) -> None:
    assert "access token" in await backend.probe()


async def test_nothing_secret_stands_in_logs_or_reprs(
    backend: WnsBackend, microsoft: Microsoft, pc: Address
) -> None:
    microsoft.always(400, pc.token, X_WNS_Error_Description=pc.token)
    with everything_logged() as lines:
        asyncio.get_running_loop().set_debug(True)
        message = backend.render(NOTE, pc, ref=1)
        outcome = (await outcomes(backend, [message]))[1]
        asyncio.get_running_loop().set_debug(False)
    # The peer logs too, in this process; what it logs is not ours.
    ours = [line for line in lines if not line.startswith("aiohttp.access")]
    said = "\n".join([*ours, repr(message), repr(outcome), repr(backend), repr(pc)])
    for secret in ("secretChannel", SECRET, "EgAsecret", WORDS):
        assert secret not in said
