"""Who may open a socket on a real server, with what, and for how long."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import httpx
import psutil
import pytest
from django.contrib.sessions.models import Session
from django.utils import timezone
from websockets.exceptions import InvalidStatus

from notifications import tokens
from notifications.models import Token
from routing.models import Ticket
from tests.processes import Processes, ServerProcess
from tests.security.doors import (
    browser_on,
    closed_with,
    cookies_of,
    csrf,
    form_token,
    is_open,
    knock,
    log_in,
    next_frame,
    socket_to,
    ticket_for,
)
from tests.waiting import wait_for

#: Seconds within which a socket ends after what it was opened with: docs/protocol.md says 60.
END = 60.0

CUT = 4501


@pytest.fixture
def browser(server: ServerProcess, alice: Any, password: str) -> Iterator[httpx.Client]:
    """A browser in which Alice has logged in."""
    with browser_on(server) as client:
        assert log_in(client, "alice", password).status_code == 302
        yield client


def ticket_by(server: ServerProcess, token: str) -> str:
    headers = {"Authorization": f"Bearer {token}"}
    answer = httpx.post(f"{server.url}/api/ws-ticket/", headers=headers, trust_env=False)
    return str(answer.json()["ticket"])


def test_origins_and_credentials(server: ServerProcess, browser: httpx.Client, alice: Any) -> None:
    token = tokens.make(alice)
    cookie = cookies_of(browser)
    ours, local = server.url, f"http://localhost:{server.port}"
    wrong = [
        "https://evil.example",
        "null",
        server.url.replace("http:", "https:"),
        "http://127.0.0.1",  # another port
        f"http://127.0.0.1:{server.port}0",
        f"{server.url}.evil.example",
        f"http://evil.example/{server.url}",
        f"{server.url}@evil.example",
        f"{server.url}/",
        "file://",
        "chrome-extension://abcdefghijklmnop",
    ]
    for origin in wrong:
        for credentials in ({}, {"token": token}, {"cookie": cookie}):
            found = knock(server, origin=origin, **credentials)
            assert found == 403, (origin, credentials)
    for origin in (ours, local):
        assert knock(server, origin=origin, cookie=cookie) == "hello"
        assert knock(server, origin=origin, token=token) == "hello"
        assert knock(server, origin=origin) == CUT
    assert knock(server, token=token) == "hello"
    # a cookie counts only where the browser says whose page it is
    assert knock(server, cookie=cookie) == CUT
    assert knock(server) == CUT
    # a bad header or ticket never falls back to the cookie
    assert knock(server, origin=ours, cookie=cookie, token="hub_" + "x" * 43) == CUT
    assert knock(server, origin=ours, cookie=cookie, token="") == CUT
    assert knock(server, origin=ours, cookie=cookie, subprotocols=ticket_for("nonsense")) == CUT
    two = {"Origin": "https://evil.example"}
    assert knock(server, origin=ours, cookie=cookie, headers=two) in (400, 403)


def test_nothing_in_a_url_signs_in(
    server: ServerProcess, browser: httpx.Client, alice: Any
) -> None:
    token = tokens.make(alice)
    ticket = ticket_by(server, token)
    for name, value in [("token", token), ("ticket", ticket), ("access_token", token)]:
        assert knock(server, query=f"?{name}={value}") == CUT
        assert httpx.get(f"{server.url}/api/notifications/?{name}={value}").status_code == 401
    key = browser.cookies["sessionid"]
    assert knock(server, query=f"?sessionid={key}", origin=server.url) == CUT
    # it was not used up by being shown in the wrong place
    assert knock(server, subprotocols=ticket_for(ticket)) == "hello"


class TestTickets:
    def test_one_opens_one_socket(self, server: ServerProcess, alice: Any) -> None:
        ticket = ticket_by(server, tokens.make(alice))
        with socket_to(server, subprotocols=ticket_for(ticket)) as socket:
            assert socket.subprotocol == "hub.v1"
            assert next_frame(socket)["action"] == "hello"
            assert knock(server, subprotocols=ticket_for(ticket)) == CUT
            assert is_open(socket)

    def test_of_many_at_once_one_gets_in(self, server: ServerProcess, alice: Any) -> None:
        ticket = ticket_by(server, tokens.make(alice))
        with ThreadPoolExecutor(20) as pool:
            offered = ticket_for(ticket)
            found = list(pool.map(lambda _: knock(server, subprotocols=offered), range(20)))
        assert sorted(found, key=str) == [CUT] * 19 + ["hello"]

    def test_it_ends_after_its_time(self, server: ServerProcess, alice: Any) -> None:
        ticket = ticket_by(server, tokens.make(alice))
        [row] = Ticket.objects.all()
        life = (row.expires_at - timezone.now()).total_seconds()
        assert 20 < life <= 30
        Ticket.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
        assert knock(server, subprotocols=ticket_for(ticket)) == CUT

    def test_it_is_kept_as_a_hash_only(self, server: ServerProcess, alice: Any) -> None:
        ticket = ticket_by(server, tokens.make(alice))
        assert ticket not in str(Ticket.objects.values_list().get())

    def test_it_ends_with_what_it_was_made_from(
        self, server: ServerProcess, browser: httpx.Client, alice: Any
    ) -> None:
        token = tokens.make(alice)
        by_token = [ticket_by(server, token) for _ in range(2)]
        by_session = [
            browser.post("/api/ws-ticket/", headers=csrf(browser)).json()["ticket"]
            for _ in range(2)
        ]
        assert knock(server, subprotocols=ticket_for(by_token[0])) == "hello"
        assert knock(server, subprotocols=ticket_for(by_session[0])) == "hello"
        Token.objects.filter(digest=tokens.digest(token)).delete()
        Session.objects.all().delete()
        assert knock(server, subprotocols=ticket_for(by_token[1])) == CUT
        assert knock(server, subprotocols=ticket_for(by_session[1])) == CUT

    def test_of_a_user_who_is_inactive_now_it_opens_nothing(
        self, server: ServerProcess, alice: Any
    ) -> None:
        ticket = ticket_by(server, tokens.make(alice))
        alice.is_active = False
        alice.save()
        assert knock(server, subprotocols=ticket_for(ticket)) == CUT


class TestEnds:
    """A socket ends with what it was opened with, and no other does."""

    def test_by_the_doors_of_this_server(
        self, server: ServerProcess, browser: httpx.Client, alice: Any, bob: Any, password: str
    ) -> None:
        token, kept = tokens.make(alice), tokens.make(alice)
        token_id = Token.objects.get(digest=tokens.digest(token)).pk
        ticket = ticket_by(server, token)
        session_ticket = browser.post("/api/ws-ticket/", headers=csrf(browser)).json()["ticket"]
        with ExitStack() as stack:

            def opened(**options: Any) -> Any:
                socket = stack.enter_context(socket_to(server, **options))
                assert next_frame(socket)["action"] == "hello"
                return socket

            others = [opened(token=kept), opened(token=tokens.make(bob))]
            by_token = [opened(token=token), opened(subprotocols=ticket_for(ticket))]
            by_session = [
                opened(cookie=cookies_of(browser), origin=server.url),
                opened(subprotocols=ticket_for(session_ticket)),
            ]
            answer = browser.delete(f"/api/auth/tokens/{token_id}/", headers=csrf(browser))
            assert answer.status_code == 204
            assert [closed_with(socket, timeout=END) for socket in by_token] == [CUT, CUT]
            assert all(is_open(socket) for socket in by_session + others)
            form = {"csrfmiddlewaretoken": form_token(browser, "/logout/")}
            assert browser.post("/logout/", data=form).status_code == 302
            assert [closed_with(socket, timeout=END) for socket in by_session] == [CUT, CUT]
            assert all(is_open(socket) for socket in others)

    def test_by_another_process(
        self,
        server: ServerProcess,
        make_user: Callable[..., Any],
        password: str,
    ) -> None:
        """In the embedded mode no hint comes from there: the regular look finds it."""

        def token_revoked(user: Any) -> None:
            Token.objects.filter(user=user).delete()

        def deactivated(user: Any) -> None:
            type(user).objects.filter(pk=user.pk).update(is_active=False)

        def deleted(user: Any) -> None:
            user.delete()

        def password_changed(user: Any) -> None:
            user.set_password("another")
            user.save()

        def session_gone(user: Any) -> None:
            Session.objects.get(session_key=keys[user.username]).delete()

        def session_expired(user: Any) -> None:
            rows = Session.objects.filter(session_key=keys[user.username])
            rows.update(expire_date=timezone.now() - timedelta(seconds=1))

        ways = [token_revoked, deactivated, deleted, password_changed, session_gone]
        ways.append(session_expired)
        keys: dict[str, str] = {}
        with ExitStack() as stack:
            sockets = {}
            for way in ways:
                user = make_user(way.__name__)
                if way in (password_changed, session_gone, session_expired):
                    with browser_on(server) as client:
                        log_in(client, user.username, password)
                        keys[user.username] = client.cookies["sessionid"]
                        signed_in = {"cookie": cookies_of(client), "origin": server.url}
                else:
                    signed_in = {"token": tokens.make(user)}
                socket = stack.enter_context(socket_to(server, **signed_in))
                assert next_frame(socket)["action"] == "hello"
                sockets[way] = (user, socket)
            bystander = stack.enter_context(
                socket_to(server, token=tokens.make(make_user("bystander")))
            )
            for way, (user, _) in sockets.items():
                way(user)
            found = {way.__name__: closed_with(it, timeout=END) for way, (_, it) in sockets.items()}
            assert found == {way.__name__: CUT for way in ways}
            assert is_open(bystander)


def test_of_one_user_only_so_many_sockets_live(processes: Processes, alice: Any, bob: Any) -> None:
    server = processes.serve(env={"HUB_SOCKETS_PER_USER": "3"})
    token = tokens.make(alice)
    with ExitStack() as stack:
        bobs = stack.enter_context(socket_to(server, token=tokens.make(bob)))
        alices = []
        for _ in range(6):
            socket = stack.enter_context(socket_to(server, token=token))
            assert next_frame(socket)["action"] == "hello"
            alices.append(socket)
        assert [closed_with(socket) for socket in alices[:3]] == [4502] * 3
        assert all(is_open(socket) for socket in [*alices[3:], bobs])


def test_a_flood_of_sockets_that_may_not_be_leaves_nothing(
    server: ServerProcess, alice: Any
) -> None:
    """Neither connections to the database nor descriptors."""
    knock(server, token=tokens.make(alice))
    process = psutil.Process(server.pid)
    before = process.num_fds()

    def try_once(number: int) -> Any:
        try:
            return knock(server, token=f"hub_{number:040}")
        except (InvalidStatus, OSError) as error:
            return error

    with ThreadPoolExecutor(20) as pool:
        assert set(pool.map(try_once, range(300))) == {CUT}
    # the pool of the database may have grown to its size, 16
    wait_for(lambda: process.num_fds() <= before + 20, 15)
    assert knock(server, token=tokens.make(alice)) == "hello"
