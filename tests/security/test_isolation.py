"""Nobody reaches what is another's: every operation, by everybody who must not get there."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from notifications import service_keys, tokens
from notifications.models import ServiceKey, Token
from tests.conftest import PASSWORD
from tests.security.conftest import MARKER, basic, send_now
from tests.security.operations import (
    BODIES,
    NEEDS_PERMISSION,
    OBJECTS,
    OPEN,
    Operation,
    Owned,
    closed,
    named,
    operations,
)

pytestmark = pytest.mark.django_db

Stored = Callable[[], Any]
Headers = dict[str, str]

#: Addresses below /api/ that are no operations.
NO_OPERATIONS = {"api/schema/", "api/docs/", "api/"}

#: What people and machines ask for outside of the API without having signed in.
PAGES_FOR_ALL = {
    "login/",
    "logout/",
    "favicon.ico",
    "service-worker.js",  # the same script for everybody
    "health/live",
    "health/ready",
}

#: What only this machine is told, whoever asks there.
ONLY_HERE = {"health/numbers", "metrics"}


def test_every_operation_is_in_the_matrix() -> None:
    parameters = {name for operation in operations() for name in operation.parameters}
    assert parameters <= set(OBJECTS), "say in operations.OBJECTS what the new parameter names"
    with_body = {operation.id for operation in operations() if operation.has_body}
    assert with_body <= set(BODIES), "give operations.BODIES a body for the new operation"
    ids = {operation.id for operation in operations()}
    assert set(BODIES) | set(OPEN) | set(NEEDS_PERMISSION) <= ids, "one is no operation any more"


def test_only_the_named_operations_are_open() -> None:
    assert {operation.id for operation in operations() if operation.is_open} == set(OPEN)


def test_every_address_below_api_is_an_operation_of_the_schema() -> None:
    templates = {operation.template for operation in operations()}
    for route in addresses(get_resolver("hub.urls")):
        if route.startswith("api/") and route not in NO_OPERATIONS:
            template = "/" + route.replace("<int:", "{").replace(">", "}")
            assert template in templates, f"{route} is not in the schema"


def test_every_other_address_wants_a_login_or_is_named(client: Client) -> None:
    for route in addresses(get_resolver("hub.urls")):
        if route.startswith(("api/", "admin/")) or route in PAGES_FOR_ALL | ONLY_HERE:
            continue
        answer = client.get("/" + route)
        assert (answer.status_code, answer["Location"]) == (302, f"/login/?next=/{route}")


def test_a_processes_numbers_are_for_its_own_machine(client: Client) -> None:
    assert client.get("/health/numbers", REMOTE_ADDR="203.0.113.7").status_code in (403, 404)


def addresses(resolver: URLResolver, before: str = "") -> list[str]:
    found = []
    for pattern in resolver.url_patterns:
        route = before + str(pattern.pattern)
        if isinstance(pattern, URLPattern):
            found.append(route)
        else:
            found += addresses(pattern, route)
    return found


@pytest.mark.parametrize("operation", named(closed()))
def test_its_owner_is_let_in(
    operation: Operation, owned: Owned, alice: Any, bearer: Callable[[Any], Headers]
) -> None:
    """Without this the refusals below could be those of a request that is wrong anyway."""
    answer = operation.ask(Client(), owned, headers=bearer(alice))
    assert 200 <= answer.status_code < 300, answer.content


# Everybody in this table has been signed in, or never was. Each is answered by a client and its
# headers.


def nobody(user: Any) -> tuple[Client, Headers]:
    return Client(), {}


def logged_out(user: Any) -> tuple[Client, Headers]:
    client = Client()
    client.force_login(user)
    cookie = client.cookies["sessionid"].value
    client.logout()
    client.cookies["sessionid"] = cookie
    return client, {}


def session_over(user: Any) -> tuple[Client, Headers]:
    client = Client()
    client.force_login(user)
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
    return client, {}


def password_changed(user: Any) -> tuple[Client, Headers]:
    client = Client()
    client.force_login(user)
    user.set_password("another one")
    user.save()
    return client, {}


def deactivated(user: Any) -> tuple[Client, Headers]:
    client = Client()
    client.force_login(user)
    user.is_active = False
    user.save()
    return client, {}


def token_revoked(user: Any) -> tuple[Client, Headers]:
    text = tokens.make(user)
    Token.objects.filter(digest=tokens.digest(text)).delete()
    return Client(), {"Authorization": f"Bearer {text}"}


def token_of_deactivated(user: Any) -> tuple[Client, Headers]:
    text = tokens.make(user)
    user.is_active = False
    user.save()
    return Client(), {"Authorization": f"Bearer {text}"}


def session_under_a_revoked_token(user: Any) -> tuple[Client, Headers]:
    client = Client()
    client.force_login(user)
    return client, token_revoked(user)[1]


def key_revoked(user: Any) -> tuple[Client, Headers]:
    key, text = service_keys.make("shop", scopes=["read"], expires_at=None)
    service_keys.revoke(key.pk)
    return Client(), {"Authorization": f"Bearer {text}"}


def key_expired(user: Any) -> tuple[Client, Headers]:
    text = service_keys.make("shop", scopes=["read"], expires_at=None)[1]
    ServiceKey.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    return Client(), {"Authorization": f"Bearer {text}"}


def basic_as_the_hub_comes(user: Any) -> tuple[Client, Headers]:
    """With the right password."""
    return Client(), basic(user.get_username(), PASSWORD)


STRANGERS = [
    nobody,
    logged_out,
    session_over,
    password_changed,
    deactivated,
    token_revoked,
    token_of_deactivated,
    session_under_a_revoked_token,
    key_revoked,
    key_expired,
    basic_as_the_hub_comes,
]


@pytest.mark.parametrize("stranger", STRANGERS)
@pytest.mark.parametrize("operation", named(closed()))
def test_whoever_is_not_signed_in_is_told_so_and_nothing_else(
    operation: Operation,
    stranger: Callable[[Any], tuple[Client, Headers]],
    owned: Owned,
    alice: Any,
    stored: Stored,
) -> None:
    client, headers = stranger(alice)
    before = stored()
    answer = operation.ask(client, owned, headers=headers)
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == "Bearer"
    assert answer.json()["code"] in ("not_authenticated", "authentication_failed")
    assert MARKER not in answer.content.decode()
    assert stored() == before


@pytest.mark.parametrize("by", ["token", "session"])
@pytest.mark.parametrize("operation", named(closed()))
def test_another_user_reaches_nothing_of_the_owners(
    operation: Operation,
    by: str,
    owned: Owned,
    bob: Any,
    stored: Stored,
    bearer: Callable[[Any], Headers],
    browser: Callable[..., Client],
) -> None:
    send_now("post_like", users=bob, title="Bob's own")
    before = stored()
    client = browser(bob) if by == "session" else Client()
    headers = bearer(bob) if by == "token" else {}
    answer = operation.ask(client, owned, headers=headers)
    assert MARKER not in answer.content.decode()
    assert stored() == before
    if operation.id in NEEDS_PERMISSION:
        assert answer.status_code == 403
    elif operation.parameters:
        # what is another's is told apart from what is not there by nothing
        missing = operation.ask(client, owned, path=operation.path_of_nobodys(), headers=headers)
        assert (answer.status_code, answer.content) == (404, missing.content)
    else:
        # done for himself: of the ids of others nothing was altered
        found = answer.json()
        assert answer.status_code in (200, 201)
        assert isinstance(found, list) or found.get("changed", 0) == 0


@pytest.mark.parametrize(
    "operation", named([operation for operation in closed() if operation.parameters])
)
def test_staff_reach_nobodys_things_by_the_api(
    operation: Operation,
    owned: Owned,
    make_user: Callable[..., Any],
    stored: Stored,
    bearer: Callable[[Any], Headers],
) -> None:
    before = stored()
    admin = make_user("admin", is_staff=True, is_superuser=True)
    answer = operation.ask(Client(), owned, headers=bearer(admin))
    assert answer.status_code == 404
    assert stored() == before


def test_marks_up_to_a_number_stay_in_ones_own_inbox(
    owned: Owned, bob: Any, stored: Stored, bearer: Callable[[Any], Headers]
) -> None:
    send_now("post_like", users=bob, title="Bob's own")
    before = stored()
    answer = Client().post(
        "/api/notifications/mark/",
        {"state": "archived", "up_to": 10**9},
        content_type="application/json",
        headers=bearer(bob),
    )
    assert answer.json()["changed"] == 1
    assert stored() == before


def test_the_permission_to_send_lets_nobody_read(
    owned: Owned, bob: Any, bearer: Callable[[Any], Headers]
) -> None:
    bob.user_permissions.add(Permission.objects.get(codename="add_event"))
    headers = bearer(bob)
    answer = Client().post(
        "/api/events/",
        {"type": "post_like", "users": [owned.user_id], "title": "For Alice"},
        content_type="application/json",
        headers=headers,
    )
    assert answer.status_code == 201
    address = f"/api/notifications/{answer.json()['id']}/"
    assert Client().get(address, headers=headers).status_code == 404


def test_an_idempotency_key_of_another_tells_nothing(
    owned: Owned, alice: Any, bob: Any, bearer: Callable[[Any], Headers]
) -> None:
    bob.user_permissions.add(Permission.objects.get(codename="add_event"))
    body = {"type": "post_like", "users": [], "title": "The same"}
    ids = [
        Client()
        .post(
            "/api/events/",
            body,
            content_type="application/json",
            headers={**bearer(user), "Idempotency-Key": "one"},
        )
        .json()["id"]
        for user in (alice, bob)
    ]
    assert ids[0] != ids[1]
