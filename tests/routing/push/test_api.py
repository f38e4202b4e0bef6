"""The push road over HTTP: contract, isolation, and that no secret comes out."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.test import Client

from notifications import tokens
from routing.push import applications
from routing.push.models import Delivery, Device
from routing.push.vapid import VapidKey
from tests.routing.push.conftest import PHONES, Hand

pytestmark = pytest.mark.django_db

GOLDEN = Path(__file__).parent.parent.parent / "golden"
ENDPOINT = "https://updates.push.services.mozilla.com/wpush/v2/gAAAAAsecretpath"
VAPID = VapidKey.generate()
WEB = {
    "web": {
        "backend": "webpush",
        "default": True,
        "credentials": {
            "private_key": VAPID.private_text(),
            "subject": "mailto:hub@example.com",
        },
    }
}


def text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def subscription(endpoint: str = ENDPOINT) -> dict[str, Any]:
    """As a browser's PushSubscription.toJSON() gives it."""
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    point = public.public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    keys = {"p256dh": text(point), "auth": text(b"0123456789abcdef")}
    return {"endpoint": endpoint, "expirationTime": None, "keys": keys}


class App:
    """An app with a bearer token."""

    def __init__(self, user: Any) -> None:
        self.headers = {} if user is None else {"Authorization": f"Bearer {tokens.make(user)}"}

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        return Client().generic(
            method,
            f"/api/{path}",
            data=b"" if body is None else json.dumps(body),
            content_type="application/json",
            headers=self.headers,
        )


@pytest.fixture
def app_of(settings: Any) -> Callable[[Any], App]:
    settings.ROOT_URLCONF = "tests.routing.push.addresses"
    return App


@pytest.fixture
def everything(hub: Any, db: None) -> None:
    hub(APPLICATIONS={**PHONES, **WEB})


def golden(name: str) -> Any:
    return json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))


def same_shape(found: Any, example: Any) -> None:
    """The keys of the example, and its types where neither is null."""
    if isinstance(example, dict) and isinstance(found, dict):
        assert set(found) == set(example)
        for key, value in example.items():
            same_shape(found[key], value)
    elif isinstance(example, list):
        for element in found:
            same_shape(element, example[0])
    elif found is not None and example is not None:
        assert type(found) is type(example)


def test_a_registration_is_new_once(everything: None, app_of: Any, alice: Any) -> None:
    app = app_of(alice)
    body = {"backend": "dummy", "token": "ok-1", "name": "Phone", "type": "ios"}
    made, again = app.ask("POST", "devices/", body), app.ask("POST", "devices/", body)
    assert (made.status_code, again.status_code) == (201, 200)
    assert made.json() == again.json()
    same_shape(made.json(), golden("rest_device"))
    assert made.json()["application"] == "phones"
    assert made.json()["active"] is True, "also where it is left out"


def test_a_subscription_of_a_browser_is_taken_as_it_is(
    everything: None, app_of: Any, alice: Any
) -> None:
    app = app_of(alice)
    body = subscription()
    answer = app.ask("POST", "devices/", body)
    assert answer.status_code == 201, answer.content
    assert (answer.json()["backend"], answer.json()["application"]) == ("webpush", "web")
    row = Device.objects.get()
    assert row.token == ENDPOINT
    assert row.extra["vapid"] == VAPID.id
    assert row.origin == "https://updates.push.services.mozilla.com"
    named = {**body, "name": "Firefox", "backend": "webpush"}
    assert app.ask("POST", "devices/", named).status_code == 200
    renewed = subscription()
    assert app.ask("POST", "devices/", renewed).status_code == 200
    row.refresh_from_db()
    assert row.extra["p256dh"] == renewed["keys"]["p256dh"]
    for body in (golden("rest_request_device"), golden("rest_request_device_webpush")):
        assert set(body) <= {*named, "token", "application", "environment", "type", "app_version",
                             "os_version", "locale", "time_zone", "client_id"}  # fmt: skip


