"""APNs: what is sent, what the answers mean, which credentials and addresses are taken."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from routing.push.backends import apns_issued, apns_message, apns_token
from routing.push.backends.answers import Answer
from routing.push.backends.apns import ApnsBackend
from routing.push.backends.apns_answers import ANSWERS, outcome_of
from routing.push.backends.apns_credentials import host_of
from routing.push.outcomes import (
    Address,
    InvalidAddress,
    Note,
    PayloadTooLarge,
    Scope,
    UnsupportedOption,
    Verdict,
)
from routing.push.redaction import redact
from tests.vendors.apns import TOPIC, ApnsPeer, Authority, apns_peer, new_key, private_pem
from tests.vendors.backend import everything_logged, local_peers, opened, outcomes, send_one

pytestmark = pytest.mark.embedded  # no database: once is enough

PEM = private_pem(new_key())
CREDENTIALS = {"key": PEM, "key_id": "ABCDE12345", "team_id": "TEAM123456", "topic": TOPIC}
TOKEN = "0a" * 32
PHONE = Address(token=TOKEN, extra={"environment": "production"})
WORDS = "Bob is leaving Carol"
NOTE = Note(title="Likes", body=WORDS, event_id=7, event_type="post_like", ttl=60, badge=3)
NOW = 1_700_000_000


@pytest.fixture(autouse=True)
def on_this_machine() -> Iterator[None]:
    shared = apns_issued.share_through(apns_issued.alone)
    with local_peers():
        yield
    apns_issued.share_through(shared)


@pytest.fixture
async def peer() -> AsyncIterator[ApnsPeer]:
    async with apns_peer() as found:
        yield found


@pytest.fixture
async def backend(peer: ApnsPeer) -> AsyncIterator[ApnsBackend]:
    async with opened(ApnsBackend, peer.credentials()) as found:
        assert isinstance(found, ApnsBackend)
        yield found


def built(note: Note) -> tuple[dict[str, str], dict[str, Any]]:
    message = apns_message.build(note, topic=TOPIC, at=NOW)
    return dict(message.headers), json.loads(message.body)


def with_options(**options: Any) -> Note:
    return Note(body="x", options={"apns": options})


# What is sent


async def test_the_request(backend: ApnsBackend, peer: ApnsPeer) -> None:
    outcome = await send_one(backend, PHONE, NOTE)
    assert (outcome.verdict, outcome.status) == (Verdict.SENT, 200)
    assert len(outcome.provider_id) == 36
    request = await peer.last()
    headers = request["headers"]
    assert headers[":path"] == f"/3/device/{TOKEN}"
    assert headers["apns-topic"] == TOPIC
    assert headers["apns-push-type"] == "alert"
    assert headers["apns-priority"] == "10"
    assert headers["authorization"].startswith("bearer eyJ")
    assert json.loads(request["body"]) == {
        "aps": {"alert": {"title": "Likes", "body": WORDS}, "badge": 3},
        "event": 7,
        "type": "post_like",
    }


def test_headers() -> None:
    headers, _ = built(Note(body="x", ttl=60, collapse_id="event-7", priority="low"))
    assert headers == {
        "apns-topic": TOPIC,
        "apns-push-type": "alert",
        "apns-priority": "5",
        "apns-expiration": str(NOW + 60),
        "apns-collapse-id": "event-7",
    }
    assert built(Note(body="x"))[0]["apns-expiration"] == "0"  # now or never
    month = 30 * 24 * 3600
    assert built(Note(body="x", ttl=10**9))[0]["apns-expiration"] == str(NOW + month)
    own = with_options(
        priority=1, expiration=5, topic="org.other", collapse_id="c", push_type="voip",
        id="4CB0C2D7-3D6C-4A53-8F5E-1E7A0E3C1B11",
    )  # fmt: skip
    assert built(own)[0] == {
        "apns-topic": "org.other.voip",
        "apns-push-type": "voip",
        "apns-priority": "1",
        "apns-expiration": "5",
        "apns-collapse-id": "c",
        "apns-id": "4cb0c2d7-3d6c-4a53-8f5e-1e7a0e3c1b11",
    }


def test_all_options_of_the_payload() -> None:
    note = Note(
        title="Likes",
        body="Bob likes it",
        url="/posts/1",
        tag="post-1",
        data={"post": 1},
        badge=0,
        sound={"critical": 1, "name": "ping.caf", "volume": 0.5},
        image="https://e.org/b.png",
        options={
            "apns": {
                "subtitle": "Post",
                "subtitle_loc_key": "S",
                "subtitle_loc_args": [1],
                "action_loc_key": "OPEN",
                "launch_image": "l.png",
                "category": "LIKE",
                "thread_id": "post-1",
                "target_content_id": "w",
                "interruption_level": "time-sensitive",
                "relevance_score": 0.5,
                "filter_criteria": "work",
                "url_args": ["a"],
                "content_available": True,
                "extra": {"mine": [1]},
            }
        },
    )
    headers, payload = built(note)
    assert headers["apns-push-type"] == "alert"
    assert payload == {
        "aps": {
            "alert": {
                "title": "Likes",
                "body": "Bob likes it",
                "subtitle": "Post",
                "subtitle-loc-key": "S",
                "subtitle-loc-args": ["1"],
                "action-loc-key": "OPEN",
                "launch-image": "l.png",
            },
            "badge": 0,
            "sound": {"critical": 1, "name": "ping.caf", "volume": 0.5},
            "category": "LIKE",
            "thread-id": "post-1",
            "target-content-id": "w",
            "interruption-level": "time-sensitive",
            "relevance-score": 0.5,
            "filter-criteria": "work",
            "url-args": ["a"],
            "content-available": 1,
            "mutable-content": 1,
        },
        "post": 1,
        "url": "/posts/1",
        "tag": "post-1",
        "image": "https://e.org/b.png",
        "mine": [1],
    }


def test_texts_that_the_phone_translates() -> None:
    note = Note(
        title="Likes",
        body="x",
        options={"apns": {"loc_key": "LIKE", "loc_args": ["Bob", 3], "title_loc_key": "T"}},
    )
    alert = built(note)[1]["aps"]["alert"]
    assert alert == {"loc-key": "LIKE", "loc-args": ["Bob", "3"], "title-loc-key": "T"}


def test_plain_words_and_only_a_badge() -> None:
    assert built(Note(body="Grüße"))[1] == {"aps": {"alert": "Grüße"}}
    headers, payload = built(Note(badge=4))
    assert (headers["apns-push-type"], payload) == ("alert", {"aps": {"badge": 4}})


def test_silent_is_silent() -> None:
    note = Note(
        title="x", body="y", badge=3, sound="s", image="i", silent=True, data={"sync": 1},
        priority="high",
    )  # fmt: skip
    headers, payload = built(note)
    assert payload == {"aps": {"content-available": 1}, "sync": 1}
    assert (headers["apns-push-type"], headers["apns-priority"]) == ("background", "5")


def test_a_live_activity_and_a_raw_payload() -> None:
    activity = with_options(
        push_type="liveactivity", timestamp=1, event="update", content_state={"goals": 1},
        stale_date=2, dismissal_date=3, attributes_type="Game", attributes={"a": 1},
    )  # fmt: skip
    headers, payload = built(activity)
    assert headers["apns-topic"] == f"{TOPIC}.push-type.liveactivity"
    assert payload["aps"]["content-state"] == {"goals": 1}
    headers, payload = built(Note(body="x", raw={"apns": {"aps": {"content-available": 1}}}))
    assert (headers["apns-push-type"], payload) == ("background", {"aps": {"content-available": 1}})
    mdm = Note(raw={"apns": {"mdm": "magic"}}, options={"apns": {"push_type": "mdm"}})
    assert built(mdm)[1] == {"mdm": "magic"}


@pytest.mark.parametrize(
    "note",
    [
        with_options(langauge="de"),
        with_options(push_type="telegram"),
        with_options(push_type="background"),
        with_options(priority=7),
        with_options(interruption_level="loud"),
        with_options(relevance_score="much"),
        with_options(relevance_score=-1),
        with_options(loc_args="Bob"),
        with_options(expiration=-1),
        with_options(topic="a b"),
        with_options(topic="a\r\nx: y"),
        with_options(collapse_id="x" * 65),
        with_options(collapse_id="a\nb"),
        with_options(id="seven"),
        with_options(extra={"aps": {}}),
        with_options(extra=[1]),
        Note(body="x", data={"aps": {}}),
        Note(silent=True, options={"apns": {"subtitle": "x"}}),
        Note(silent=True, options={"apns": {"priority": 10}}),
        Note(silent=True, options={"apns": {"push_type": "alert"}}),
    ],
)
def test_what_apple_would_refuse_is_refused_here(note: Note) -> None:
    with pytest.raises(UnsupportedOption):
        built(note)


@pytest.mark.parametrize(("push_type", "limit"), [("alert", 4096), ("voip", 5120)])
def test_the_size_is_checked_before_anything_is_sent(push_type: str, limit: int) -> None:
    backend = ApnsBackend(CREDENTIALS)
    options = {"apns": {"push_type": push_type}}
    rest = len(backend.render(Note(body="", data="ü", options=options), PHONE, ref=1).body) - 2
    fits = Note(data="ü" * ((limit - rest) // 2) + "x" * ((limit - rest) % 2), options=options)
    assert len(backend.render(fits, PHONE, ref=1).body) == limit
    with pytest.raises(PayloadTooLarge) as caught:
        backend.render(Note(data=f"{fits.data}x", options=options), PHONE, ref=1)
    assert (caught.value.size, caught.value.limit) == (limit + 1, limit)


async def test_each_recipient_has_a_badge_of_their_own(
    backend: ApnsBackend, peer: ApnsPeer
) -> None:
    batch = [
        backend.render(
            Note(body="x", badge=number), Address(token=f"0{number}", extra=PHONE.extra), ref=number
        )
        for number in range(5)
    ]
    await outcomes(backend, batch)
    came = (await peer.stats())["came"]
    found = {r["headers"][":path"][-1]: json.loads(r["body"])["aps"]["badge"] for r in came}
    assert found == {str(number): number for number in range(5)}


# What the answers mean

REFUSED = {"verdict": Verdict.REFUSED, "suspends": False, "alert": False, "scope": Scope.DELIVERY}
FOREIGN = {"verdict": Verdict.REFUSED, "suspends": True, "scope": Scope.APPLICATION}
CONFIG = {"verdict": Verdict.MISCONFIGURED, "scope": Scope.APPLICATION, "suspends": False}
RETRY = {"verdict": Verdict.RETRY, "scope": Scope.DELIVERY}
SOON = {**RETRY, "retry_after": 1.0}
BUSY = {"verdict": Verdict.RETRY, "scope": Scope.DEVICE}
SINCE = datetime.fromtimestamp(NOW, UTC)
GONE = {"verdict": Verdict.GONE, "scope": Scope.DEVICE, "gone_since": SINCE}
ALARM = {"verdict": Verdict.REFUSED, "suspends": False, "alert": True}

ROWS: list[tuple[int, str, dict[str, str], dict[str, Any]]] = [
    (200, "", {}, {"verdict": Verdict.SENT}),
    (400, "BadDeviceToken", {}, FOREIGN),
    (400, "DeviceTokenNotForTopic", {}, FOREIGN),
    (400, "BadTopic", {}, CONFIG),
    (400, "MissingTopic", {}, CONFIG),
    (400, "TopicDisallowed", {}, CONFIG),
    (400, "BadCollapseId", {}, REFUSED),
    (400, "BadExpirationDate", {}, REFUSED),
    (400, "BadMessageId", {}, REFUSED),
    (400, "BadPriority", {}, REFUSED),
    (400, "InvalidPushType", {}, REFUSED),
    (400, "DuplicateHeaders", {}, REFUSED),
    (400, "PayloadEmpty", {}, REFUSED),
    (400, "MissingDeviceToken", {}, REFUSED),
    (400, "IdleTimeout", {}, SOON),
    (400, "SomethingNew", {}, ALARM),
    (403, "ExpiredProviderToken", {}, SOON),
    (403, "InvalidProviderToken", {}, CONFIG),
    (403, "MissingProviderToken", {}, CONFIG),
    (403, "BadCertificate", {}, CONFIG),
    (403, "BadCertificateEnvironment", {}, CONFIG),
    (403, "Forbidden", {}, CONFIG),
    (403, "UnrelatedKeyIdInToken", {}, CONFIG),
    (403, "BadEnvironmentKeyIdInToken", {}, CONFIG),
    (403, "SomethingNew", {}, ALARM),
    (404, "BadPath", {}, REFUSED),
    (405, "MethodNotAllowed", {}, REFUSED),
    (410, "Unregistered", {}, GONE),
    (410, "ExpiredToken", {}, GONE),
    (410, "", {}, ALARM),  # to lose a device must be earned
    (413, "PayloadTooLarge", {}, REFUSED),
    (429, "TooManyRequests", {}, {**BUSY, "retry_after": 60.0}),
    (429, "TooManyRequests", {"retry-after": "7"}, {**BUSY, "retry_after": 7.0}),
    (
        429,
        "TooManyProviderTokenUpdates",
        {},
        {
            "verdict": Verdict.RETRY,
            "scope": Scope.APPLICATION,
            "retry_after": 1200.0,
            "alert": True,
        },
    ),
    (500, "InternalServerError", {}, {**RETRY, "retry_after": None}),
    (502, "", {}, RETRY),
    (503, "ServiceUnavailable", {}, RETRY),
    (503, "Shutdown", {"retry-after": "5"}, {**RETRY, "retry_after": 5.0}),
    (302, "", {}, ALARM),
    (418, "", {}, ALARM),
]


@pytest.mark.parametrize(("status", "reason", "headers", "expected"), ROWS)
async def test_every_row_of_the_table(
    status: int,
    reason: str,
    headers: dict[str, str],
    expected: dict[str, Any],
    backend: ApnsBackend,
    peer: ApnsPeer,
) -> None:
    said = {"reason": reason, "timestamp": NOW * 1000} if reason else ""
    await peer.says(status, said, **headers)
    outcome = await send_one(backend, PHONE, NOTE)
    assert (outcome.status, outcome.reason) == (status, reason or f"HTTP {status}")
    assert {name: getattr(outcome, name) for name in expected} == expected


def test_no_row_is_without_a_test() -> None:
    assert {status for status, reason in ANSWERS if not reason} <= {row[0] for row in ROWS}
    named = {(status, reason) for status, reason in ANSWERS if reason}
    assert named <= {(status, reason) for status, reason, _, _ in ROWS}


def answer(status: int, body: Any, **headers: str) -> Answer:
    return Answer(status, headers, json.dumps(body).encode())


def test_waits_double() -> None:
    busy = answer(429, {"reason": "TooManyRequests"})
    waits = [outcome_of(busy, attempt=attempt).retry_after for attempt in (1, 2, 3, 9)]
    assert waits == [60.0, 120.0, 240.0, 3600.0]


def test_a_token_that_is_expired_twice_means_our_clock_is_wrong() -> None:
    expired = answer(403, {"reason": "ExpiredProviderToken"})
    assert outcome_of(expired, attempt=2).verdict is Verdict.MISCONFIGURED


@pytest.mark.parametrize("timestamp", [None, "x", True, 1e300, [1]])
def test_a_410_without_a_time_that_can_be_read(timestamp: Any) -> None:
    said = answer(410, {"reason": "Unregistered", "timestamp": timestamp})
    outcome = outcome_of(said, attempt=1)
    assert (outcome.verdict, outcome.gone_since) == (Verdict.GONE, None)


@pytest.mark.parametrize(
    "body", [b"[1]", b"{", b'{"reason": ["x"]}', b'{"reason": "a b"}', b"\xff"]
)
def test_bodies_that_say_nothing(body: bytes) -> None:
    assert outcome_of(Answer(500, {}, body), attempt=1).reason == "HTTP 500"


# Two environments

UNKNOWN = Address(token=TOKEN)


async def test_a_device_of_unknown_environment_is_tried_in_both(peer: ApnsPeer) -> None:
    async with apns_peer() as sandbox:
        await peer.says(400, {"reason": "BadDeviceToken"})
        credentials = peer.credentials(sandbox_base_url=sandbox.base, ca=peer.ca + sandbox.ca)
        # The two peers check signatures by keys of their own.
        async with opened(ApnsBackend, credentials) as backend:
            assert isinstance(backend, ApnsBackend)
            first = await send_one(backend, UNKNOWN, NOTE)
            both = (await peer.stats())["requests"], (await sandbox.stats())["requests"]
            named = Address(token=TOKEN, extra={"environment": "production"})
            only = await send_one(backend, named, NOTE)
    # The sandbox refused the token of another key: production's answer is what counts.
    assert (first.verdict, first.reason, first.suspends) == (
        Verdict.REFUSED,
        "BadDeviceToken",
        True,
    )
    assert both == (1, 1)
    assert only.reason == "BadDeviceToken"


async def test_where_a_device_was_found_is_remembered(peer: ApnsPeer) -> None:
    async with apns_peer(signing=peer.key) as sandbox:
        await peer.says(400, {"reason": "BadDeviceToken"})
        credentials = peer.credentials(sandbox_base_url=sandbox.base, ca=peer.ca + sandbox.ca)
        async with opened(ApnsBackend, credentials) as backend:
            found = [await send_one(backend, UNKNOWN, NOTE) for _ in range(3)]
        asked = (await peer.stats())["requests"], (await sandbox.stats())["requests"]
    assert [outcome.verdict for outcome in found] == [Verdict.SENT] * 3
    assert asked == (1, 3)


def test_hosts_and_ports() -> None:
    assert host_of({}, "production") == ("api.push.apple.com", 443)
    assert host_of({"port": 2197}, "sandbox") == ("api.sandbox.push.apple.com", 2197)


# Credentials


@pytest.mark.parametrize(
    "changes",
    [
        {"key": "-----BEGIN nonsense"},
        {"key": ""},
        {"key_id": "short"},
        {"team_id": None},
        {"topic": ""},
        {"topic": "a b"},
        {"port": 80},
        {"environment": "test"},
        {"base_url": "https://evil.example"},
        {"base_url": "http://localhost:1"},
        {"ca": "x"},
        {"kee": "x"},
    ],
)
def test_credentials_are_checked_without_asking_anybody(changes: dict[str, Any]) -> None:
    found = ApnsBackend.check_credentials({**CREDENTIALS, **changes})
    assert found
    assert PEM[60:100] not in "".join(found)
    assert ApnsBackend.check_credentials(CREDENTIALS) == []


def test_apple_alone_is_asked_without_the_seam() -> None:
    given = {**CREDENTIALS, "base_url": "https://localhost:1"}
    with local_peers(debug=False):
        assert ApnsBackend.check_credentials(given)
        with pytest.raises(InvalidAddress):
            ApnsBackend(given)


def test_certificates_are_checked_too() -> None:
    authority, key = Authority(), new_key()
    good = authority.client(key)
    locked = private_pem(key, b"secret")
    check = ApnsBackend.check_credentials
    assert check({"certificate": good + private_pem(key)}) == []
    assert check({"certificate": private_pem(key) + good}) == []
    assert check({"certificate": good + locked, "passphrase": "secret"}) == []
    for wrong in (
        {"certificate": good},
        {"certificate": private_pem(key)},
        {"certificate": good + private_pem(new_key())},
        {"certificate": good + locked, "passphrase": "wrong"},
        {"certificate": authority.client(key, days=-1) + private_pem(key)},
        {"certificate": authority.client(key, uid="") + private_pem(key)},
    ):
        assert check(wrong)


async def test_a_certificate_instead_of_a_token() -> None:
    authority, key = Authority(), new_key()
    async with apns_peer(authority=authority, client_certificates=True) as peer:
        credentials = {
            "certificate": authority.client(key) + private_pem(key, b"secret"),
            "passphrase": "secret",
            "base_url": peer.base,
            "ca": peer.ca,
        }
        async with opened(ApnsBackend, credentials) as backend:
            outcome = await send_one(backend, PHONE, NOTE)
        headers = (await peer.last())["headers"]
        foreign = Authority().client(key) + private_pem(key)
        stranger = {**credentials, "certificate": foreign, "passphrase": ""}
        async with opened(ApnsBackend, stranger) as backend:
            refused = await send_one(backend, PHONE, NOTE)
    assert outcome.verdict is Verdict.SENT
    assert (headers["apns-topic"], headers.get("authorization")) == (TOPIC, None)
    assert refused.verdict in (Verdict.MISCONFIGURED, Verdict.RETRY)


async def test_probe(backend: ApnsBackend, peer: ApnsPeer) -> None:
    await peer.says(400, {"reason": "BadDeviceToken"})
    assert "Apple knows" in await backend.probe()
    await peer.says(403, {"reason": "InvalidProviderToken"})
    with pytest.raises(RuntimeError, match="InvalidProviderToken"):
        await backend.probe()


# Addresses


@pytest.mark.parametrize("token", ["", "xyz", "abc", "ab" * 101, "ab/../", "ü" * 64])
def test_tokens_that_are_none(token: str) -> None:
    with pytest.raises(InvalidAddress):
        ApnsBackend.clean_address(token, {})
    with pytest.raises(InvalidAddress):
        ApnsBackend(CREDENTIALS).check_address(Address(token=token))


def test_tokens_are_stored_in_one_form() -> None:
    given = "<740F4707 bebcf74f>\n"
    assert ApnsBackend.clean_address(given, {"environment": ""})[0] == "740f4707bebcf74f"
    assert ApnsBackend.clean_address("ab" * 100, {"environment": "sandbox"})[0] == "ab" * 100
    with pytest.raises(InvalidAddress):
        ApnsBackend.clean_address("ab", {"environment": "test"})
    with pytest.raises(InvalidAddress):
        ApnsBackend(CREDENTIALS).render(NOTE, Address(token="news", kind="topic"), ref=1)


async def test_nothing_secret_stands_in_logs_or_reprs(backend: ApnsBackend, peer: ApnsPeer) -> None:
    await peer.says(400, {"reason": f"bad {TOKEN}"})
    levels = {name: logging.getLogger(name).level for name in ("h2", "hpack")}
    with everything_logged() as lines:
        for name in levels:  # without the project's QUIET
            logging.getLogger(name).setLevel(logging.DEBUG)
        asyncio.get_running_loop().set_debug(True)
        message = backend.render(NOTE, PHONE, ref=1)
        outcome = (await outcomes(backend, [message]))[1]
        asyncio.get_running_loop().set_debug(False)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
    # hpack writes all headers at DEBUG; the project's filter takes the secrets out of its lines.
    ours = [redact(line) if line.startswith("hpack") else line for line in lines]
    said = "\n".join([*ours, repr(message), repr(outcome), repr(backend), repr(PHONE)])
    for secret in (TOKEN, WORDS, PEM[60:100], "eyJ"):
        assert secret not in said


# The token


async def test_a_token_is_kept_for_45_minutes_and_never_renewed_before_20(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [float(NOW)]
    monkeypatch.setattr(apns_token.time, "time", lambda: clock[0])
    token = apns_token.ProviderToken(key=private_pem(new_key()), key_id="K", team_id="T")
    first = await token.header()
    clock[0] += 19 * 60
    await token.expired()
    assert await token.header() == first
    clock[0] += 2 * 60
    await token.expired()
    second = await token.header()
    assert second != first
    clock[0] += 44 * 60
    assert await token.header() == second
    token.hold()  # 429 TooManyProviderTokenUpdates
    await token.expired()
    clock[0] += 10 * 60
    assert await token.header() == second
    clock[0] += timedelta(minutes=6).total_seconds()
    assert await token.header() != second


async def test_a_store_that_is_away_does_not_stop_a_good_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [float(NOW)]
    monkeypatch.setattr(apns_token.time, "time", lambda: clock[0])
    token = apns_token.ProviderToken(key=private_pem(new_key()), key_id="K", team_id="T")
    first = await token.header()

    async def away(key: str, *, at: int, before: int) -> int:
        raise OSError

    apns_issued.share_through(away)
    clock[0] += 50 * 60
    assert await token.header() == first
    clock[0] += 10 * 60
    with pytest.raises(OSError):
        await token.header()


async def test_without_any_token_nothing_is_sent_and_everything_answered(
    backend: ApnsBackend, peer: ApnsPeer
) -> None:
    async def away(key: str, *, at: int, before: int) -> int:
        raise OSError

    apns_issued.share_through(away)
    found = await outcomes(backend, [backend.render(NOTE, PHONE, ref=number) for number in (1, 2)])
    said = {(each.verdict, each.may_have_arrived) for each in found.values()}
    assert said == {(Verdict.RETRY, False)}
    assert (await peer.stats())["requests"] == 0
