"""FCM: bodies that Google's own schema and encoder agree with, and what each answer means."""

import asyncio
import importlib.resources
import json
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from routing.push.backends import posting
from routing.push.backends.fcm import FcmBackend
from routing.push.backends.fcm_message import build
from routing.push.outcomes import (
    Address,
    InvalidAddress,
    Note,
    PayloadTooLarge,
    Scope,
    UnsupportedOption,
    Verdict,
)
from tests.vendors.api import Api, Request, Said, api
from tests.vendors.backend import everything_logged, local_peers, opened, outcomes, send_one

pytestmark = pytest.mark.embedded  # no database: once is enough

KEY = rsa.generate_private_key(65537, 2048)
PEM = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
ACCOUNT = {
    "type": "service_account",
    "project_id": "hub-test",
    "private_key_id": "k1",
    "private_key": PEM,
    "client_email": "hub@hub-test.iam.gserviceaccount.com",
    "token_uri": "https://oauth2.googleapis.com/token",
}
TOKEN = "bk3RNwTe3H0:CI2k_HHwgIpoDKCIZvvDMExUdFQ3P1-secret"
PHONE = Address(token=TOKEN)
WORDS = "Bob is leaving Carol"
NOTE = Note(title="Likes", body=WORDS, event_id=7, event_type="post_like", ttl=3600)


class Google(Api):
    """Gives tokens to whom it knows, and lets a test say the rest."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = 0
        self.grants: list[dict[str, Any]] = []

    def grant(self, request: Request) -> Said:
        form = parse_qs(request.body.decode())
        assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
        self.grants.append(
            jwt.decode(
                form["assertion"][0],
                KEY.public_key(),
                algorithms=["RS256"],
                audience=ACCOUNT["token_uri"],
            )
        )
        self.tokens += 1
        return Said(200, {"access_token": f"ya29.secret-{self.tokens}", "expires_in": 3599})


@pytest.fixture(autouse=True)
def on_this_machine() -> Iterator[None]:
    with local_peers():
        yield


@pytest.fixture
async def google() -> AsyncIterator[Google]:
    async with api() as found:
        google = Google()
        google.base = found.base
        google.answer = lambda _: Said(200, {"name": "projects/hub-test/messages/0:1"})
        found.requests = google.requests
        found.answer = lambda request: (
            google.grant(request) if request.path == "/token" else google.answer(request)
        )
        yield google


def credentials(google: Google, **changes: Any) -> dict[str, Any]:
    account = {**ACCOUNT, "token_uri": f"{google.base}/token"}
    return {"service_account": account, "base_url": google.base, **changes}


@pytest.fixture
async def backend(google: Google) -> AsyncIterator[FcmBackend]:
    async with opened(FcmBackend, credentials(google)) as found:
        assert isinstance(found, FcmBackend)
        yield found


# The body

DISCOVERY = json.loads(
    importlib.resources.files("googleapiclient.discovery_cache.documents")
    .joinpath("fcm.v1.json")
    .read_text()
)["schemas"]
TYPES = {"string": str, "boolean": bool, "integer": int, "number": (int, float), "array": list}


def check_schema(value: Any, schema: dict[str, Any], path: str) -> None:
    """Against Google's discovery document, which is no JSON Schema but nearly."""
    if "$ref" in schema:
        schema = DISCOVERY[schema["$ref"]]
    if schema["type"] == "object":
        assert isinstance(value, dict), path
        extra = schema.get("additionalProperties")
        for key, inner in value.items():
            known = schema.get("properties", {}).get(key, extra)
            assert known is not None, f"{path}.{key} is not in the schema"
            check_schema(inner, known, f"{path}.{key}")
    elif schema["type"] == "array":
        for number, inner in enumerate(value):
            check_schema(inner, schema["items"], f"{path}[{number}]")
    elif schema["type"] != "any":
        assert isinstance(value, TYPES[schema["type"]]), f"{path} is {value!r}"
        assert value in schema.get("enum", [value]), path