def test_no_secret_comes_out(
    everything: None, app_of: Any, send: Any, hand: Hand, alice: Any, caplog: Any
) -> None:
    caplog.set_level("DEBUG")
    app = app_of(alice)
    body = subscription("https://updates.push.services.mozilla.com/wpush/v2/gAAAA-my-secret")
    secrets = ["my-secret", body["keys"]["auth"], body["keys"]["p256dh"], "ok-hidden-token"]
    said = [app.ask("POST", "devices/", body)]
    phone = {"backend": "dummy", "token": "ok-hidden-token"}
    said.append(app.ask("POST", "devices/", phone))
    send(alice)
    Delivery.objects.filter(backend="webpush").delete()
    hand.work()
    for path in ("devices/", "deliveries/", f"devices/{said[0].json()['id']}/", "preferences/"):
        said.append(app.ask("GET", path))
    said.append(app.ask("PATCH", f"devices/{said[0].json()['id']}/", {"name": "New"}))
    said.append(app.ask("POST", "devices/", {**body, "endpoint": "http://10.0.0.1/my-secret"}))
    written = b"".join(answer.content for answer in said).decode()
    written += caplog.text + "".join(f"{row!r} {row}" for row in Device.objects.all())
    for secret in secrets:
        assert secret not in written
    assert "token" not in said[0].json()


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"backend": "dummy"},
        {"token": "ok-1"},
        {"backend": "dummy", "token": ""},
        {"backend": "dummy", "token": 7},
        {"backend": "pigeon", "token": "ok-1"},
        {"backend": "dummy", "token": "ok-1", "active": "yes"},
        {"backend": "dummy", "token": "ok-1", "user": 1},
        {"backend": "dummy", "token": "ok-1", "id": 1},
        {"backend": "dummy", "token": "ok-1", "application": "nobody's"},
        {"backend": "dummy", "token": "ok-1", "application": "web"},
        {"backend": "dummy", "token": "ok-1", "environment": "moon"},
        {"backend": "dummy", "token": "ok-1", "time_zone": "Mars"},
        {"backend": "webpush", "token": ENDPOINT},
        {"endpoint": ENDPOINT},
        {"endpoint": ENDPOINT, "keys": {}},
        {"endpoint": ENDPOINT, "keys": {"p256dh": "AAAA", "auth": "AAAA"}},
        {"endpoint": ENDPOINT, "keys": "secret", "token": "x"},
        {**subscription(), "endpoint": "https://127.0.0.1/push"},
        {**subscription(), "endpoint": "https://evil.example/push"},
        {**subscription(), "endpoint": "https://169.254.169.254/latest"},
        {**subscription(), "endpoint": "https://[::ffff:127.0.0.1]/push"},
        {**subscription(), "backend": "dummy"},
    ],
)
def test_what_is_no_device_is_400(everything: None, app_of: Any, alice: Any, body: Any) -> None:
    answer = app_of(alice).ask("POST", "devices/", body)
    assert answer.status_code == 400, answer.content
    assert answer.json()["code"] == "invalid"
    assert not Device.objects.exists()


def test_the_list_is_ones_own(
    everything: None, phone_of: Any, app_of: Any, alice: Any, bob: Any
) -> None:
    for number in range(3):
        phone_of(alice, f"ok-{number}")
    phone_of(bob, "ok-bob")
    answer = app_of(alice).ask("GET", "devices/?limit=2").json()
    assert answer["count"] == 3
    assert len(answer["results"]) == 2
    assert answer["next"].endswith("limit=2&offset=2")
    same_shape(answer, golden("rest_devices"))


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_another_users_device_is_not_there(
    phone_of: Any, app_of: Any, alice: Any, bob: Any, method: str
) -> None:
    hers = phone_of(alice)
    app = app_of(bob)
    for number in (hers.pk, 10**6, 2**63):
        answer = app.ask(method, f"devices/{number}/", {} if method == "PATCH" else None)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    hers.refresh_from_db()
    assert hers.active


def test_a_device_is_changed_logged_out_and_deleted(phone_of: Any, app_of: Any, alice: Any) -> None:
    phone = phone_of(alice)
    app = app_of(alice)
    path = f"devices/{phone.pk}/"
    changed = app.ask("PATCH", path, {"name": "Mine", "locale": "de", "type": None})
    assert (changed.status_code, changed.json()["name"]) == (200, "Mine")
    assert app.ask("PATCH", path, {"active": False}).json()["active"] is False
    assert app.ask("PATCH", path, {"active": True}).json()["active"] is True
    assert app.ask("PATCH", path, {"token": "ok-2"}).status_code == 400
    assert app.ask("PATCH", path, {"name": "x" * 101}).status_code == 400
    assert app.ask("PATCH", path, {"time_zone": "Mars"}).status_code == 400
    assert app.ask("DELETE", path).status_code == 204
    assert app.ask("GET", path).status_code == 404


def test_activating_a_device_whose_token_is_elsewhere_is_a_conflict(
    phone_of: Any, app_of: Any, alice: Any, bob: Any
) -> None:
    hers = phone_of(alice, "ok-shared")
    assert app_of(bob).ask(
        "POST", "devices/", {"backend": "dummy", "token": "ok-shared"}
    ).status_code == 201  # fmt: skip
    app = app_of(alice)
    answer = app.ask("PATCH", f"devices/{hers.pk}/", {"active": True})
    assert answer.status_code == 409
    same_shape(answer.json(), golden("rest_error_token_elsewhere"))
    assert app.ask("PATCH", f"devices/{hers.pk}/", {"active": False}).status_code == 200


@pytest.mark.parametrize(
    "path", ["devices/", "devices/1/", "deliveries/", "preferences/", "push/vapid-public-key/"]
)
def test_nobody_is_told_anything(app_of: Any, path: str, db: None) -> None:
    answer = app_of(None).ask("GET", path)
    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, "Bearer")


