"""Who is let in by what: tokens, sessions with CSRF, and never one in the place of the other."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from notifications import tokens
from notifications.models import Token
from tests.notifications.conftest import Api, error_of, golden, same_shape

pytestmark = pytest.mark.django_db

#: One operation of each address that needs signing in.
CLOSED = [
    ("GET", "auth/tokens/"),
    ("DELETE", "auth/tokens/1/"),
    ("GET", "event-types/"),
    ("POST", "events/"),
    ("GET", "notifications/"),
    ("PATCH", "notifications/"),
    ("GET", "notifications/1/"),
    ("PATCH", "notifications/1/"),
    ("DELETE", "notifications/1/"),
    ("GET", "notifications/changes/"),
    ("GET", "notifications/filter/"),
    ("PATCH", "notifications/filter/"),
    ("POST", "notifications/mark/"),
    ("GET", "notifications/summary/"),
]


@pytest.mark.parametrize(("method", "path"), CLOSED)
def test_without_credentials_the_answer_is_401(anybody: Api, method: str, path: str) -> None:
    answer = anybody.ask(method, path, None)
    found = error_of(answer, 401)
    assert found["code"] == "not_authenticated"
    same_shape(found, golden("rest_error_not_authenticated"))
    assert answer["WWW-Authenticate"] == "Bearer"


def bad_headers() -> list[str]:
    return [
        "",
        "Bearer",
        "Bearer ",
        "Bearer hub_" + "x" * 43,
        "Bearer hub_é",
        "Basic YWxpY2U6ZGVtbw==",
        "Token x",
        "nonsense",
        "Bearer " + "x" * 5000,
    ]


@pytest.mark.parametrize("header", bad_headers())
@pytest.mark.parametrize("method", ["GET", "PATCH"])
def test_a_bad_header_never_falls_back_to_the_cookie(
    alice: Any, browser_of: Callable[[Any], Api], header: str, method: str
) -> None:
    browser = browser_of(alice)
    assert browser.get("notifications/").status_code == 200
    answer = browser.ask(method, "notifications/", None, Authorization=header)
    assert error_of(answer, 401)["code"] == "authentication_failed"
    assert answer["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_live_token_lets_in(alice: Any, anybody: Api, scheme: str) -> None:
    header = f"{scheme} {tokens.make(alice)}"
    assert anybody.get("notifications/", Authorization=header).status_code == 200


def test_the_header_counts_and_not_the_cookie(
    alice: Any, bob: Any, browser_of: Callable[[Any], Api]
) -> None:
    tokens.make(bob, name="bobs")
    header = f"Bearer {tokens.make(alice, name='alices')}"
    rows = browser_of(bob).get("auth/tokens/", Authorization=header).json()["results"]
    assert [row["name"] for row in rows] == ["alices"]


def test_the_token_of_an_inactive_user_is_over(alice: Any, alices: Api) -> None:
    alice.is_active = False
    alice.save()
    found = error_of(alices.get("notifications/"), 401)
    assert found["code"] == "authentication_failed"


def test_the_session_of_an_inactive_user_is_over(
    alice: Any, browser_of: Callable[[Any], Api]
) -> None:
    browser = browser_of(alice)
    alice.is_active = False
    alice.save()
    error_of(browser.get("notifications/"), 401)


def test_a_session_needs_the_csrf_header_for_whatever_changes_something(
    alice: Any, addresses: None
) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    browser = Api(client)
    assert browser.get("notifications/").status_code == 200
    for method, path in CLOSED:
        if method != "GET":
            found = error_of(browser.ask(method, path, {}), 403)
            assert found["code"] == "permission_denied"
    client.cookies["csrftoken"] = "x" * 32
    browser.headers["X-CSRFToken"] = "x" * 32
    assert browser.patch("notifications/", []).status_code == 200
    body = {"state": "seen", "ids": []}
    assert browser.post("notifications/mark/", body).status_code == 200


def test_a_token_needs_no_csrf_header(alice: Any, addresses: None) -> None:
    app = Api(
        Client(enforce_csrf_checks=True),
        headers={"Authorization": f"Bearer {tokens.make(alice)}"},
    )
    assert app.patch("notifications/", []).status_code == 200


def test_what_one_person_is_answered_is_for_no_shared_cache(alices: Api) -> None:
    answer = alices.get("notifications/")
    assert "private" in answer["Cache-Control"]
    assert {"Authorization", "Cookie"} <= set(answer["Vary"].split(", "))


def test_a_name_and_a_password_make_a_token(alice: Any, anybody: Api, password: str) -> None:
    body = golden("rest_request_token") | {"username": "alice", "password": password}
    answer = anybody.post("auth/token/", body)
    assert answer.status_code == 200
    same_shape(answer.json(), golden("rest_token"))
    assert answer["Cache-Control"] == "no-store"
    text = answer.json()["token"]
    found = tokens.find(text)
    assert found is not None and found.user == alice and found.name == "Alice's phone"
    header = f"Bearer {text}"
    assert anybody.get("notifications/", Authorization=header).status_code == 200


def test_making_a_token_looks_at_no_other_credentials(
    alice: Any, bob: Any, addresses: None, password: str
) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(bob)
    browser = Api(client, headers={"Authorization": "Bearer nonsense"})
    answer = browser.post("auth/token/", {"username": "alice", "password": password})
    assert answer.status_code == 200
    assert Token.objects.get().user == alice


def test_wrong_name_wrong_password_and_inactive_user_are_not_told_apart(
    alice: Any, bob: Any, anybody: Api, password: str
) -> None:
    bob.is_active = False
    bob.save()
    answers = [
        anybody.post("auth/token/", {"username": name, "password": word})
        for name, word in [("nobody", password), ("alice", "wrong"), ("bob", password)]
    ]
    assert len({answer.content for answer in answers}) == 1
    assert error_of(answers[0], 401)["code"] == "authentication_failed"
    assert not Token.objects.exists()


def test_an_unknown_name_costs_as_much_as_a_wrong_password(
    alice: Any, anybody: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.contrib.auth.hashers import PBKDF2PasswordHasher

    hashed: list[str] = []
    encode = PBKDF2PasswordHasher.encode

    def counted(self: Any, password: str, *rest: Any, **more: Any) -> str:
        hashed.append(password)
        return encode(self, password, *rest, **more)

    monkeypatch.setattr(PBKDF2PasswordHasher, "encode", counted)
    anybody.post("auth/token/", {"username": "alice", "password": "wrong"})
    known, hashed[:] = len(hashed), []
    anybody.post("auth/token/", {"username": "nobody", "password": "wrong"})
    assert len(hashed) == known == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"username": "alice"}, "password"),
        ({"password": "x"}, "username"),
        ({"username": 7, "password": "x"}, "username"),
        ({"username": "alice", "password": None}, "password"),
        ({"username": "alice", "password": True}, "password"),
        ({"username": "alice", "password": ["x"]}, "password"),
        ({"username": "alice", "password": "x", "name": "n" * 101}, "name"),
        ({"username": "alice", "password": "x", "name": "two\nlines"}, "name"),
        ({"username": "alice", "password": "x", "name": 7}, "name"),
        ({"username": "a" * 5000, "password": "x"}, "username"),
        ({"username": "alice", "password": "x", "otp": "1"}, "otp"),
    ],
)
def test_a_body_that_asks_for_no_token_is_refused(anybody: Api, body: Any, field: str) -> None:
    found = error_of(anybody.post("auth/token/", body), 400)
    assert found["code"] == "invalid"
    assert list(found["fields"]) == [field]


@pytest.mark.parametrize("body", ["[]", '"alice"', "7", "null", '["username", "password"]'])
def test_a_body_that_is_no_object_is_refused(anybody: Api, body: str) -> None:
    assert error_of(anybody.post("auth/token/", body), 400)["code"] == "invalid"


@pytest.mark.parametrize("bad", ["\\u0000", "\\ud800", "x\\udfffy"])
@pytest.mark.parametrize("key", ["username", "password", "name"])
def test_nul_and_lone_surrogates_reach_no_password_check(
    anybody: Api, alice: Any, key: str, bad: str
) -> None:
    values = {"username": "alice", "password": "x", "name": "n"} | {key: "BAD"}
    body = json.dumps(values).replace("BAD", bad)
    assert error_of(anybody.post("auth/token/", body), 400)["code"] == "invalid"


def test_a_password_is_taken_as_it_is(anybody: Api, alice: Any) -> None:
    alice.set_password("  blanks  \U0001f511 ")
    alice.save()
    sent = {"username": "alice", "password": "  blanks  \U0001f511 "}
    assert anybody.post("auth/token/", sent).status_code == 200
    error_of(anybody.post("auth/token/", sent | {"password": "blanks \U0001f511"}), 401)
    as_pairs = json.dumps(sent)
    assert "\\ud83d\\udd11" in as_pairs  # a pair of surrogates is good text
    assert anybody.post("auth/token/", as_pairs).status_code == 200


def test_one_lists_ones_own_tokens_newest_first(
    alice: Any, bob: Any, alices: Api, django_assert_num_queries: Any
) -> None:
    tokens.make(bob, name="bobs")
    for name in ("one", "two", "three"):
        tokens.make(alice, name=name)
    found = alices.get("auth/tokens/").json()
    same_shape(found, golden("rest_tokens"))
    assert [row["name"] for row in found["results"]] == ["three", "two", "one", ""]
    assert found["results"][0]["last_used_at"] is None
    assert found["results"][3]["last_used_at"] is not None
    with django_assert_num_queries(3):
        alices.get("auth/tokens/")


def test_the_tokens_are_paged_as_all_lists(alice: Any, alices: Api) -> None:
    for number in range(4):
        tokens.make(alice, name=str(number))
    page = alices.get("auth/tokens/?limit=2&offset=1").json()
    assert page["count"] == 5
    assert [row["name"] for row in page["results"]] == ["2", "1"]
    assert page["next"] == "http://testserver/api/auth/tokens/?limit=2&offset=3"
    assert page["previous"] == "http://testserver/api/auth/tokens/?limit=2"
    error_of(alices.get("auth/tokens/?limit=0"), 400)
    beyond = alices.get(f"auth/tokens/?offset={2**70}").json()
    assert (beyond["count"], beyond["results"], beyond["next"]) == (5, [], None)


def test_a_token_ends_by_its_id(alice: Any, alices: Api, anybody: Api) -> None:
    other = tokens.make(alice)
    token_id = Token.objects.latest("pk").pk
    answer = alices.delete(f"auth/tokens/{token_id}/")
    assert (answer.status_code, answer.content) == (204, b"")
    assert tokens.find(other) is None
    assert error_of(alices.delete(f"auth/tokens/{token_id}/"), 404)["code"] == "not_found"


def test_a_token_can_end_itself(alices: Api) -> None:
    assert alices.delete(f"auth/tokens/{Token.objects.get().pk}/").status_code == 204
    error_of(alices.get("auth/tokens/"), 401)


def test_the_token_of_somebody_else_is_not_found(alices: Api, bob: Any) -> None:
    bobs = tokens.make(bob)
    found = error_of(alices.delete(f"auth/tokens/{Token.objects.get(user=bob).pk}/"), 404)
    nothing = error_of(alices.delete("auth/tokens/999999/"), 404)
    assert found == nothing
    assert tokens.find(bobs) is not None


def test_a_used_token_is_not_written_again_within_a_minute(
    alices: Api, django_assert_num_queries: Any
) -> None:
    alices.get("event-types/")
    used = Token.objects.get().last_used_at
    with django_assert_num_queries(2):
        alices.get("event-types/")
    assert Token.objects.get().last_used_at == used
    Token.objects.update(last_used_at=used - timedelta(minutes=2))
    alices.get("event-types/")
    assert Token.objects.get().last_used_at > used
