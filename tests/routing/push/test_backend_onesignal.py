"""OneSignal: one request for many, one outcome for each."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from routing.push.backends import onesignal
from routing.push.backends.onesignal import OneSignalBackend, said_of
from routing.push.outcomes import (
    Address,
    InvalidAddress,
    Note,
    PayloadTooLarge,
    Scope,
    UnsupportedOption,
    Verdict,
)
from tests.vendors.api import Api, api
from tests.vendors.backend import everything_logged, local_peers, opened, outcomes, send_one

pytestmark = pytest.mark.embedded  # no database: once is enough

APP = str(uuid.UUID(int=1))
KEY = "os_v2_app_verysecretkey"
WORDS = "Bob is leaving Carol"
NOTE = Note(title="Likes", body=WORDS, event_id=7, event_type="post_like", ttl=60)


def subscription(number: int) -> Address:
    return Address(token=str(uuid.UUID(int=number)))


ONE, TWO = subscription(1), subscription(2)


@pytest.fixture(autouse=True)
def on_this_machine() -> Iterator[None]:
    with local_peers():
        yield


@pytest.fixture
async def service() -> AsyncIterator[Api]:
    async with api() as found:
        found.always(200, {"id": "n-1", "external_id": None})
        yield found


@pytest.fixture
async def backend(service: Api) -> AsyncIterator[OneSignalBackend]:
    credentials = {"app_id": APP, "api_key": KEY, "base_url": service.base}
    async with opened(OneSignalBackend, credentials) as found:
        assert isinstance(found, OneSignalBackend)
        yield found


# One request


async def test_the_request(backend: OneSignalBackend, service: Api) -> None:
    await send_one(backend, ONE, NOTE)
    (request,) = service.requests
    assert request.path == "/notifications?c=push"
    assert request.headers["Authorization"] == f"Key {KEY}"
    said = request.json
    assert uuid.UUID(said.pop("idempotency_key"))
    assert said == {
        "app_id": APP,
        "target_channel": "push",
        "include_subscription_ids": [ONE.token],
        "contents": {"en": WORDS},
        "headings": {"en": "Likes"},
        "data": {"event": 7, "type": "post_like"},
        "ttl": 60,
    }


def test_options_become_fields() -> None:
    note = Note(
        title="Likes",
        body="Bob likes it",
        url="https://e.org/1",
        image="https://e.org/b.png",
        icon="https://e.org/i.png",
        data={"a": 1},
        badge=0,
        sound="ping.caf",
        priority="high",
        collapse_id="e7",
        ttl=10**9,
        actions=({"action": "open", "title": "Open"},),
        options={
            "onesignal": {
                "contents": {"de": "Bob mag es"},
                "headings": {"de": "Gefällt"},
                "channel_id": "c",
            }
        },
    )
    assert said_of(note, 2_419_200) == {
        "data": {"a": 1, "url": "https://e.org/1"},
        "ttl": 2_419_200,
        "priority": 10,
        "collapse_id": "e7",
        "contents": {"en": "Bob likes it", "de": "Bob mag es"},
        "headings": {"en": "Likes", "de": "Gefällt"},
        "url": "https://e.org/1",
        "big_picture": "https://e.org/b.png",
        "chrome_web_image": "https://e.org/b.png",
        "ios_attachments": {"image": "https://e.org/b.png"},
        "chrome_web_icon": "https://e.org/i.png",
        "ios_sound": "ping.caf",
        "android_channel_id": "c",
        "buttons": [{"id": "open", "text": "Open"}],
        "ios_badgeType": "SetTo",
        "ios_badgeCount": 0,
    }
    plus = said_of(Note(body="x", options={"onesignal": {"badge_increase": 1}}), 9)
    assert (plus["ios_badgeType"], plus["ios_badgeCount"]) == ("Increase", 1)


def test_silent_has_no_words() -> None:
    said = said_of(Note(title="x", body="y", silent=True, badge=3, data={"sync": 1}), 9)
    assert said == {"data": {"sync": 1}, "ttl": 0, "content_available": True}


def test_what_is_not_an_option_is_refused() -> None:
    with pytest.raises(UnsupportedOption):
        said_of(Note(options={"onesignal": {"langauge": "de"}}), 9)


async def test_aliases(backend: OneSignalBackend, service: Api) -> None:
    alias = Address(token="alice", kind="alias")
    service.always(200, {"id": "n", "errors": {"invalid_aliases": {"external_id": ["bob"]}}})
    batch = [
        backend.render(NOTE, alias, ref="alice"),
        backend.render(NOTE, Address(token="bob", kind="alias"), ref="bob"),
        backend.render(NOTE, ONE, ref="one"),
    ]
    found = await outcomes(backend, batch)
    assert {ref: o.verdict.value for ref, o in found.items()} == {
        "alice": "sent",
        "bob": "gone",
        "one": "sent",
    }
    first = next(r.json for r in service.requests if "include_aliases" in r.json)
    assert first["include_aliases"] == {"external_id": ["alice", "bob"]}
    assert "include_subscription_ids" not in first


@pytest.mark.parametrize(
    "address", [Address(token="t", kind="topic"), Address(token="a b", kind="alias")]
)
def test_targets_that_onesignal_does_not_have(address: Address) -> None:
    backend = OneSignalBackend({"app_id": APP, "api_key": KEY})
    with pytest.raises(InvalidAddress):
        backend.render(NOTE, address, ref=1)


# Many in one


async def test_messages_that_say_the_same_go_out_together(
    backend: OneSignalBackend, service: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onesignal, "MAX_RECIPIENTS", 3)
    batch = [backend.render(NOTE, subscription(n), ref=n) for n in range(7)]
    batch.append(backend.render(Note(body="another", event_id=8), ONE, ref="another"))
    found = await outcomes(backend, batch)
    assert {outcome.verdict for outcome in found.values()} == {Verdict.SENT}
    sizes = sorted(len(r.json["include_subscription_ids"]) for r in service.requests)
    assert sizes == [1, 1, 3, 3]
    assert len({r.json["idempotency_key"] for r in service.requests}) == 4


async def test_a_repeat_has_the_key_of_the_first_try(
    backend: OneSignalBackend, service: Api
) -> None:
    for attempt, order in ((1, (ONE, TWO)), (2, (TWO, ONE))):
        batch = [
            backend.render(
                Note(title="x", body="y", event_id=7, ttl=60 - attempt),
                address,
                ref=(attempt, address.token),
                attempt=attempt,
            )
            for address in order
        ]
        await outcomes(backend, batch)
    assert len({r.json["idempotency_key"] for r in service.requests}) == 1
    await send_one(backend, ONE, Note(body="y", event_id=8))
    assert len({r.json["idempotency_key"] for r in service.requests}) == 2


async def test_pushes_without_an_event_are_told_apart_by_their_call(
    backend: OneSignalBackend, service: Api
) -> None:
    calls = [Note(title="Likes", body=WORDS, collapse_id=f"push-{name}") for name in "ab"]
    for note in calls:
        batch = [backend.render(note, to, ref=number) for number, to in enumerate((ONE, TWO))]
        await outcomes(backend, batch)
    # one request for all recipients of a call, and never taken for another one's repeat
    assert [len(r.json["include_subscription_ids"]) for r in service.requests] == [2, 2]
    assert len({r.json["idempotency_key"] for r in service.requests}) == 2


async def test_two_messages_of_one_event_to_one_address_both_get_an_outcome(
    backend: OneSignalBackend, service: Api
) -> None:
    await outcomes(backend, [backend.render(NOTE, ONE, ref=n) for n in range(2)])
    assert service.requests[0].json["include_subscription_ids"] == [ONE.token]


# What each answer means

CONFIG = {"verdict": Verdict.MISCONFIGURED, "scope": Scope.APPLICATION}
NOBODY = {"id": "", "errors": ["All included players are not subscribed"]}
ROWS: list[tuple[int, Any, dict[str, str], dict[str, Any], dict[str, Any]]] = [
    (200, {"id": "n-1"}, {}, {"verdict": Verdict.SENT, "provider_id": "n-1"}, {}),
    *(
        (
            200,
            {"id": "n-1", "errors": {name: [ONE.token]}},
            {},
            {"verdict": Verdict.GONE, "scope": Scope.DEVICE},
            {"verdict": Verdict.SENT},
        )
        for name in ("invalid_subscription_ids", "invalid_player_ids")
    ),
    (
        200,
        {"id": "n-1", "errors": {"invalid_aliases": {"external_id": [ONE.token]}}},
        {},
        {"verdict": Verdict.GONE},
        {"verdict": Verdict.SENT},
    ),
    (200, NOBODY, {}, {"verdict": Verdict.GONE}, {}),
    (200, {"id": "", "errors": ["?"]}, {}, {"verdict": Verdict.REFUSED, "alert": True}, {}),
    (200, "no JSON", {}, {"verdict": Verdict.RETRY, "may_have_arrived": True}, {}),
    (400, {"errors": ["x"]}, {}, {"verdict": Verdict.REFUSED, "suspends": False}, {}),
    (401, "", {}, CONFIG, {}),
    (403, {"errors": ["Access denied."]}, {}, CONFIG, {}),
    (404, "", {}, CONFIG, {}),
    (
        429,
        "",
        {"Retry_After": "44"},
        {"verdict": Verdict.RETRY, "retry_after": 44.0, "scope": Scope.APPLICATION},
        {},
    ),
    *((code, "", {}, {"verdict": Verdict.RETRY, "retry_after": 100.0}, {}) for code in (500, 503)),
    (503, "", {"Retry_After": "8"}, {"verdict": Verdict.RETRY, "retry_after": 8.0}, {}),
    (302, "", {"Location": "/x"}, {"verdict": Verdict.REFUSED, "alert": True}, {}),
]


@pytest.mark.parametrize(("status", "body", "headers", "first", "second"), ROWS)
async def test_every_row_of_the_table(
    status: int,
    body: Any,
    headers: dict[str, str],
    first: dict[str, Any],
    second: dict[str, Any],
    backend: OneSignalBackend,
    service: Api,
) -> None:
    service.always(status, body, **headers)
    batch = [backend.render(NOTE, address, ref=address.token) for address in (ONE, TWO)]
    found = await outcomes(backend, batch)
    assert len(service.requests) == 1
    for address, expected in ((ONE, first), (TWO, second or first)):
        outcome = found[address.token]
        assert {name: getattr(outcome, name) for name in expected} == expected


async def test_an_urgent_message_does_not_wait_so_long(
    backend: OneSignalBackend, service: Api
) -> None:
    service.always(503)
    outcome = await send_one(backend, ONE, Note(body="x", priority="high"))
    assert (outcome.verdict, outcome.retry_after) == (Verdict.RETRY, None)


async def test_without_an_answer_all_may_have_arrived(backend: OneSignalBackend) -> None:
    async with api() as away:
        base = away.base
    credentials = {"app_id": APP, "api_key": KEY, "base_url": base}
    async with opened(OneSignalBackend, credentials) as cut:
        batch = [cut.render(NOTE, address, ref=address.token) for address in (ONE, TWO)]
        found = await outcomes(cut, batch)
    assert {(o.verdict, o.may_have_arrived) for o in found.values()} == {(Verdict.RETRY, False)}


async def test_an_answer_that_names_everybody_is_read_to_its_end(
    backend: OneSignalBackend, service: Api
) -> None:
    everybody = [subscription(number) for number in range(2000)]
    service.always(
        200, {"id": "n", "errors": {"invalid_subscription_ids": [a.token for a in everybody]}}
    )
    batch = [backend.render(NOTE, address, ref=address.token) for address in everybody]
    found = await outcomes(backend, batch)
    assert {outcome.verdict for outcome in found.values()} == {Verdict.GONE}
    assert len(service.requests) == 1


def test_sizes_are_checked_before_any_request() -> None:
    backend = OneSignalBackend({"app_id": APP, "api_key": KEY})
    for note in (Note(data={"a": "x" * 2048}), Note(body="é" * 2048)):
        with pytest.raises(PayloadTooLarge):
            backend.render(note, ONE, ref=1)


@pytest.mark.parametrize(
    "credentials",
    [
        {},
        {"app_id": "x", "api_key": KEY},
        {"app_id": APP},
        {"app_id": APP, "api_key": "a\nb-----------"},
        {"app_id": APP, "api_key": KEY, "base_url": "https://evil.example"},
        {"app_id": APP, "api_key": KEY, "apikey": "x"},
    ],
)
def test_credentials_are_checked_without_asking_anybody(credentials: dict[str, str]) -> None:
    found = OneSignalBackend.check_credentials(credentials)
    assert found
    assert KEY not in "".join(found)
    assert OneSignalBackend.check_credentials({"app_id": APP, "api_key": KEY}) == []


def test_subscription_ids() -> None:
    token, _ = OneSignalBackend.clean_address(f" {ONE.token.upper()} ", {})
    assert token == ONE.token
    with pytest.raises(InvalidAddress):
        OneSignalBackend.clean_address("alice", {})


async def test_nothing_secret_stands_in_logs_or_reprs(
    backend: OneSignalBackend, service: Api
) -> None:
    address = subscription(0x1234567890ABCDEF)
    service.always(400, {"errors": [address.token, WORDS]})
    with everything_logged() as lines:
        asyncio.get_running_loop().set_debug(True)
        message = backend.render(NOTE, address, ref=1)
        outcome = (await outcomes(backend, [message]))[1]
        asyncio.get_running_loop().set_debug(False)
    said = "\n".join([*lines, repr(message), repr(outcome), repr(backend), repr(address)])
    for secret in (address.token, KEY, WORDS):
        assert secret not in said
    assert json.loads(service.requests[0].body)["contents"] == {"en": WORDS}
