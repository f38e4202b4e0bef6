"""What another site makes a browser send changes nothing."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from tests.security.operations import Operation, Owned, closed, named, operations

pytestmark = pytest.mark.django_db

CHANGING = named([operation for operation in closed() if operation.changes_something])

Browser = Callable[..., Client]
Stored = Callable[[], Any]


def with_token(client: Client) -> dict[str, str]:
    """The header and the cookie as a page of ours sends them."""
    client.cookies["csrftoken"] = "x" * 32
    return {"X-CSRFToken": "x" * 32}


@pytest.mark.parametrize("operation", CHANGING)
def test_a_session_without_the_header_changes_nothing(
    operation: Operation, owned: Owned, alice: Any, browser: Browser, stored: Stored
) -> None:
    client = browser(alice, strict=True)
    before = stored()
    answer = operation.ask(client, owned)
    assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
    assert stored() == before


@pytest.mark.parametrize("operation", CHANGING)
def test_a_session_with_the_header_does(
    operation: Operation, owned: Owned, alice: Any, browser: Browser
) -> None:
    client = browser(alice, strict=True)
    answer = operation.ask(client, owned, headers=with_token(client))
    assert 200 <= answer.status_code < 300, answer.content


@pytest.mark.parametrize("operation", CHANGING)
@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://testserver.evil"])
def test_a_wrong_origin_is_refused_also_with_the_header(
    operation: Operation, origin: str, owned: Owned, alice: Any, browser: Browser, stored: Stored
) -> None:
    client = browser(alice, strict=True)
    before = stored()
    headers = with_token(client) | {"Origin": origin}
    assert operation.ask(client, owned, headers=headers).status_code == 403
    assert stored() == before


@pytest.mark.parametrize("operation", CHANGING)
def test_a_bearer_token_needs_no_header_for_no_other_site_can_send_it(
    operation: Operation, owned: Owned, alice: Any, bearer: Callable[[Any], dict[str, str]]
) -> None:
    answer = operation.ask(Client(enforce_csrf_checks=True), owned, headers=bearer(alice))
    assert 200 <= answer.status_code < 300, answer.content


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_what_a_form_of_another_site_can_send_is_no_body(
    kind: str, owned: Owned, alice: Any, browser: Browser, stored: Stored
) -> None:
    """A second lock behind the CSRF check: such bodies need no permission of ours to be sent."""
    client = browser(alice)
    before = stored()
    for operation in operations():
        if operation.has_body and operation.id != "token_create":
            answer = client.generic(
                operation.method, operation.path(owned), operation.body(owned), content_type=kind
            )
            assert answer.status_code == 415, operation.id
    assert stored() == before


@pytest.mark.parametrize("path", ["/login/", "/send/", "/logout/", "/admin/login/"])
def test_pages_want_the_token_too(path: str, alice: Any, browser: Browser, password: str) -> None:
    client = browser(alice, strict=True)
    form = {"username": "alice", "password": password, "type": "post_like"}
    assert client.post(path, form).status_code == 403
    assert client.get("/").status_code == 200  # still logged in


@pytest.mark.parametrize("path", ["/", "/login/", "/api/notifications/", "/api/schema/", "/admin/"])
def test_no_other_site_may_read_an_answer(
    path: str, alice: Any, browser: Browser, client: Client
) -> None:
    for who in (browser(alice), client):
        answer = who.get(path, headers={"Origin": "https://evil.example"})
        assert "Access-Control-Allow-Origin" not in answer
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert answer["X-Frame-Options"] == "DENY"
