"""Whatever is switched on, each opens its own doors alone: every operation, by each new caller."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from notifications import service_keys
from notifications.models import ServiceKey
from notifications.service_keys import READ, REGISTER, SCOPES, SEND
from routing.push.models import Device
from tests.processes import ServerProcess
from tests.security.conftest import MARKER, basic
from tests.security.doors import knock
from tests.security.operations import Operation, Owned, closed, named, operations

pytestmark = pytest.mark.django_db

Stored = Callable[[], Any]
Headers = dict[str, str]

#: What a service key may do, each by its scope; everything else it is refused.
KEYS_MAY = {
    "event_create": SEND,
    "event_type_list": READ,
    "device_list": READ,
    "device_retrieve": READ,
    "delivery_list": READ,
    "device_create": REGISTER,
    "device_update": REGISTER,
    "device_delete": REGISTER,
}

#: What staff may do to devices of others where STAFF_CALLS is on, and by which permission.
STAFF_MAY = {
    "device_retrieve": "view_device",
    "device_update": "change_device",
    "device_delete": "delete_device",
}

#: What anybody may do where OPEN_REGISTRATION is on.
ANYBODY_MAY = {"device_create": 204, "vapid_public_key": 200}

#: What Basic cannot do: a ticket lives as long as what it was made from.
NOT_BY_BASIC = {"ws_ticket_create"}

#: The words of a notification and the secret of a device. (A device's name is no secret to whoever
#: may read devices.)
WORDS = [f"{MARKER} title", f"{MARKER} message", f"/{MARKER}/", f"{MARKER}-token"]


class SecureClient(Client):
    """Its requests come by HTTPS."""

    def generic(self, *arguments: Any, **options: Any) -> Any:
        return super().generic(*arguments, **{**options, "secure": True})


@pytest.fixture
def hub(settings: Any) -> Callable[..., None]:
    """`hub(STAFF_CALLS=True)` changes settings of the hub."""

    def change(**keys: Any) -> None:
        settings.HUB = {**settings.HUB, **keys}

    return change


def key_with(*scopes: str) -> Headers:
    types = None if SEND in scopes else ()
    _, text = service_keys.make("shop", scopes=scopes, event_types=types, expires_at=None)
    return {"Authorization": f"Bearer {text}"}


def asked_for(operation: Operation, owned: Owned, headers: Headers) -> Any:
    """A registration says for whom."""
    if operation.id != "device_create":
        return operation.ask(Client(), owned, headers=headers)
    body = {**json.loads(operation.body(owned) or ""), "user": owned.user_id}
    return Client().post(operation.template, body, "application/json", headers=headers)


class TestKeys:
    def test_the_schema_names_the_same_operations(self) -> None:
        from drf_spectacular.generators import SchemaGenerator

        generator: Any = SchemaGenerator(urlconf="hub.urls")
        schema: Any = generator.get_schema(public=True)
        found = {
            described["operationId"]: needed["serviceKey"]
            for methods in schema["paths"].values()
            for described in methods.values()
            for needed in described.get("security", [])
            if "serviceKey" in needed
        }
        assert found == {name: [scope] for name, scope in KEYS_MAY.items()}

    @pytest.mark.parametrize("operation", named(closed()))
    def test_with_every_scope_it_does_what_is_named_and_nothing_else(
        self, operation: Operation, owned: Owned, stored: Stored
    ) -> None:
        before = stored()
        answer = asked_for(operation, owned, key_with(*SCOPES))
        text = answer.content.decode()
        assert not any(words in text for words in WORDS)
        if operation.id in KEYS_MAY:
            assert 200 <= answer.status_code < 300, text
        else:
            assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
            assert MARKER not in text
            assert stored() == before

    @pytest.mark.parametrize("operation", named(closed()))
    def test_without_the_scope_it_does_nothing(
        self, operation: Operation, owned: Owned, stored: Stored
    ) -> None:
        others = {
            "events:send": ["read", "devices:register"],
            "read": ["events:send", "devices:register"],
        }
        before = stored()
        scopes = others.get(KEYS_MAY.get(operation.id, ""), ["events:send", "read"])
        if operation.id in KEYS_MAY:
            answer = asked_for(operation, owned, key_with(*scopes))
            assert answer.status_code == 403
            assert MARKER not in answer.content.decode()
        assert stored() == before

    def test_it_needs_no_csrf_token_and_ignores_a_session(
        self, owned: Owned, alice: Any, browser: Callable[..., Client]
    ) -> None:
        client = browser(alice, strict=True)
        body = {"type": "post_like", "users": [owned.user_id]}
        answer = client.post("/api/events/", body, "application/json", headers=key_with(SEND))
        assert answer.status_code == 201
        assert client.get("/api/notifications/", headers=key_with(READ)).status_code == 403

    def test_a_key_in_a_url_is_none(self, owned: Owned) -> None:
        text = key_with(READ)["Authorization"].removeprefix("Bearer ")
        for name in ("token", "key", "access_token"):
            assert Client().get(f"/api/event-types/?{name}={text}").status_code == 401


def test_a_service_key_opens_no_socket(server: ServerProcess) -> None:
    headers = key_with(*SCOPES)
    assert knock(server, headers=headers) == 4501
    assert knock(server, origin=server.url, headers=headers) == 4501
    [key] = ServiceKey.objects.all()
    assert key.last_used_at is None, "it was not even looked up"


class TestBasic:
    @pytest.fixture(autouse=True)
    def on(self, hub: Any) -> None:
        operations()  # they are read once, as the hub comes
        hub(BASIC_AUTHENTICATION=True)

    @pytest.mark.parametrize("operation", named(closed()))
    def test_its_owner_is_let_in(self, operation: Operation, owned: Owned) -> None:
        headers = basic(owned.username, owned.password)
        answer = operation.ask(SecureClient(), owned, headers=headers)
        if operation.id in NOT_BY_BASIC:
            assert answer.status_code == 403
        else:
            assert 200 <= answer.status_code < 300, answer.content

    @pytest.mark.parametrize("operation", named(closed()))
    @pytest.mark.parametrize("way", ["plain http", "wrong password", "no password", "inactive"])
    def test_whoever_does_not_sign_in_rightly_is_refused(
        self, operation: Operation, way: str, owned: Owned, alice: Any, stored: Stored
    ) -> None:
        if way == "inactive":
            alice.is_active = False
            alice.save()
        before = stored()
        client = Client() if way == "plain http" else SecureClient()
        password = {"wrong password": "wrong", "no password": ""}.get(way, owned.password)
        answer = operation.ask(client, owned, headers=basic(owned.username, password))
        assert (answer.status_code, answer["WWW-Authenticate"]) == (401, "Bearer")
        assert MARKER not in answer.content.decode()
        assert stored() == before

    @pytest.mark.parametrize("operation", named(closed()))
    def test_another_user_reaches_nothing_of_the_owners(
        self, operation: Operation, owned: Owned, bob: Any, password: str, stored: Stored
    ) -> None:
        before = stored()
        headers = basic("bob", password)
        answer = operation.ask(SecureClient(), owned, headers=headers)
        assert MARKER not in answer.content.decode()
        assert stored() == before
        if operation.parameters:
            assert answer.status_code == 404


class TestStaff:
    @pytest.fixture
    def clerk(self, make_user: Callable[..., Any]) -> Any:
        """Is staff, and has no permission yet."""
        return make_user("clerk", is_staff=True)

    @pytest.mark.parametrize("calls", [False, True])
    @pytest.mark.parametrize("operation", named([one for one in closed() if one.parameters]))
    def test_to_be_staff_is_not_enough(
        self, operation: Operation, calls: bool, owned: Owned, clerk: Any, hub: Any,
        bearer: Any, stored: Stored,
    ) -> None:  # fmt: skip
        hub(STAFF_CALLS=calls)
        before = stored()
        assert operation.ask(Client(), owned, headers=bearer(clerk)).status_code == 404
        assert stored() == before

    @pytest.mark.parametrize("operation", named([one for one in closed() if one.parameters]))
    def test_with_every_permission_they_reach_devices_and_nothing_else(
        self, operation: Operation, owned: Owned, make_user: Any, hub: Any, bearer: Any,
        stored: Stored,
    ) -> None:  # fmt: skip
        hub(STAFF_CALLS=True)
        before = stored()
        root = make_user("root", is_staff=True, is_superuser=True)
        answer = operation.ask(Client(), owned, headers=bearer(root))
        assert not any(words in answer.content.decode() for words in WORDS)
        if operation.id in STAFF_MAY:
            assert 200 <= answer.status_code < 300
        else:
            assert answer.status_code == 404
            assert stored() == before

    @pytest.mark.parametrize(("name", "permission"), STAFF_MAY.items())
    def test_each_needs_its_own_permission_and_the_switch(
        self, name: str, permission: str, owned: Owned, clerk: Any, bob: Any, hub: Any, bearer: Any
    ) -> None:
        [operation] = [one for one in closed() if one.id == name]
        wanted = Permission.objects.get(codename=permission, content_type__app_label="hub_routing")
        for user in (clerk, bob):
            user.user_permissions.add(wanted)
        for user, switch, status in ((clerk, False, 404), (bob, True, 404)):
            hub(STAFF_CALLS=switch)
            answer = operation.ask(Client(), owned, headers=bearer(user))
            assert answer.status_code == status, "not without the switch, and not for a user"
        answer = operation.ask(Client(), owned, headers=bearer(clerk))
        assert 200 <= answer.status_code < 300

    def test_a_list_and_a_registration_for_others_need_them_too(
        self, owned: Owned, clerk: Any, hub: Any, bearer: Any, stored: Stored
    ) -> None:
        hub(STAFF_CALLS=True)
        before = stored()
        headers = bearer(clerk)
        for query in ("user=alice", f"user_id={owned.user_id}", "user=everyone"):
            answer = Client().get(f"/api/devices/?{query}", headers=headers)
            assert answer.status_code == 403
            assert MARKER not in answer.content.decode()
        body = {"backend": "fcm", "token": "x", "user": owned.user_id}
        answer = Client().post("/api/devices/", body, "application/json", headers=headers)
        assert (answer.status_code, set(answer.json()["fields"])) == (400, {"user"})
        assert stored() == before


class TestOpenRegistration:
    @pytest.mark.parametrize("operation", named(closed()))
    def test_anybody_registers_and_sees_nothing(
        self, operation: Operation, owned: Owned, hub: Any, stored: Stored
    ) -> None:
        hub(OPEN_REGISTRATION=10)
        before = stored()
        answer = operation.ask(Client(), owned)
        assert answer.status_code == ANYBODY_MAY.get(operation.id, 401)
        assert MARKER not in answer.content.decode()
        assert stored() == before
        if operation.id == "device_create":
            assert answer.content == b""
            assert Device.objects.get(token="another-device-of-its-own").user is None

    def test_a_device_of_somebodys_stays_theirs_and_the_answer_does_not_tell(
        self, owned: Owned, hub: Any, stored: Stored
    ) -> None:
        hub(OPEN_REGISTRATION=10)
        before = stored()
        answers = [
            Client().post("/api/devices/", {"backend": "dummy", "token": token}, "application/json")
            for token in (f"{MARKER}-token", "nobodys-yet", "nobodys-yet")
        ]
        assert {(one.status_code, one.content) for one in answers} == {(204, b"")}
        assert stored() == before
        assert Device.objects.filter(user=None).count() == 1

    def test_bad_credentials_are_never_taken_for_none(self, owned: Owned, hub: Any) -> None:
        hub(OPEN_REGISTRATION=10)
        body = {"backend": "fcm", "token": "x"}
        for header in ("Bearer x", "Bearer hubkey_" + "x" * 43, "Basic eDp4", "x"):
            answer = Client().post(
                "/api/devices/", body, "application/json", headers={"Authorization": header}
            )
            assert answer.status_code == 401
        assert not Device.objects.filter(user=None).exists()

    def test_nobodys_devices_are_in_nobodys_list(
        self, owned: Owned, alice: Any, bob: Any, hub: Any, bearer: Any
    ) -> None:
        hub(OPEN_REGISTRATION=10)
        Client().post("/api/devices/", {"backend": "fcm", "token": "x"}, "application/json")
        device = Device.objects.get(user=None)
        for user in (alice, bob):
            mine = Client().get("/api/devices/", headers=bearer(user)).json()["results"]
            assert device.pk not in [row["id"] for row in mine]
            found = Client().get(f"/api/devices/{device.pk}/", headers=bearer(user))
            assert found.status_code == 404
