"""Web Push: what goes over the wire, and what each answer of a push service means."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from routing.push.backends import ece, webpush
from routing.push.backends.webpush import WebPushBackend
from routing.push.outcomes import (
    Address,
    InvalidAddress,
    Note,
    Outcome,
    PayloadTooLarge,
    Scope,
    UnsupportedOption,
    Verdict,
)
from routing.push.vapid import LIFETIME, VapidKey, decode
from tests.vendors.backend import everything_logged, local_peers, opened, outcomes, send_one
from tests.vendors.web_push_testing import web_push_testing
from tests.vendors.webpush import Browser, PushService, push_service

pytestmark = pytest.mark.embedded  # no database: once is enough

KEY = VapidKey.generate()
OLD = VapidKey.generate()
CREDENTIALS = {"private_key": KEY.private_text(), "subject": "mailto:ops@example.com"}
SECRET_WORDS = "Bob is leaving Carol"
NOTE = Note(title="Likes", body=SECRET_WORDS, event_id=7, event_type="post_like", ttl=3600)


@pytest.fixture(autouse=True)
def on_this_machine() -> Iterator[None]:
    with local_peers():
        yield


@pytest.fixture
async def service() -> AsyncIterator[PushService]:
    async with push_service() as found:
        yield found


@pytest.fixture
async def backend() -> AsyncIterator[WebPushBackend]:
    async with opened(WebPushBackend, CREDENTIALS) as found:
        assert isinstance(found, WebPushBackend)
        yield found


def browser_at(url: str, vapid: str = KEY.id) -> Address:
    return Address(token=url, extra={**Browser.new().keys, "vapid": vapid})


# What goes over the wire


def test_the_vector_of_rfc_8291() -> None:
    """Appendix A, with the keys and the salt that it names."""
    number = int.from_bytes(decode("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"), "big")
    body = ece.encrypt(
        b"When I grow up, I want to be a watermelon",
        receiver=decode(
            "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
        ),
        auth=decode("BTBZMqHH6r4Tts7J_aSIgg"),
        sender=ec.derive_private_key(number, ec.SECP256R1()),
        salt=decode("DGv6ra1nlYgDCS1FRnbzlw"),
    )
    assert body == decode(
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS"
        "6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qu"
        "lcy4a-fN"
    )


@pytest.mark.parametrize("text", ["plain", "Grüße, 世界 🎉", "x" * ece.MAX_PLAINTEXT])
async def test_a_push_service_of_others_decrypts_it_and_accepts_our_signature(
    text: str, backend: WebPushBackend
) -> None:
    note = Note(raw={"webpush": text})
    async with web_push_testing() as service:
        subscription = await service.subscribe(KEY.public)
        token, extra = backend.clean_address(subscription["endpoint"], subscription["keys"])
        address = Address(token=token, extra=extra)

        assert (await send_one(backend, address, note)).verdict is Verdict.SENT
        assert await service.received(subscription) == [text]

        foreign = await service.subscribe(OLD.public)
        token, extra = backend.clean_address(foreign["endpoint"], foreign["keys"])
        refused = await send_one(backend, Address(token=token, extra=extra), note)
        assert refused.status == 400

        await service.expire(subscription)
        assert (await send_one(backend, address, note)).verdict is Verdict.GONE


async def test_the_headers(backend: WebPushBackend, service: PushService) -> None:
    note = Note(title="Hello", ttl=90, priority="high", collapse_id="event-7")
    await send_one(backend, browser_at(service.url("/push/a%2Fb?c=%20d")), note)
    (request,) = service.received
    assert request.path == "/push/a%2Fb?c=%20d"  # as it was given
    sent = request.headers
    assert sent["ttl"] == "90"
    assert sent["urgency"] == "high"
    assert sent["topic"] == "event-7"
    assert sent["content-encoding"] == "aes128gcm"
    assert sent["content-type"] == "application/octet-stream"
    assert not {"cookie", "accept-encoding", "transfer-encoding"} & sent.keys()


async def test_the_signature_names_the_origin_and_ends_in_half_a_day(
    backend: WebPushBackend, service: PushService
) -> None:
    await send_one(backend, browser_at(service.url()), NOTE)
    token, _, public = (
        service.received[0].headers["authorization"][len("vapid t=") :].partition(", k=")
    )
    assert public == KEY.public
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), decode(public))
    claims = jwt.decode(token, key, algorithms=["ES256"], audience=service.url("").rstrip("/"))
    assert claims["sub"] == "mailto:ops@example.com"
    assert abs(claims["exp"] - time.time() - LIFETIME) < 60


async def test_many_messages_to_one_origin_share_a_signature_and_connections(
    backend: WebPushBackend, service: PushService
) -> None:
    batch = [backend.render(NOTE, browser_at(service.url()), ref=i) for i in range(300)]
    assert {o.verdict for o in (await outcomes(backend, batch)).values()} == {Verdict.SENT}
    assert len({request.headers["authorization"] for request in service.received}) == 1
    assert len({request.body for request in service.received}) == 300
    assert service.connections <= webpush.PER_ORIGIN


async def test_devices_of_an_older_key_are_signed_for_with_that_key(service: PushService) -> None:
    rotated = {**CREDENTIALS, "previous_private_keys": [OLD.private_text()]}
    async with opened(WebPushBackend, rotated) as backend:
        await send_one(backend, browser_at(service.url(), vapid=OLD.id), NOTE)
    assert service.received[0].headers["authorization"].endswith(f"k={OLD.public}")
    assert WebPushBackend.stamp(rotated) == {"vapid": KEY.id}


async def test_no_body_when_there_is_nothing_to_say(
    backend: WebPushBackend, service: PushService
) -> None:
    await send_one(backend, browser_at(service.url()), Note(ttl=60, collapse_id="x"))
    (request,) = service.received
    assert request.body == b""
    assert "content-encoding" not in request.headers


def test_the_payload_is_what_the_service_worker_reads() -> None:
    note = Note(
        title="Likes",
        body="Bob likes your post",
        url="/posts/1",
        icon="/i.png",
        image="/b.png",
        data={"post": 1},
        badge=0,
        silent=True,
        collapse_id="e7",
        actions=({"action": "open", "title": "Open"},),
        event_id=7,
        event_type="post_like",
    )
    assert json.loads(webpush.payload_of(note)) == {
        "title": "Likes",
        "body": "Bob likes your post",
        "url": "/posts/1",
        "icon": "/i.png",
        "image": "/b.png",
        "tag": "e7",
        "data": {"post": 1},
        "badge": 0,
        "silent": True,
        "actions": [{"action": "open", "title": "Open"}],
        "event": 7,
        "type": "post_like",
    }


@pytest.mark.parametrize(
    ("raw", "payload"),
    [(b"\x00\x01", b"\x00\x01"), ("é", "é".encode()), ({"a": [1]}, b'{"a":[1]}'), (None, b"")],
)
def test_a_raw_payload_replaces_ours(raw: Any, payload: bytes) -> None:
    assert webpush.payload_of(Note(title="not this", raw={"webpush": raw})) == payload


def test_the_size_is_checked_to_the_byte_before_any_request(backend: WebPushBackend) -> None:
    address = browser_at("http://127.0.0.1:9/push")
    fits = backend.render(Note(raw={"webpush": b"x" * 3993}), address, ref=1)
    assert len(fits.body) == 4096
    with pytest.raises(PayloadTooLarge) as caught:
        backend.render(Note(raw={"webpush": "é" * 1997}), address, ref=1)
    assert (caught.value.size, caught.value.limit) == (3994, 3993)


@pytest.mark.parametrize(
    ("note", "headers"),
    [
        (Note(ttl=-5), {"TTL": "0", "Urgency": "normal"}),
        (Note(ttl=10**9, priority="low"), {"TTL": "2419200", "Urgency": "low"}),
        (
            Note(options={"webpush": {"urgency": "very-low", "topic": "news"}}, collapse_id="e7"),
            {"TTL": "0", "Urgency": "very-low", "Topic": "news"},
        ),
        (Note(options={"apns": {"sound": "x"}}), {"TTL": "0", "Urgency": "normal"}),
    ],
)
def test_options_become_headers(note: Note, headers: dict[str, str]) -> None:
    assert webpush.headers_of(note, WebPushBackend.limits.max_ttl) == headers


@pytest.mark.parametrize("collapse_id", ["é", "a b", "x" * 33, "a/b+c="])
def test_a_collapse_id_that_is_no_topic_is_hashed_into_one(collapse_id: str) -> None:
    topic = webpush.topic_of(collapse_id)
    assert webpush.TOPIC.fullmatch(topic)
    assert topic == webpush.topic_of(collapse_id)


@pytest.mark.parametrize(
    "note",
    [
        Note(options={"webpush": {"urgnecy": "high"}}),
        Note(options={"webpush": {"urgency": "highest"}}),
        Note(options={"webpush": {"topic": "x" * 33}}),
        Note(options={"webpush": {"topic": "a\r\nX-Evil: 1"}}),
    ],
)
def test_options_that_no_push_service_knows_are_refused(note: Note) -> None:
    with pytest.raises(UnsupportedOption):
        webpush.headers_of(note, 60)


# What each answer means

SENT, RETRY, GONE, REFUSED = Verdict.SENT, Verdict.RETRY, Verdict.GONE, Verdict.REFUSED
FOREIGN = {"verdict": REFUSED, "suspends": True, "scope": Scope.ORIGIN}
BUSY = {"verdict": RETRY, "scope": Scope.ORIGIN}
ALERT = {"verdict": REFUSED, "alert": True}
ROWS: list[tuple[int, Any, dict[str, str], dict[str, Any]]] = [
    (200, b"", {}, {"verdict": SENT}),
    (201, b"", {}, {"verdict": SENT}),
    (202, b"", {}, {"verdict": SENT}),
    (204, b"", {}, {"verdict": SENT}),
    (404, {"errno": 102}, {}, {"verdict": GONE, "reason": "errno 102", "scope": Scope.DEVICE}),
    (410, {"errno": 103}, {}, {"verdict": GONE, "reason": "errno 103", "scope": Scope.DEVICE}),
    (410, {"errno": 105}, {}, {"verdict": GONE, "reason": "errno 105"}),
    (410, {"errno": 106}, {}, {"verdict": GONE, "reason": "errno 106"}),
    (413, {"errno": 104}, {}, {"verdict": REFUSED, "suspends": False, "alert": False}),
    *((400, {"errno": n}, {}, {"verdict": REFUSED}) for n in (101, 110, 111, 112, 113)),
    (400, b"Bad Request", {}, {"verdict": REFUSED, "suspends": False, "reason": "HTTP 400"}),
    (401, {"errno": 109}, {}, FOREIGN),
    (403, {"reason": "BadJwtToken"}, {}, {**FOREIGN, "reason": "BadJwtToken"}),
    (403, b"", {}, FOREIGN),
    (400, b"<TITLE>UnauthorizedRegistration</TITLE>", {}, FOREIGN),
    (429, b"", {}, {**BUSY, "retry_after": 60.0}),
    (429, b"", {"Retry_After": "7"}, {**BUSY, "retry_after": 7.0}),
    (500, b"", {}, {"verdict": RETRY, "retry_after": None, "may_have_arrived": False}),
    (502, b"", {}, {"verdict": RETRY}),
    (503, {"errno": 201}, {"Retry_After": "120"}, {"verdict": RETRY, "retry_after": 120.0}),
    (503, {"errno": 201}, {}, {"verdict": RETRY, "retry_after": None}),
    (503, {"errno": 202}, {}, {"verdict": RETRY, "retry_after": 1.0}),
    (504, b"", {"Retry_After": "999999"}, {"verdict": RETRY, "retry_after": 3600.0}),
    (599, b"", {}, {"verdict": RETRY}),
    *((code, b"", {"Location": "/push/other"}, ALERT) for code in (301, 302, 307, 308)),
    (300, b"", {}, ALERT),
    (418, b"", {}, ALERT),
]


@pytest.mark.parametrize(("status", "body", "headers", "expected"), ROWS)
async def test_every_row_of_the_table(
    status: int,
    body: Any,
    headers: dict[str, str],
    expected: dict[str, Any],
    backend: WebPushBackend,
    service: PushService,
) -> None:
    url = service.answers("/push/one", status, body, **headers)
    outcome = await send_one(backend, browser_at(url), NOTE)
    assert outcome.status == status
    assert {name: getattr(outcome, name) for name in expected} == expected
    assert len(service.received) == 1  # no repeat, no redirect followed


@pytest.mark.parametrize(
    ("status", "body"), [(401, b""), (403, b""), (400, b"UnauthorizedRegistration")]
)
async def test_a_browser_that_subscribed_under_a_key_we_no_longer_have_is_gone(
    status: int, body: bytes, backend: WebPushBackend, service: PushService
) -> None:
    url = service.answers("/push/one", status, body)
    outcome = await send_one(backend, browser_at(url, vapid=OLD.id), NOTE)
    assert (outcome.verdict, outcome.reason) == (GONE, "VAPID key changed")
    assert not outcome.suspends


async def test_a_connection_that_is_refused_is_tried_again(backend: WebPushBackend) -> None:
    async with push_service() as closed:
        address = browser_at(closed.url())
    outcome = await send_one(backend, address, NOTE)
    assert (outcome.verdict, outcome.may_have_arrived) == (RETRY, False)


@pytest.mark.parametrize("manner", ["cut", "hang"])
async def test_without_an_answer_it_may_have_arrived(
    manner: str, service: PushService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webpush.guard, "TOTAL_SECONDS", 0.3)
    async with opened(WebPushBackend, CREDENTIALS) as backend:
        url = service.behaves("/push/one", manner)
        outcome = await send_one(backend, browser_at(url), NOTE)
    assert (outcome.verdict, outcome.may_have_arrived) == (RETRY, True)


async def test_an_answer_without_an_end_is_not_read_to_it(
    backend: WebPushBackend, service: PushService
) -> None:
    url = service.behaves("/push/one", "drip")
    service.replies["/push/one"].status = 500
    async with asyncio.timeout(5):
        assert (await send_one(backend, browser_at(url), NOTE)).status == 500


async def test_an_origin_that_hangs_does_not_hold_up_another(
    backend: WebPushBackend, service: PushService
) -> None:
    async with push_service() as slow:
        url = slow.behaves("/push/one", "hang")
        hanging = [backend.render(NOTE, browser_at(url), ref=f"slow {i}") for i in range(150)]
        quick = [backend.render(NOTE, browser_at(service.url()), ref=i) for i in range(150)]
        found: list[Any] = []
        sending = backend.send([*hanging, *quick])
        async with asyncio.timeout(8):
            async for ref, _ in sending:
                found.append(ref)
                if len(found) == len(quick):
                    break
        await sending.aclose()
        assert sorted(found) == list(range(150))
        assert slow.most_under_way == webpush.PER_ORIGIN


async def test_a_surprise_is_an_outcome_too(
    backend: WebPushBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def explode(message: Any) -> Outcome:
        raise RuntimeError(message.address.token)

    monkeypatch.setattr(backend, "_post", explode)
    with everything_logged() as lines:
        outcome = await send_one(backend, browser_at("http://127.0.0.1:9/secret-place"), NOTE)
    assert (outcome.verdict, outcome.reason) == (RETRY, "RuntimeError")
    assert "secret-place" not in "".join(lines)
    assert "RuntimeError" in "".join(lines)


# Who may register

GOOD = "https://updates.push.services.mozilla.com/wpush/v2/abc"


@pytest.mark.parametrize("spelling", [0, 1, 2])
def test_keys_are_taken_in_every_spelling_of_base64(spelling: int) -> None:
    keys = Browser.new().keys
    spelt = {
        name: [value, value + "=" * (-len(value) % 4), value.replace("-", "+").replace("_", "/")][
            spelling
        ]
        for name, value in keys.items()
    }
    token, extra = WebPushBackend.clean_address(GOOD, {**spelt, "type": "web"})
    assert token == GOOD
    assert extra == {**keys, "type": "web"}


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"p256dh": 123456, "auth": []},
        {"p256dh": "", "auth": ""},
        {"p256dh": "é" * 20},
        {"p256dh": "BAAA"},
        {"p256dh": "B" + "A" * 86},  # a point that is not on the curve
        {"p256dh": "x" * 5000},
        {"auth": "c2hvcnQ"},
        {"auth": "!!!"},
    ],
)
def test_keys_that_cannot_encrypt_are_refused(keys: dict[str, Any]) -> None:
    full = {**Browser.new().keys, **keys} if keys else {}
    with pytest.raises(InvalidAddress) as caught:
        WebPushBackend.clean_address(GOOD, full)
    for value in keys.values():
        assert not value or str(value) not in str(caught.value)


def test_credentials_are_checked_without_asking_anybody() -> None:
    assert WebPushBackend.check_credentials(CREDENTIALS) == []
    found = WebPushBackend.check_credentials(
        {"private_key": "nonsense", "subject": "mailto:ops@localhost", "privatekey": "x"}
    )
    assert [problem.partition(" ")[0] for problem in found] == [
        "privatekey",
        "private_key:",
        "subject",
    ]
    assert "nonsense" not in "".join(found)


# Nothing secret is said


@pytest.mark.parametrize("manner", ["answer", "cut", "refused"])
async def test_nothing_secret_stands_in_logs_or_reprs(
    manner: str, backend: WebPushBackend, service: PushService
) -> None:
    path = "/push/gAAAAsecretEndpoint"
    address = browser_at(service.behaves(path, manner))
    service.replies[path].status = 403
    service.replies[path].body = address.token.encode()
    if manner == "refused":
        async with push_service() as closed:
            address = browser_at(closed.url(path))
    loop = asyncio.get_running_loop()
    with everything_logged() as lines:
        loop.set_debug(True)
        message = backend.render(NOTE, address, ref=1)
        outcome = (await outcomes(backend, [message]))[1]
        loop.set_debug(False)
    said = "\n".join(
        [*lines, repr(message), repr(address), repr(outcome), repr(backend), repr(KEY)]
    )
    secrets = [path, *address.extra.values(), SECRET_WORDS, KEY.private_text(), "vapid t="]
    for secret in set(secrets) - {KEY.id}:
        assert secret not in said
