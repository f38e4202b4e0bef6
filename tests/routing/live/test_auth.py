"""Who may open a socket, and with what."""

from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session
from django.test import Client

from notifications import tokens
from routing.live import auth, tickets
from routing.live.runtime import Runtime
from routing.models import Ticket
from tests.routing.live.conftest import ORIGIN
from tests.routing.live.fakes import FakeServer

Headers = list[tuple[bytes, bytes]]


def headers(**values: str) -> Headers:
    return [(name.encode(), value.encode()) for name, value in values.items()]


@pytest.fixture
def session_key(alice: Any, password: str) -> str:
    client = Client()
    assert client.login(username="alice", password=password)
    return str(client.session.session_key)


async def assert_signed_in(**scope: Any) -> dict[str, Any]:
    async with FakeServer(**scope) as socket:
        accepted = await socket.accepted()
        assert (await socket.frame())["action"] == "hello"
        return accepted


async def assert_turned_away(**scope: Any) -> None:
    """Accepted and closed at once with 4501, nothing sent before."""
    async with FakeServer(**scope) as socket:
        await socket.accepted()
        assert await socket.message() == {"type": "websocket.close", "code": 4501}


async def assert_refused(**scope: Any) -> None:
    """Closed before it was accepted: HTTP 403."""
    async with FakeServer(**scope) as socket:
        assert await socket.message() == {"type": "websocket.close"}


@pytest.mark.parametrize(
    ("given", "allowed", "expected"),
    [
        ("https://a.example", "https://a.example", True),
        ("https://A.Example", "https://a.example", True),
        ("https://a.example:443", "https://a.example", True),
        ("http://a.example", "http://a.example:80", True),
        ("capacitor://localhost", "capacitor://localhost", True),
        ("http://[::1]:8000", "http://[::1]:8000", True),
        ("http://a.example", "https://a.example", False),
        ("https://a.example:8443", "https://a.example", False),
        ("https://b.a.example", "https://a.example", False),
        ("https://a.example.evil", "https://a.example", False),
        ("https://evil/https://a.example", "https://a.example", False),
        ("https://a.example@evil", "https://a.example", False),
        ("https://a.example/", "https://a.example", False),
        ("null", "https://a.example", False),
        ("null", "null", False),
        ("", "https://a.example", False),
        ("*", "*", False),
        ("https://a.example:99999", "https://a.example", False),
        ("https://a.example:x", "https://a.example", False),
        ("//a.example", "https://a.example", False),
        ("https://", "https://a.example", False),
    ],
)
def test_origins_are_compared_whole(hub: Any, given: str, allowed: str, expected: bool) -> None:
    hub(ALLOWED_ORIGINS=[allowed])
    assert auth.origin_verdict([(b"origin", given.encode())]) is expected


def test_two_origins_must_both_be_allowed(hub: Any) -> None:
    both = [(b"origin", ORIGIN.encode()), (b"Origin", b"http://evil")]
    assert auth.origin_verdict(both) is False
    assert auth.origin_verdict([]) is None


async def test_a_bearer_token_needs_no_origin(runtime: Runtime, token: str) -> None:
    await assert_signed_in(headers=headers(authorization=f"Bearer {token}"))
    await assert_signed_in(headers=headers(authorization=f"bearer {token}", origin=ORIGIN))


async def test_a_wrong_origin_is_refused_whatever_the_credentials(
    runtime: Runtime, token: str, session_key: str, alice: Any
) -> None:
    ticket = await sync_to_async(tickets.issue)(alice, session_key=session_key)
    for origin in ("http://evil", "null"):
        await assert_refused(headers=headers(authorization=f"Bearer {token}", origin=origin))
        await assert_refused(headers=headers(cookie=f"sessionid={session_key}", origin=origin))
        await assert_refused(
            headers=headers(origin=origin), subprotocols=["hub.v1", f"ticket.{ticket}"]
        )
    # the ticket was not even looked at
    assert await Ticket.objects.acount() == 1