NOTES = [
    NOTE,
    Note(
        title="Likes",
        body="Bob likes your post",
        url="https://hub.example.com/posts/1",
        image="https://hub.example.com/b.png",
        icon="/i.png",
        data={"post": 1, "nested": {"a": [1, "ü"]}, "none": None, "yes": True},
        tag="post-1",
        collapse_id="e7",
        priority="high",
        badge=3,
        sound="ping",
        ttl=60,
        actions=({"action": "open", "title": "Open"},),
        options={
            "fcm": {
                "channel_id": "likes",
                "color": "#ff0000",
                "icon": "ic_like",
                "click_action": "OPEN",
                "collapse_key": "likes",
                "restricted_package_name": "com.example",
                "direct_boot_ok": True,
                "body_loc_key": "liked",
                "body_loc_args": ["Bob"],
                "visibility": "PRIVATE",
                "category": "social",
                "thread_id": "t",
                "mutable_content": True,
                "analytics_label": "likes",
            }
        },
    ),
    Note(silent=True, data={"sync": 1}, priority="high", ttl=0),
    Note(title="Likes", body="x", options={"fcm": {"data_only": True}}),
    Note(body="only words", sound={"name": "alarm", "critical": 1, "volume": 0.5}, priority="low"),
]


@pytest.mark.parametrize("note", NOTES)
def test_google_s_own_schema_agrees(note: Note, google_free: FcmBackend) -> None:
    body = json.loads(google_free.render(note, PHONE, ref=1).body)
    check_schema(body, {"$ref": "SendMessageRequest"}, "request")
    assert all(isinstance(value, str) for value in body["message"].get("data", {}).values())


@pytest.fixture
def google_free() -> FcmBackend:
    """For what asks nobody."""
    return FcmBackend({"service_account": json.dumps(ACCOUNT)})


def test_google_s_own_encoder_writes_the_same() -> None:
    from firebase_admin import messaging

    message = messaging.Message(
        fid="fid-1",
        notification=messaging.Notification("Likes", "Bob likes your post", "https://e.org/b.png"),
        data={"post": "1", "event": "7", "type": "post_like", "tag": "post-1"},
        android=messaging.AndroidConfig(
            priority="high",
            ttl=60,
            collapse_key="likes",
            notification=messaging.AndroidNotification(
                tag="post-1", sound="ping", channel_id="likes", notification_count=3
            ),
        ),
        apns=messaging.APNSConfig(
            headers={
                "apns-priority": "10",
                "apns-push-type": "alert",
                "apns-expiration": "1060",
                "apns-collapse-id": "e7",
            },
            payload=messaging.APNSPayload(
                messaging.Aps(
                    alert=messaging.ApsAlert(title="Likes", body="Bob likes your post"),
                    badge=3,
                    sound="ping",
                    category="social",
                )
            ),
        ),
        webpush=messaging.WebpushConfig(
            headers={"TTL": "60", "Urgency": "high"},
            notification=messaging.WebpushNotification(tag="post-1", image="https://e.org/b.png"),
        ),
    )
    theirs = camel(messaging._MessagingService.encode_message(message))
    # Google's encoder writes the priority in small letters, its schema in capitals: both are taken.
    theirs["android"]["priority"] = theirs["android"]["priority"].upper()
    ours, _ = build(
        Note(
            title="Likes",
            body="Bob likes your post",
            image="https://e.org/b.png",
            data={"post": 1},
            tag="post-1",
            collapse_id="e7",
            priority="high",
            badge=3,
            sound="ping",
            ttl=60,
            event_id=7,
            event_type="post_like",
            options={"fcm": {"collapse_key": "likes", "channel_id": "likes", "category": "social"}},
        ),
        at=1000,
        max_ttl=10**6,
    )
    assert {"fid": "fid-1", **ours} == theirs