def test_registering_is_throttled(phones: None, app_of: Any, alice: Any, hub: Any) -> None:
    hub(THROTTLES="send=2/min")
    app = app_of(alice)
    body = {"backend": "dummy", "token": "ok-1"}
    answers = [app.ask("POST", "devices/", body).status_code for _ in range(3)]
    assert answers == [201, 200, 429]
    assert app.ask("GET", "devices/").status_code == 200


def test_the_key_that_browsers_subscribe_under(everything: None, app_of: Any, alice: Any) -> None:
    answer = app_of(alice).ask("GET", "push/vapid-public-key/")
    assert answer.json() == {"key": VAPID.public}
    same_shape(answer.json(), golden("rest_vapid_public_key"))


def test_without_web_push_there_is_no_key(phones: None, app_of: Any, alice: Any) -> None:
    assert app_of(alice).ask("GET", "push/vapid-public-key/").status_code == 404


def test_a_key_is_made_once(hub: Any, app_of: Any, alice: Any) -> None:
    hub(CREDENTIAL_KEYS=["x" * 32])
    first, second = applications.ensure_web_push(), applications.ensure_web_push()
    assert first == second
    assert "private" not in first.credentials
    key = app_of(alice).ask("GET", "push/vapid-public-key/").json()["key"]
    assert VapidKey.read(applications.credentials_of(first)["private_key"]).public == key
    assert app_of(alice).ask("POST", "devices/", subscription()).status_code == 201


def test_deliveries_are_ones_own_and_all_for_staff(
    phone_of: Any, app_of: Any, send: Any, hand: Hand, make_user: Any, alice: Any, bob: Any
) -> None:
    hers, his = phone_of(alice), phone_of(bob, "reject-bob")
    event = send([alice, bob])
    hand.work()
    app = app_of(alice)
    answer = app.ask("GET", "deliveries/").json()
    assert answer["count"] == 1
    same_shape(answer, golden("rest_deliveries"))
    row = answer["results"][0]
    assert (row["event"], row["device"], row["state"]) == (event.pk, hers.pk, "DEBUG")
    assert app.ask("GET", f"deliveries/?device={his.pk}").json()["count"] == 0
    staff = app_of(make_user("staff", is_staff=True))
    assert staff.ask("GET", "deliveries/").json()["count"] == 2
    for query, count in (
        (f"event={event.pk}", 2),
        ("event=999999", 0),
        ("state=ERROR", 1),
        ("state=error", 1),
        ("state=SENT", 0),
        (f"device={his.pk}&state=ERROR", 1),
        ("offset=999999999999", 2),
    ):
        assert staff.ask("GET", f"deliveries/?{query}").json()["count"] == count
    for query in ("state=LOST", "event=x", "device=0", "limit=0"):
        assert staff.ask("GET", f"deliveries/?{query}").status_code == 400


def test_the_list_of_deliveries_costs_the_same_for_many(
    phone_of: Any, app_of: Any, send: Any, alice: Any, django_assert_max_num_queries: Any
) -> None:
    for number in range(15):
        phone_of(alice, f"ok-{number}")
    send(alice)
    app = app_of(alice)
    for path in ("deliveries/", "devices/"):
        with django_assert_max_num_queries(5):
            assert app.ask("GET", path).json()["count"] == 15


def test_preferences_are_read_and_changed(app_of: Any, alice: Any, bob: Any) -> None:
    app = app_of(alice)
    assert app.ask("GET", "preferences/").json() == {"quiet_hours": None, "time_zone": "UTC"}
    wanted = golden("rest_preferences")
    answer = app.ask("PATCH", "preferences/", wanted)
    assert (answer.status_code, answer.json()) == (200, wanted)
    assert app.ask("PATCH", "preferences/", {"time_zone": "Asia/Tokyo"}).json() == {
        **wanted,
        "time_zone": "Asia/Tokyo",
    }
    assert app.ask("PATCH", "preferences/", {"quiet_hours": None}).json()["quiet_hours"] is None
    assert app.ask("PATCH", "preferences/", {}).status_code == 200
    assert app_of(bob).ask("GET", "preferences/").json()["time_zone"] == "UTC"


@pytest.mark.parametrize(
    "body",
    [
        [],
        {"quiet_hours": "22-7"},
        {"quiet_hours": {"start": "22:00"}},
        {"quiet_hours": {"start": "22:00", "end": "25:00"}},
        {"quiet_hours": {"start": "22:00", "end": 7}},
        {"quiet_hours": {"start": "22:00", "end": "22:00"}},
        {"quiet_hours": {"start": "22:00", "end": "07:00", "zone": "UTC"}},
        {"time_zone": None},
        {"time_zone": ""},
        {"time_zone": "Mars/Olympus"},
        {"time_zone": "../../etc/passwd"},
        {"volume": 11},
    ],
)
def test_what_are_no_preferences_is_400(app_of: Any, alice: Any, body: Any) -> None:
    answer = app_of(alice).ask("PATCH", "preferences/", body)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
