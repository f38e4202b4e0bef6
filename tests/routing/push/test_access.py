"""Registering by server calls, without signing in, and where nothing else is mounted."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.core.cache import cache
from django.core.checks import run_checks
from django.test import Client

from notifications import EVERYONE, service_keys
from notifications.models import Inbox
from routing.push import devices
from routing.push.models import Delivery, Device
from routing.push.registration import register
from tests.routing.push.conftest import PHONES, Hand, pushed, states
from tests.routing.push.test_api import WEB, App, golden, same_shape, subscription

pytestmark = pytest.mark.django_db

PHONE = {"backend": "dummy", "token": "ok-1"}


@pytest.fixture(autouse=True)
def addresses(settings: Any, phones: None) -> None:
    settings.ROOT_URLCONF = "tests.routing.push.addresses"


def nobody() -> App:
    return App(None)


def app_with(*scopes: str) -> App:
    app = App(None)
    _, text = service_keys.make("shop", scopes=scopes, expires_at=None)
    app.headers = {"Authorization": f"Bearer {text}"}
    return app


class TestServiceKeys:
    def test_it_registers_for_a_user(self, alice: Any, bob: Any) -> None:
        app = app_with("devices:register")
        by_name = app.ask("POST", "devices/", {**PHONE, "user": "alice"})
        assert {*PHONE, "user"} <= set(golden("rest_request_server_device"))
        by_id = app.ask("POST", "devices/", {**PHONE, "user": alice.pk, "name": "Phone"})
        assert (by_name.status_code, by_id.status_code) == (201, 200)
        same_shape(by_name.json(), golden("rest_server_device"))
        assert by_id.json()["user"] == alice.pk
        assert Device.objects.get().user == alice
        assert Inbox.objects.get(user=alice).pushable
        taken = app.ask("POST", "devices/", {**PHONE, "user": "bob"})
        assert taken.status_code == 201
        assert Device.objects.active().get().user == bob

    @pytest.mark.parametrize(
        ("given", "code"),
        [
            ({}, "invalid"),
            ({"user": None}, "invalid"),
            ({"user": "nobody"}, "unknown_user"),
            ({"user": 10**6}, "unknown_user"),
            ({"user": ""}, "unknown_user"),
            ({"user": ["alice"]}, "invalid_audience"),
            ({"user": True}, "invalid_audience"),
            ({"user": "everyone"}, "unknown_user"),
            ({"user": "gone"}, "unknown_user"),
        ],
    )
    def test_it_must_say_for_whom(
        self, alice: Any, make_user: Any, given: dict[str, Any], code: str
    ) -> None:
        make_user("gone", is_active=False)
        answer = app_with("devices:register").ask("POST", "devices/", {**PHONE, **given})
        assert (answer.status_code, answer.json()["code"]) == (400, code)
        assert not Device.objects.exists()

    def test_it_changes_and_ends_devices(self, phone_of: Any, alice: Any) -> None:
        phone = phone_of(alice)
        app = app_with("devices:register")
        path = f"devices/{phone.pk}/"
        assert app.ask("PATCH", path, {"active": False}).json()["active"] is False
        assert app.ask("GET", path).status_code == 403, "it has no scope to read"
        assert app.ask("DELETE", path).status_code == 204
        assert not Device.objects.exists()

    def test_it_lists_devices_of_one_or_of_all(
        self, phone_of: Any, alice: Any, bob: Any, make_user: Any
    ) -> None:
        for user in (alice, bob):
            phone_of(user)
        register(None, backend="dummy", token="ok-nobody")
        app = app_with("read")

        def owners(query: str) -> list[Any]:
            answer = app.ask("GET", f"devices/{query}")
            assert answer.status_code == 200, answer.content
            assert b"ok-" not in answer.content
            return [row["user"] for row in answer.json()["results"]]

        assert owners("") == owners("?user=everyone") == [None, bob.pk, alice.pk]
        assert owners("?user=bob") == owners(f"?user_id={bob.pk}") == [bob.pk]
        assert owners("?user_id=1000000") == []
        for wrong in (
            "user=nobody",
            "user_id=x",
            "user_id=99999999999999999999",
            "user=a&user_id=1",
        ):
            assert app.ask("GET", f"devices/?{wrong}").status_code == 400, wrong

    def test_it_reads_deliveries_of_all(
        self, phone_of: Any, send: Any, hand: Hand, alice: Any, bob: Any
    ) -> None:
        for user in (alice, bob):
            phone_of(user)
        event = send([alice, bob])
        hand.work()
        found = app_with("read").ask("GET", f"deliveries/?event={event.pk}").json()
        assert {row["user"] for row in found["results"]} == {alice.pk, bob.pk}
        assert app_with("devices:register").ask("GET", "deliveries/").status_code == 403


class TestStaff:
    def test_with_the_permission_they_register_and_list(
        self, make_user: Any, hub: Any, alice: Any
    ) -> None:
        hub(STAFF_CALLS=True)
        clerk = make_user("clerk", is_staff=True)
        for codename in ("add_device", "view_device"):
            clerk.user_permissions.add(Permission.objects.get(codename=codename))
        app = App(clerk)
        assert app.ask("POST", "devices/", {**PHONE, "user": "alice"}).json()["user"] == alice.pk
        mine = app.ask("POST", "devices/", {"backend": "dummy", "token": "ok-2"})
        assert mine.json()["user"] == clerk.pk
        assert app.ask("GET", "devices/").json()["count"] == 1, "without user: their own"
        assert app.ask("GET", "devices/?user=alice").json()["results"][0]["user"] == alice.pk
        assert app.ask("GET", "devices/?user=everyone").json()["count"] == 2
        assert app.ask("DELETE", f"devices/{Device.objects.get(user=alice).pk}/").status_code == 404

    def test_the_switch_is_off_as_the_hub_comes(self, make_user: Any, alice: Any) -> None:
        app = App(make_user("root", is_staff=True, is_superuser=True))
        answer = app.ask("POST", "devices/", {**PHONE, "user": "alice"})
        assert (answer.status_code, answer.json()["fields"]) == (400, {"user": ["Is not known."]})
        assert app.ask("GET", "devices/?user=alice").status_code == 403


class TestOpenRegistration:
    @pytest.fixture(autouse=True)
    def on(self, hub: Callable[..., None]) -> Iterator[None]:
        cache.clear()
        hub(OPEN_REGISTRATION=3, APPLICATIONS={**PHONES, **WEB})
        yield
        cache.clear()

    def test_a_browser_that_nobody_logged_in_to_gets_the_key_and_registers(self) -> None:
        assert nobody().ask("GET", "push/vapid-public-key/").status_code == 200
        answer = nobody().ask("POST", "devices/", subscription())
        assert (answer.status_code, answer.content) == (204, b"")
        device = Device.objects.get()
        assert device.user is None and device.active and device.application is not None

    def test_it_gets_direct_pushes_and_nothing_else(
        self, send: Any, hand: Hand, alice: Any
    ) -> None:
        assert nobody().ask("POST", "devices/", PHONE).status_code == 204
        device = Device.objects.get()
        send(EVERYONE)
        send(alice)
        hand.broadcasts()
        hand.work()
        assert not Delivery.objects.exists()
        device.send_message(title="New version")
        hand.work()
        assert (pushed(), states()) == (["ok-1"], ["DEBUG"])

    def test_one_that_is_gone_is_ended(self, hand: Hand) -> None:
        nobody().ask("POST", "devices/", {"backend": "dummy", "token": "dead-x"})
        Device.objects.get().send_message("Hello")
        hand.work()
        device = Device.objects.get()
        assert (device.active, device.reason) == (False, "gone")

    def test_a_user_takes_it_over(self, alice: Any) -> None:
        nobody().ask("POST", "devices/", PHONE)
        assert App(alice).ask("POST", "devices/", PHONE).status_code == 201
        assert Device.objects.active().get().user == alice
        assert Inbox.objects.get(user=alice).pushable

    def test_what_a_user_has_in_use_stays_theirs(self, phone_of: Any, alice: Any) -> None:
        phone = phone_of(alice, "ok-1", name="Mine")
        answer = nobody().ask("POST", "devices/", {**PHONE, "name": "Stolen"})
        assert answer.status_code == 204
        device = Device.objects.get()
        assert (device.pk, device.user, device.name, device.active) == (
            phone.pk,
            alice,
            "Mine",
            True,
        )

    def test_one_whose_user_logged_out_becomes_nobodys(self, phone_of: Any, alice: Any) -> None:
        phone = phone_of(alice, "ok-1")
        devices.change(phone, active=False)
        nobody().ask("POST", "devices/", PHONE)
        assert Device.objects.active().get().user is None
        phone.refresh_from_db()
        assert not phone.live
        assert App(alice).ask("POST", "devices/", PHONE).status_code == 201
        assert Device.objects.active().get().pk == phone.pk, "back again, with its name and id"

    @pytest.mark.parametrize(
        "more", [{"active": False}, {"old_token": "ok-0"}, {"user": 1}, {"id": 1}]
    )
    def test_it_changes_and_ends_nothing(self, more: dict[str, Any]) -> None:
        register(None, backend="dummy", token="ok-0")
        answer = nobody().ask("POST", "devices/", {**PHONE, **more})
        assert (answer.status_code, set(answer.json()["fields"])) == (400, set(more))
        assert Device.objects.active().get().token == "ok-0"

    def test_there_is_room_for_so_many(self) -> None:
        for number in range(3):
            body = {"backend": "dummy", "token": f"ok-{number}"}
            assert nobody().ask("POST", "devices/", body).status_code == 204
        # a known token is told the same as a new one
        for token in ("ok-0", "ok-9"):
            answer = nobody().ask("POST", "devices/", {"backend": "dummy", "token": token})
            assert (answer.status_code, answer["Retry-After"]) == (429, "3600")
        assert Device.objects.count() == 3

    def test_one_address_registers_so_often(self, hub: Any, alice: Any) -> None:
        hub(THROTTLES="anonymous=2/h,send=9/min", OPEN_REGISTRATION=100)

        def ask(address: str, number: int) -> int:
            body = {"backend": "dummy", "token": f"ok-{address}-{number}"}
            client = Client(REMOTE_ADDR=address)
            return client.post("/api/devices/", body, "application/json").status_code

        assert [ask("10.0.0.1", number) for number in range(3)] == [204, 204, 429]
        assert ask("10.0.0.2", 0) == 204
        assert App(alice).ask("POST", "devices/", PHONE).status_code == 201

    def test_checks_warn_of_it(self, hub: Any) -> None:
        def found() -> set[str]:
            return {str(one.id) for one in run_checks()} & {"hub.W021", "hub.W022"}

        hub(OPEN_REGISTRATION=3, THROTTLES="on")
        assert found() == {"hub.W021"}
        hub(THROTTLES="off")
        assert found() == {"hub.W021", "hub.W022"}
        hub(OPEN_REGISTRATION=0)
        assert not found()


def test_where_only_registration_is_mounted_nothing_else_answers(
    settings: Any, hub: Any, phone_of: Any, alice: Any
) -> None:
    settings.ROOT_URLCONF = "routing.push.registration_urls"
    phone = phone_of(alice, "ok-1")

    def ask(method: str, path: str) -> Any:
        body = json.dumps(PHONE) if method == "POST" else ""
        headers = App(alice).headers
        return Client().generic(method, path, body, "application/json", headers=headers)

    assert ask("POST", "/devices/").status_code == 200, "it is known already"
    refused = ask("GET", "/devices/")
    assert (refused.status_code, refused["Allow"]) == (405, "POST")
    for method in ("PUT", "PATCH", "DELETE"):
        assert ask(method, "/devices/").status_code == 405
    for path in (f"/devices/{phone.pk}/", "/deliveries/", "/preferences/"):
        assert ask("GET", path).status_code == 404
