"""The log names ids, and never a secret or the words of a notification, at whatever level."""

import json
import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import DatabaseError, connection
from django.utils import timezone
from websockets.exceptions import ConnectionClosed

from notifications import send_notification, tokens
from notifications.models import Audience, Event, EventType
from tests.processes import Processes, ServerProcess
from tests.security.doors import (
    browser_on,
    closed_with,
    cookies_of,
    csrf,
    form_token,
    knock,
    log_in,
    next_frame,
    socket_to,
    ticket_for,
)
from tests.waiting import wait_for

WORDS = {
    "title": "Zanzibar-title-1a",
    "message": "Zanzibar-message-2b",
    "data": {"Zanzibar-key-3c": "Zanzibar-value-4d"},
    "url": "/Zanzibar-url-5e/",
    "tag": "Zanzibar-tag-6f",
}
NAME = "Zanzibar-token-name-7g"
KEY = "Zanzibar-idempotency-key-8h"
WRONG = "Zanzibar-wrong-password-9i"


def test_a_server_at_debug_logs_no_secret_and_no_words(
    processes: Processes, alice: Any, bob: Any, password: str
) -> None:
    server = processes.serve(env={"HUB_LOG_LEVEL": "DEBUG"})
    secrets = walk(server, alice, bob, password)
    assert server.stop() == 0
    assert len(server.log.splitlines()) > 5, "it logs something"
    assert_free_of(server.log, secrets)


def test_a_worker_at_debug_logs_no_words(processes: Processes, alice: Any) -> None:
    kind = EventType.objects.get(name="post_like")
    event = Event.objects.create(type=kind, **WORDS)
    Audience.objects.create(event=event, user_ids=[alice.pk], due=timezone.now())
    log = processes.run("worker", "--once", env={"HUB_LOG_LEVEL": "DEBUG"})
    assert not Audience.objects.exists()
    assert_free_of(log, set())


def test_a_developers_server_logs_no_secret_either(
    processes: Processes, alice: Any, bob: Any, password: str
) -> None:
    """With DEBUG Django would log every statement with its values."""
    server = processes.serve(env={"HUB_LOG_LEVEL": "DEBUG", "DEBUG": "1"})
    secrets = walk(server, alice, bob, password)
    server.stop()
    assert_free_of(server.log, secrets)


def test_daphne_at_debug_logs_no_secret_and_no_words(
    processes: Processes, alice: Any, bob: Any, password: str
) -> None:
    server = processes.runserver(env={"HUB_LOG_LEVEL": "DEBUG", "DEBUG": "1"})
    secrets = walk(server, alice, bob, password)
    server.stop()
    assert_free_of(server.log, secrets)


def assert_free_of(log: str, secrets: set[str]) -> None:
    # text and its escaped forms alike begin so
    lines = [line for line in log.splitlines() if "Zanzibar" in line]
    assert not lines, lines[:3]
    for secret in secrets:
        assert len(secret) > 5
        found = [line for line in log.splitlines() if secret in line]
        assert not found, (secret, found[:3])


def walk(server: ServerProcess, alice: Any, bob: Any, password: str) -> set[str]:
    """Uses every door, rightly and wrongly; answers the secrets that went through them.

    Daphne writes query strings into its log (docs/running.md): then nothing stands in one.
    """
    with_queries = server.arguments[0] != "runserver"
    alice.user_permissions.add(Permission.objects.get(codename="add_event"))
    secrets = {password, WRONG}
    with browser_on(server) as browser, browser_on(server) as app:
        log_in(browser, "alice", WRONG)
        assert log_in(browser, "alice", password).status_code == 302
        secrets |= {browser.cookies["sessionid"], browser.cookies["csrftoken"]}
        browser.get("/")

        made = {"username": "alice", "password": password, "name": NAME}
        token = app.post("/api/auth/token/", json=made).json()["token"]
        app.post("/api/auth/token/", json={**made, "password": WRONG})
        app.post("/api/auth/token/", content=json.dumps(made)[:-5].encode())
        app.headers["Authorization"] = f"Bearer {token}"
        secrets.add(token)

        send_wrongly_and_rightly(app)
        form = {"type": "post_like", "title": WORDS["title"], "message": WORDS["message"]}
        token_of_form = form_token(browser, "/logout/")
        secrets.add(token_of_form)
        browser.post("/send/", data={**form, "csrfmiddlewaretoken": token_of_form})
        browser.post("/send/", data=form)  # refused: no token
        browser.get("/api/notifications/", headers={"Authorization": "Bearer " + WRONG})
        queries = ["?read=Zanzibar", "?type=Zanzibar", f"?token={token}"] if with_queries else []
        for path in ("", "summary/", "changes/", *queries):
            app.get("/api/notifications/" + path)

        tickets = [app.post("/api/ws-ticket/").json()["ticket"] for _ in range(2)]
        tickets.append(browser.post("/api/ws-ticket/", headers=csrf(browser)).json()["ticket"])
        secrets |= set(tickets)
        talk(server, token=token)
        talk(server, cookie=cookies_of(browser), origin=server.url)
        talk(server, subprotocols=ticket_for(tickets[0]))
        knock(server, subprotocols=ticket_for(tickets[0]))
        # a client that puts a secret into a URL, against our advice
        knock(server, query=f"?ticket={tickets[1]}&token={token}")
        knock(server, token="hub_" + "Zanzibar" * 6)
        knock(server, token=token, origin="https://evil.example")

        tokens_of = app.get("/api/auth/tokens/").json()["results"]
        with socket_to(server, token=token) as socket:
            next_frame(socket)
            browser.delete(f"/api/auth/tokens/{tokens_of[0]['id']}/", headers=csrf(browser))
            closed_with(socket, timeout=60)
        browser.post("/logout/", data={"csrfmiddlewaretoken": form_token(browser, "/logout/")})
    return secrets