def camel(value: Any) -> Any:
    """Names as in the schema; both spellings are the same to Google."""
    if not isinstance(value, dict):
        return value
    found = {}
    for key, inner in value.items():
        first, *rest = key.split("_")
        found[first + "".join(part.title() for part in rest)] = (
            inner if key in ("data", "headers", "payload") else camel(inner)
        )
    return found


def test_silent_means_that_nothing_is_shown() -> None:
    note = Note(title="x", body="y", silent=True, sound="ping", badge=1, data={"a": 1}, ttl=9)
    message, _ = build(note, at=0, max_ttl=99)
    assert "notification" not in message
    assert "notification" not in message["android"]
    assert message["apns"]["payload"] == {"aps": {"content-available": 1}}
    assert message["apns"]["headers"]["apns-priority"] == "5"
    assert message["apns"]["headers"]["apns-push-type"] == "background"
    assert message["data"] == {"a": "1", "title": "x", "body": "y"}


@pytest.mark.parametrize(
    "note",
    [
        Note(options={"fcm": {"chanel_id": "x"}}),
        Note(data={"from": "x"}),
        Note(data={"google.x": "x"}),
        Note(data={"gcm.notification.title": "x"}),
    ],
)
def test_what_fcm_would_refuse_is_refused_before(note: Note) -> None:
    with pytest.raises(UnsupportedOption):
        build(note, at=0, max_ttl=9)


@pytest.mark.parametrize(
    ("address", "target"),
    [
        (Address(token="t"), {"token": "t"}),
        (Address(token="f", extra={"kind": "fid"}), {"fid": "f"}),
        (Address(token="/topics/news", kind="topic"), {"topic": "news"}),
        (Address(token="'a' in topics", kind="condition"), {"condition": "'a' in topics"}),
    ],
)
def test_targets(address: Address, target: dict[str, str], google_free: FcmBackend) -> None:
    note = Note(raw={"fcm": {"data": {"a": "b"}}}, options={"fcm": {"dry_run": True}})
    body = json.loads(google_free.render(note, address, ref=1).body)
    assert body == {"message": {**target, "data": {"a": "b"}}, "validateOnly": True}


@pytest.mark.parametrize(
    "address", [Address(token="a b", kind="topic"), Address(token="x", kind="alias")]
)
def test_targets_that_fcm_does_not_have(address: Address, google_free: FcmBackend) -> None:
    with pytest.raises(InvalidAddress):
        google_free.render(NOTE, address, ref=1)


@pytest.mark.parametrize(
    ("address", "limit"), [(PHONE, 4000), (Address(token="n", kind="topic"), 2000)]
)
def test_sizes_are_checked_before_any_request(
    address: Address, limit: int, google_free: FcmBackend
) -> None:
    room = limit - len('{"data":{"a":""}}')
    fits = Note(raw={"fcm": {"data": {"a": "x" * room}}})
    google_free.render(fits, address, ref=1)
    with pytest.raises(PayloadTooLarge):
        google_free.render(Note(raw={"fcm": {"data": {"a": "x" * (room + 1)}}}), address, ref=1)


# What each answer means