async def test_a_session_needs_an_allowed_origin(runtime: Runtime, session_key: str) -> None:
    cookie = f"other=1; sessionid={session_key}"
    await assert_signed_in(headers=headers(cookie=cookie, origin=ORIGIN))
    await assert_turned_away(headers=headers(cookie=cookie))


@pytest.mark.parametrize(
    "authorization", ["Bearer hub_nonsense", "Bearer ", "", "Basic YWxpY2U6eA==", "Bearer \xff"]
)
async def test_a_bad_header_never_falls_back(
    runtime: Runtime, session_key: str, alice: Any, authorization: str
) -> None:
    ticket = await sync_to_async(tickets.issue)(alice, session_key=session_key)
    given = [
        (b"authorization", authorization.encode("latin-1")),
        *headers(cookie=f"sessionid={session_key}", origin=ORIGIN),
    ]
    await assert_turned_away(headers=given, subprotocols=["hub.v1", f"ticket.{ticket}"])
    assert await Ticket.objects.acount() == 1


async def test_a_bad_ticket_does_not_fall_back_to_the_session(
    runtime: Runtime, session_key: str
) -> None:
    given = headers(cookie=f"sessionid={session_key}", origin=ORIGIN)
    await assert_turned_away(headers=given, subprotocols=["hub.v1", "ticket.nonsense"])


async def test_no_credentials(runtime: Runtime) -> None:
    await assert_turned_away()
    await assert_turned_away(headers=headers(origin=ORIGIN))
    await assert_turned_away(headers=headers(origin=ORIGIN, cookie="sessionid="))
    await assert_turned_away(headers=headers(origin=ORIGIN, cookie="sessionid=nonsense"))
    await assert_turned_away(headers=[(b"origin", ORIGIN.encode()), (b"cookie", b"\xff\x00=;;=")])


async def test_a_ticket_opens_one_socket(runtime: Runtime, session_key: str, alice: Any) -> None:
    ticket = await sync_to_async(tickets.issue)(alice, session_key=session_key)
    offered = ["hub.v1", f"ticket.{ticket}"]
    accepted = await assert_signed_in(subprotocols=offered)
    assert accepted["subprotocol"] == "hub.v1"
    await assert_turned_away(subprotocols=offered)


async def test_hub_v1_is_echoed_only_where_it_was_offered(runtime: Runtime, token: str) -> None:
    given = headers(authorization=f"Bearer {token}")
    accepted = await assert_signed_in(headers=given, subprotocols=["chat", "hub.v1"])
    assert accepted["subprotocol"] == "hub.v1"
    accepted = await assert_signed_in(headers=given, subprotocols=["chat"])
    assert accepted["subprotocol"] is None


async def test_a_ticket_ends_after_its_time(runtime: Runtime, session_key: str, alice: Any) -> None:
    from datetime import timedelta

    from django.utils import timezone

    ticket = await sync_to_async(tickets.issue)(alice, session_key=session_key)
    await Ticket.objects.aupdate(expires_at=timezone.now() - timedelta(milliseconds=1))
    await assert_turned_away(subprotocols=["hub.v1", f"ticket.{ticket}"])


async def test_a_ticket_ends_with_what_it_was_made_from(
    runtime: Runtime, session_key: str, alice: Any
) -> None:
    ticket = await sync_to_async(tickets.issue)(alice, session_key=session_key)
    await Session.objects.all().adelete()
    await assert_turned_away(subprotocols=["hub.v1", f"ticket.{ticket}"])
    # one that was made from nothing opens nothing
    ticket = await sync_to_async(tickets.issue)(alice)
    await assert_turned_away(subprotocols=["hub.v1", f"ticket.{ticket}"])


@pytest.mark.django_db(transaction=True)
def test_of_many_who_redeem_a_ticket_one_succeeds(alice: Any, session_key: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from django.db import connections

    ticket = tickets.issue(alice, session_key=session_key)

    def redeem(_: int) -> bool:
        try:
            return tickets.redeem(ticket) is not None
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(redeem, range(16))) == 1