def send_wrongly_and_rightly(app: httpx.Client) -> None:
    good = {"type": "post_like", "users": ["alice", "bob"], **WORDS}
    headers = {"Idempotency-Key": KEY}
    assert app.post("/api/events/", json=good, headers=headers).status_code == 201
    assert app.post("/api/events/", json={**good, "tag": ""}, headers=headers).status_code == 409
    for wrong in (
        {"type": "Zanzibar"},
        {"users": ["Zanzibar"]},
        {"title": WORDS["title"] * 50},
        {"url": "javascript:Zanzibar"},
        {"Zanzibar": 1},
        {"data": {"Zanzibar": "x" * 20_000}},
        {"expires_at": "Zanzibar"},
        {"message": "Zanzibar\x00"},
    ):
        assert app.post("/api/events/", json={**good, **wrong}).status_code == 400


def talk(server: ServerProcess, **signed_in: Any) -> None:
    """A socket that is told, that marks, and that says what it should not."""
    with socket_to(server, **signed_in) as socket:
        next_frame(socket)
        said: list[str | bytes] = [
            '{"action": "mark", "state": "seen", "up_to": 100, "ref": "Zanzibar"}',
            '{"action": "mark", "state": "seen", "up_to": 1, "type": "Zanzibar"}',
            '{"action": "sync", "since": "Zanzibar"}',
            '{"action": "Zanzibar"}',
            "Zanzibar",
            b"Zanzibar",
            '{"action": "pong", "ref": "all"}',
        ]
        for frame in said:
            socket.send(frame)
        while next_frame(socket).get("ref") != "all":
            pass
        send_notification("post_like", users=_alice(), **WORDS)
        try:
            wait_for(lambda: _heard(socket), 20, every=0)
        except ConnectionClosed:
            pass


def _heard(socket: Any) -> bool:
    frame = next_frame(socket)
    return "Zanzibar-title" in json.dumps(frame.get("notification", frame.get("changes", "")))


def _alice() -> Any:
    return get_user_model().objects.get(username="alice")


@pytest.mark.django_db(transaction=True)
class TestFaults:
    """What a database says of a failed statement holds the row that failed."""

    @pytest.fixture
    def nothing_fits(self, alice: Any) -> Any:
        """From now on the database refuses every notification, and says which."""
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("ALTER TABLE hub_event ADD CONSTRAINT no_such CHECK (title = '')")
            else:
                cursor.execute(
                    "CREATE TRIGGER no_such BEFORE INSERT ON hub_event BEGIN"
                    " SELECT RAISE(ABORT, 'refused'); END"
                )
        yield
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("ALTER TABLE hub_event DROP CONSTRAINT no_such")
            else:
                cursor.execute("DROP TRIGGER no_such")

    def test_a_send_that_the_database_refuses(
        self, nothing_fits: None, alice: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        with pytest.raises(DatabaseError):
            send_notification("post_like", users=alice, **WORDS)
        assert_free_of(caplog.text, set())

    def test_over_rest(
        self,
        nothing_fits: None,
        alice: Any,
        client: Any,
        bearer: Callable[[Any], dict[str, str]],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        caplog.set_level(logging.DEBUG)
        alice.user_permissions.add(Permission.objects.get(codename="add_event"))
        body = {"type": "post_like", "users": [alice.pk], **WORDS}
        headers = bearer(alice)
        client.raise_request_exception = False
        answer = client.post("/api/events/", body, "application/json", headers=headers)
        assert answer.status_code >= 500
        assert "Zanzibar" not in answer.content.decode()
        assert "server_error" in caplog.text
        assert_free_of(caplog.text, {headers["Authorization"]})


def test_a_token_is_found_by_scanners_for_leaked_secrets(alice: Any) -> None:
    assert tokens.make(alice).startswith("hub_")
