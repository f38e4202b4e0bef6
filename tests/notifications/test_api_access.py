"""Service keys and Basic at the doors of the API: what each may, and what stays shut."""

import base64
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from notifications import inbox, service_keys
from notifications.api import throttles
from notifications.models import Event, IdempotencyKey, ServiceKey
from notifications.testing import settle
from tests.notifications.conftest import Api, error_of, golden, openapi

pytestmark = pytest.mark.django_db

BODY = {"type": "post_like", "users": ["alice"], "title": "Hi"}


def api_of(scopes: list[str], event_types: Any = (), **headers: str) -> Api:
    _, text = service_keys.make("shop", scopes=scopes, event_types=event_types, expires_at=None)
    return Api(Client(), headers={"Authorization": f"Bearer {text}", **headers})


@pytest.fixture
def shop(addresses: None) -> Api:
    """Another program, which may send one type."""
    return api_of(["events:send"], ["post_like"])


@pytest.fixture
def rate(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    monkeypatch.setattr(throttles, "time", lambda: 1_000_000_030.0)
    cache.clear()

    def set_to(text: str) -> None:
        settings.HUB = {**settings.HUB, "THROTTLES": text}

    yield set_to
    cache.clear()


class TestKeys:
    def test_it_sends_to_any_user_as_nobody(self, shop: Api, alice: Any, caplog: Any) -> None:
        caplog.set_level("INFO", logger="notifications")
        answer = shop.post("events/", BODY)
        settle()
        event = Event.objects.get()
        assert (answer.status_code, answer.json()) == (201, {"id": event.pk})
        assert event.author is None
        assert inbox.summary(alice.pk).unread == 1
        assert f"sent event={event.pk} key={ServiceKey.objects.get().pk}" in caplog.text

    def test_only_the_types_that_it_names(self, shop: Api, alice: Any) -> None:
        for name in ("post_comment", "no_such_type", ""):
            found = error_of(shop.post("events/", {**BODY, "type": name}), 403)
            assert found["code"] == "permission_denied"
        assert not Event.objects.exists()

    def test_to_everyone_needs_a_scope_of_its_own(self, shop: Api, alice: Any) -> None:
        everyone = {**BODY, "users": "everyone"}
        error_of(shop.post("events/", everyone), 403)
        assert not Event.objects.exists()
        loud = api_of(["events:send", "events:everyone"], None)
        assert loud.post("events/", everyone).status_code == 201
        assert loud.post("events/", {**BODY, "type": "post_comment"}).status_code == 201
        assert error_of(loud.post("events/", {**BODY, "type": "no"}), 400)["code"] == (
            "unknown_event_type"
        )

    def test_its_idempotency_keys_are_its_own(self, shop: Api, alice: Any) -> None:
        other = api_of(["events:send"], ["post_like"])
        again = {"Idempotency_Key": "order-1"}
        answers = [one.post("events/", BODY, **again) for one in (shop, shop, other)]
        assert [answer.status_code for answer in answers] == [201, 200, 201]
        assert answers[0].json() == answers[1].json() != answers[2].json()
        scopes = set(IdempotencyKey.objects.values_list("scope", flat=True))
        assert scopes == {f"key:{key.pk}" for key in ServiceKey.objects.all()}

    def test_without_the_scope_it_does_not_send(self, addresses: None, alice: Any) -> None:
        reader = api_of(["read", "devices:register"])
        error_of(reader.post("events/", BODY), 403)
        # before the body is looked at: it tells nothing of who is there
        error_of(reader.post("events/", "{"), 403)
        assert not Event.objects.exists()

    def test_read_reads_the_event_types(self, shop: Api) -> None:
        reader = api_of(["read"])
        assert len(reader.get("event-types/").json()) == 3
        assert reader.client.head("/api/event-types/", headers=reader.headers).status_code == 200
        error_of(shop.get("event-types/"), 403)

    @pytest.mark.parametrize("path", ["auth/tokens/", "notifications/", "notifications/summary/"])
    def test_it_has_no_inbox_and_no_tokens(self, addresses: None, path: str) -> None:
        every = api_of(list(service_keys.SCOPES), None)
        found = error_of(every.get(path), 403)
        assert found == golden("rest_error_permission_denied")

    def test_a_revoked_one_is_401(self, shop: Api, alice: Any) -> None:
        service_keys.revoke(ServiceKey.objects.get().pk)
        error_of(shop.post("events/", BODY), 401)

    def test_each_has_a_throttle_of_its_own(self, shop: Api, alice: Any, rate: Any) -> None:
        rate("key=2/min,send=1/min,user=1/min")
        codes = [shop.post("events/", {**BODY, "users": []}).status_code for _ in range(3)]
        assert codes == [201, 201, 429]
        assert api_of(["read"]).get("event-types/").status_code == 200


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


class SecureClient(Client):
    """Its requests come by HTTPS."""

    def generic(self, *arguments: Any, **options: Any) -> Any:
        return super().generic(*arguments, **{**options, "secure": True})


class TestBasic:
    @pytest.fixture
    def on(self, settings: Any, addresses: None) -> None:
        openapi()  # it is made once, and describes the hub as it comes
        settings.HUB = {**settings.HUB, "BASIC_AUTHENTICATION": True}

    def api(self, headers: dict[str, str], *, https: bool = True, **environ: Any) -> Api:
        client = SecureClient(**environ) if https else Client(**environ)
        return Api(client, headers=headers)

    def test_a_user_signs_in(self, on: None, alice: Any, password: str) -> None:
        api = self.api(basic("alice", password))
        assert api.get("notifications/summary/").json()["unread"] == 0

    def test_a_password_may_have_colons_and_any_letters(
        self, on: None, alice: Any, django_user_model: Any
    ) -> None:
        django_user_model.objects.create_user("zoë", password="a:b:ü")
        assert self.api(basic("zoë", "a:b:ü")).get("event-types/").status_code == 200

    def test_it_is_off_unless_switched_on(self, addresses: None, alice: Any, password: str) -> None:
        answer = self.api(basic("alice", password)).get("event-types/")
        error_of(answer, 401)

    def test_not_over_plain_http(
        self, on: None, alice: Any, password: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def asked(*_: Any, **__: Any) -> None:
            raise AssertionError("the password was looked at")

        monkeypatch.setattr("notifications.api.passwords.authenticate", asked)
        found = error_of(self.api(basic("alice", password), https=False).get("event-types/"), 401)
        assert "HTTPS" in found["detail"]

    def test_a_proxy_is_believed_only_where_settings_say_so(
        self, on: None, alice: Any, password: str, settings: Any
    ) -> None:
        api = self.api(basic("alice", password), https=False, HTTP_X_FORWARDED_PROTO="https")
        error_of(api.get("event-types/"), 401)
        settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
        assert api.get("event-types/").status_code == 200

    def test_a_developer_needs_no_https(
        self, on: None, alice: Any, password: str, settings: Any
    ) -> None:
        settings.DEBUG = True
        api = self.api(basic("alice", password), https=False)
        assert api.get("event-types/").status_code == 200

    @pytest.mark.parametrize(
        "header",
        [
            "Basic",
            "Basic ",
            "Basic %%%",
            "Basic " + base64.b64encode(b"alice").decode(),
            "Basic " + base64.b64encode(b"alice:wrong").decode(),
            "Basic " + base64.b64encode(b"nobody:wrong").decode(),
            "Basic " + base64.b64encode(b"\xff\xfe:x").decode(),
            "Basic " + base64.b64encode(b"a\0:x\0").decode(),
            "Digest x",
        ],
    )
    def test_whatever_else_is_401(self, on: None, alice: Any, header: str) -> None:
        error_of(self.api({"Authorization": header}).get("event-types/"), 401)

    def test_an_inactive_user_is_told_what_a_wrong_password_is_told(
        self, on: None, alice: Any, password: str
    ) -> None:
        wrong = self.api(basic("alice", "wrong")).get("event-types/")
        alice.is_active = False
        alice.save()
        right = self.api(basic("alice", password)).get("event-types/")
        assert error_of(right, 401) == error_of(wrong, 401)

    def test_a_wrong_header_never_falls_back_to_the_session(self, on: None, alice: Any) -> None:
        client = SecureClient()
        client.force_login(alice)
        error_of(Api(client, headers=basic("alice", "wrong")).get("event-types/"), 401)

    def test_no_challenge_offers_it(self, on: None) -> None:
        assert self.api({}).get("event-types/")["WWW-Authenticate"] == "Bearer"

    def test_wrong_passwords_are_throttled_and_right_ones_are_not(
        self, on: None, alice: Any, bob: Any, password: str, rate: Any
    ) -> None:
        rate("login=3/min")
        right = self.api(basic("alice", password))
        for _ in range(10):
            assert right.get("event-types/").status_code == 200
        for number in range(3):
            address = {"REMOTE_ADDR": f"10.0.0.{number}"}
            tried = self.api(basic("ALICE" if number else "alice", "wrong"), **address)
            error_of(tried.get("event-types/"), 401)
        found = right.get("event-types/")
        assert error_of(found, 429)["code"] == "throttled"
        assert int(found["Retry-After"]) == 50
        assert self.api(basic("bob", password)).get("event-types/").status_code == 200