async def test_an_inactive_user_is_turned_away(
    runtime: Runtime, session_key: str, token: str
) -> None:
    await get_user_model().objects.aupdate(is_active=False)
    await assert_turned_away(headers=headers(authorization=f"Bearer {token}"))
    await assert_turned_away(headers=headers(cookie=f"sessionid={session_key}", origin=ORIGIN))


async def test_a_session_from_before_a_new_password_is_turned_away(
    runtime: Runtime, session_key: str, alice: Any
) -> None:
    alice.set_password("another")
    await sync_to_async(alice.save)()
    await assert_turned_away(headers=headers(cookie=f"sessionid={session_key}", origin=ORIGIN))


async def test_a_session_of_a_removed_backend_is_turned_away(
    runtime: Runtime, session_key: str, settings: Any
) -> None:
    settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.RemoteUserBackend"]
    await assert_turned_away(headers=headers(cookie=f"sessionid={session_key}", origin=ORIGIN))


async def test_a_fallback_key_is_accepted_and_the_session_left_as_it_is(
    runtime: Runtime, session_key: str, settings: Any
) -> None:
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "a new one" * 10
    before = await Session.objects.aget()
    await assert_signed_in(headers=headers(cookie=f"sessionid={session_key}", origin=ORIGIN))
    after = await Session.objects.aget()
    assert (after.session_key, after.session_data) == (before.session_key, before.session_data)


@pytest.mark.parametrize("engine", ["cache", "cached_db", "file"])
async def test_any_session_engine_serves(
    runtime: Runtime, alice: Any, password: str, settings: Any, tmp_path: Any, engine: str
) -> None:
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    settings.SESSION_FILE_PATH = str(tmp_path)
    client = Client()
    assert await sync_to_async(client.login)(username="alice", password=password)
    key = await sync_to_async(lambda: client.session.session_key)()
    given = headers(cookie=f"sessionid={key}", origin=ORIGIN)
    await assert_signed_in(headers=given)
    await sync_to_async(client.logout)()
    await assert_turned_away(headers=given)


async def test_credentials_that_cannot_be_looked_at_do_not_say_4501(
    runtime: Runtime, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import OperationalError

    def away(text: str) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(tokens, "find", away)
    async with FakeServer(headers=headers(authorization=f"Bearer {token}")) as socket:
        await socket.accepted()
        frames, code = await socket.closed()
        assert (frames[0]["action"], code) == ("bye", 4000)


async def test_unknown_paths_are_refused(runtime: Runtime) -> None:
    for path in ("/ws/other", "/", "/ws/notifications/", "/WS/notifications"):
        await assert_refused(path=path)
    async with FakeServer(path="/nowhere", extensions={"websocket.http.response": {}}) as socket:
        assert (await socket.message())["status"] == 404


async def test_the_root_path_is_left_out(runtime: Runtime, token: str) -> None:
    await assert_signed_in(
        headers=headers(authorization=f"Bearer {token}"),
        root_path="/hub",
        path="/hub/ws/notifications",
    )


def test_the_ticket_view(alice: Any, password: str, token: str, client: Client) -> None:
    from routing.live.views import TicketView

    view: Callable[..., Any] = TicketView.as_view()
    from django.test import RequestFactory

    requests = RequestFactory()
    answer = view(requests.post("/api/ws-ticket/", headers={"Authorization": f"Bearer {token}"}))
    assert answer.status_code == 200
    assert set(answer.data) == {"ticket", "expires_in"}
    assert answer.data["expires_in"] == 30
    credential = tickets.redeem(answer.data["ticket"])
    assert credential is not None
    assert credential.token_id is not None
    assert view(requests.post("/api/ws-ticket/")).status_code == 401


def test_what_nobody_redeemed_is_swept(alice: Any) -> None:
    from datetime import timedelta

    from django.utils import timezone

    from routing import duties

    tickets.issue(alice)
    Ticket.objects.update(expires_at=timezone.now() - timedelta(minutes=2))
    kept = tickets.issue(alice)
    [sweep] = [duty for duty in duties.all_duties() if duty.name == "tickets"]
    sweep.do()
    assert Ticket.objects.count() == 1
    assert tickets.redeem(kept) is not None