def error(status: str, code: str = "", message: str = "x", **details: Any) -> dict[str, Any]:
    found: list[dict[str, Any]] = []
    if code:
        found.append(
            {"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code}
        )
    if details:
        found.append({"@type": "type.googleapis.com/google.rpc.X", **details})
    return {"error": {"status": status, "message": message, "details": found}}


NOT_VALID = "The registration token is not a valid FCM registration token"
CONFIG = {"verdict": Verdict.MISCONFIGURED, "scope": Scope.APPLICATION}
QUOTA = {"verdict": Verdict.RETRY, "scope": Scope.APPLICATION}
ROWS: list[tuple[int, Any, dict[str, str], dict[str, Any]]] = [
    (
        200,
        {"name": "projects/hub-test/messages/0:9"},
        {},
        {"verdict": Verdict.SENT, "provider_id": "projects/hub-test/messages/0:9"},
    ),
    (
        404,
        error("NOT_FOUND", "UNREGISTERED"),
        {},
        {"verdict": Verdict.GONE, "scope": Scope.DEVICE, "reason": "UNREGISTERED"},
    ),
    (404, error("NOT_FOUND"), {}, CONFIG),
    (404, "<html>Not Found</html>", {}, CONFIG),
    (
        400,
        error("INVALID_ARGUMENT", "INVALID_ARGUMENT", NOT_VALID),
        {},
        {"verdict": Verdict.GONE},
    ),
    *(
        (
            400,
            error("INVALID_ARGUMENT", fieldViolations=[{"field": field, "description": "Invalid"}]),
            {},
            {"verdict": Verdict.GONE},
        )
        for field in ("message.token", "message.fid")
    ),
    (
        400,
        error("INVALID_ARGUMENT", "INVALID_ARGUMENT", "Message too big"),
        {},
        {"verdict": Verdict.REFUSED, "suspends": False},
    ),
    (
        400,
        error("INVALID_ARGUMENT", fieldViolations=[{"field": "message.data[0].value"}]),
        {},
        {"verdict": Verdict.REFUSED, "suspends": False},
    ),
    (400, error("INVALID_ARGUMENT", message=NOT_VALID), {}, {"verdict": Verdict.REFUSED}),
    (400, "no JSON", {}, {"verdict": Verdict.REFUSED}),
    (
        403,
        error("PERMISSION_DENIED", "SENDER_ID_MISMATCH"),
        {},
        {"verdict": Verdict.REFUSED, "suspends": True, "scope": Scope.APPLICATION},
    ),
    (403, error("PERMISSION_DENIED"), {}, CONFIG),
    (401, error("UNAUTHENTICATED"), {}, CONFIG),
    (401, error("UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR"), {}, CONFIG),
    (429, error("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"), {}, {**QUOTA, "retry_after": 60.0}),
    (429, error("RESOURCE_EXHAUSTED"), {"Retry_After": "90"}, {**QUOTA, "retry_after": 90.0}),
    (
        429,
        error("RESOURCE_EXHAUSTED", violations=[{"subject": "device:1"}]),
        {},
        {"verdict": Verdict.RETRY, "scope": Scope.DEVICE},
    ),
    (
        429,
        error("RESOURCE_EXHAUSTED", violations=[{"subject": "project:1"}]),
        {},
        {"verdict": Verdict.RETRY, "scope": Scope.APPLICATION},
    ),
    (500, error("INTERNAL", "INTERNAL"), {}, {"verdict": Verdict.RETRY, "retry_after": None}),
    (502, "", {}, {"verdict": Verdict.RETRY}),
    (503, error("UNAVAILABLE"), {"Retry_After": "7"}, {"verdict": Verdict.RETRY, "retry_after": 7}),
    (504, "", {}, {"verdict": Verdict.RETRY}),
    (302, "", {"Location": "/elsewhere"}, {"verdict": Verdict.REFUSED, "alert": True}),
    (418, "", {}, {"verdict": Verdict.REFUSED, "alert": True}),
]


@pytest.mark.parametrize(("status", "body", "headers", "expected"), ROWS)
async def test_every_row_of_the_table(
    status: int,
    body: Any,
    headers: dict[str, str],
    expected: dict[str, Any],
    backend: FcmBackend,
    google: Google,
) -> None:
    google.always(status, body, **headers)
    outcome = await send_one(backend, PHONE, NOTE)
    assert outcome.status == status
    assert {name: getattr(outcome, name) for name in expected} == expected


async def test_quota_waits_double(backend: FcmBackend, google: Google) -> None:
    google.always(429, error("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"))
    waits = []
    for attempt in (1, 2, 3, 9):
        message = backend.render(NOTE, PHONE, ref=1, attempt=attempt)
        waits.append((await outcomes(backend, [message]))[1].retry_after)
    assert waits == [60.0, 120.0, 240.0, 3600.0]


# The access token


async def test_many_messages_share_one_token(backend: FcmBackend, google: Google) -> None:
    batch = [backend.render(NOTE, PHONE, ref=number) for number in range(50)]
    found = await outcomes(backend, batch)
    assert {outcome.verdict for outcome in found.values()} == {Verdict.SENT}
    assert google.tokens == 1
    (grant,) = google.grants
    assert grant["iss"] == ACCOUNT["client_email"]
    assert grant["scope"] == "https://www.googleapis.com/auth/firebase.messaging"
    sent = [request for request in google.requests if request.path != "/token"]
    assert {request.path for request in sent} == {"/v1/projects/hub-test/messages:send"}
    assert {request.headers["Authorization"] for request in sent} == {"Bearer ya29.secret-1"}


async def test_a_token_that_is_refused_is_replaced_once(
    backend: FcmBackend, google: Google
) -> None:
    def answer(request: Request) -> Said:
        if request.headers["Authorization"] == "Bearer ya29.secret-1":
            return Said(401, error("UNAUTHENTICATED"))
        return Said(200, {"name": "n"})

    google.answer = answer
    batch = [backend.render(NOTE, PHONE, ref=number) for number in range(20)]
    found = await outcomes(backend, batch)
    assert {outcome.verdict for outcome in found.values()} == {Verdict.SENT}
    assert google.tokens == 2


@pytest.mark.parametrize(
    ("status", "body", "verdict"),
    [
        (400, {"error": "invalid_grant"}, Verdict.MISCONFIGURED),
        (401, {"error": "invalid_client"}, Verdict.MISCONFIGURED),
        (400, "no JSON", Verdict.MISCONFIGURED),
    ],
)
async def test_a_service_account_that_google_refuses(
    status: int,
    body: Any,
    verdict: Verdict,
    backend: FcmBackend,
    google: Google,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(google, "grant", lambda _: Said(status, body))
    outcome = await send_one(backend, PHONE, NOTE)
    assert (outcome.verdict, outcome.may_have_arrived) == (verdict, False)


async def test_a_token_service_that_is_away_is_no_fault_of_the_credentials(google: Google) -> None:
    async with api() as away:
        base = away.base
    account = {**ACCOUNT, "token_uri": f"{base}/token"}
    async with opened(FcmBackend, credentials(google, service_account=account)) as backend:
        outcome = await send_one(backend, PHONE, NOTE)
    assert (outcome.verdict, outcome.may_have_arrived) == (Verdict.RETRY, False)


async def test_probe(backend: FcmBackend) -> None:
    assert "access token" in await backend.probe()


@pytest.mark.parametrize(
    "changes",
    [
        {"service_account": {**ACCOUNT, "token_uri": "https://evil.example/token"}},
        {"service_account": {**ACCOUNT, "token_uri": "http://169.254.169.254/token"}},
        {"base_url": "https://evil.example"},
        {"service_account": {**ACCOUNT, "private_key": "-----BEGIN nonsense"}},
        {"service_account": "no JSON"},
        {"service_account": {"type": "service_account"}},
        {"project_id": "../../other"},
        {"sevice_account": "x"},
    ],
)
def test_credentials_are_checked_without_asking_anybody(changes: dict[str, Any]) -> None:
    found = FcmBackend.check_credentials({"service_account": ACCOUNT, **changes})
    assert found
    assert PEM[60:100] not in "".join(found)
    assert FcmBackend.check_credentials({"service_account": json.dumps(ACCOUNT)}) == []


def test_google_alone_is_asked_without_the_seam(google: Google) -> None:
    with local_peers(debug=False):
        assert FcmBackend.check_credentials(credentials(google))
        with pytest.raises(InvalidAddress):
            FcmBackend(credentials(google))


# Topics


async def test_those_that_wait_for_a_token_give_up_together(
    google: Google, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = replace(FcmBackend.limits, request_seconds=1.0)
    monkeypatch.setattr(FcmBackend, "limits", short)
    monkeypatch.setattr(posting, "TOKEN_SECONDS", 0.3)
    monkeypatch.setattr(google, "grant", lambda _: Said(200, {}, after=0.9))
    async with opened(FcmBackend, credentials(google)) as backend:
        batch = [backend.render(NOTE, PHONE, ref=number) for number in range(30)]
        began = time.monotonic()
        found = await outcomes(backend, batch)
        assert time.monotonic() - began < 0.9
    # no message was posted
    assert {(each.verdict, each.may_have_arrived) for each in found.values()} == {
        (Verdict.RETRY, False)
    }


async def test_a_message_has_the_time_of_one_request_for_all_of_its_requests(
    google: Google, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = replace(FcmBackend.limits, request_seconds=1.0)
    monkeypatch.setattr(FcmBackend, "limits", short)
    google.answer = lambda _: Said(401, error("UNAUTHENTICATED"), after=0.7)
    async with opened(FcmBackend, credentials(google)) as backend:
        began = time.monotonic()
        outcome = await send_one(backend, PHONE, NOTE)
        assert time.monotonic() - began < 1.3
    assert google.tokens == 2  # it was at its second try
    assert (outcome.verdict, outcome.may_have_arrived) == (Verdict.RETRY, True)


async def test_subscribing_to_a_topic_and_leaving_it(backend: FcmBackend, google: Google) -> None:
    assert (await backend.subscribe(PHONE, "/topics/news")).verdict is Verdict.SENT
    google.always(409, error("ALREADY_EXISTS"))
    assert (await backend.subscribe(PHONE, "news")).verdict is Verdict.SENT
    google.always(200, {})
    assert (await backend.unsubscribe(PHONE, "news")).verdict is Verdict.SENT
    google.always(403, error("PERMISSION_DENIED"))
    refused = await backend.subscribe(PHONE, "news")
    assert (refused.verdict, refused.reason) == (Verdict.MISCONFIGURED, "PERMISSION_DENIED")
    with pytest.raises(InvalidAddress):
        await backend.subscribe(PHONE, "no/topic")
    asked = [(r.method, r.path) for r in google.requests if r.path != "/token"]
    base = f"/v1/projects/hub-test/registrations/{TOKEN}/topicSubscriptions"
    assert asked == [
        ("POST", f"{base}?topicName=news"),
        ("POST", f"{base}?topicName=news"),
        ("DELETE", f"{base}/news?allowMissing=true"),
        ("POST", f"{base}?topicName=news"),
    ]


@pytest.mark.parametrize("token", ["", " ", "a b", "x" * 4097, "ü", "a\nb"])
def test_tokens_that_are_none(token: str) -> None:
    with pytest.raises(InvalidAddress):
        FcmBackend.clean_address(token, {})
    assert FcmBackend.clean_address(f" {TOKEN}\n", {"type": "ios"}) == (TOKEN, {"type": "ios"})


async def test_nothing_secret_stands_in_logs_or_reprs(backend: FcmBackend, google: Google) -> None:
    google.always(400, error("INVALID_ARGUMENT", message=f"bad {TOKEN}"))
    with everything_logged() as lines:
        asyncio.get_running_loop().set_debug(True)
        message = backend.render(NOTE, PHONE, ref=1)
        outcome = (await outcomes(backend, [message]))[1]
        asyncio.get_running_loop().set_debug(False)
    said = "\n".join([*lines, repr(message), repr(outcome), repr(backend), repr(PHONE)])
    for secret in (TOKEN, WORDS, "ya29.secret", PEM[60:100], "eyJ"):
        assert secret not in said
