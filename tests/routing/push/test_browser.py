"""The service worker as it is served: to browsers, and by projects other than the hub."""

import json
import re
from typing import Any

from django.test import Client
from django.urls import path

from notifications import tokens
from routing.push.browser import service_worker
from routing.push.models import Device
from tests.vendors.webpush import Browser

URL = "/service-worker.js"
ENDPOINT = "https://updates.push.services.mozilla.com/wpush/v2/one"


def given(body: str) -> Any:
    """What the script is told about its project."""
    found = re.match(r"self\.HUB_PUSH = (.*);\n", body)
    assert found is not None, body[:200]
    return json.loads(found[1])


def test_whoever_asks_gets_the_script(client: Client) -> None:
    answer = client.get(URL)
    body = answer.content.decode()
    assert answer.status_code == 200
    assert answer["Content-Type"] == "text/javascript; charset=utf-8"
    assert "addEventListener('push'" in body
    assert given(body) == {
        "api": "/api/",
        "csrfCookie": "csrftoken",
        "icon": "/static/hub/icon-192.png",
        "badge": "/static/hub/badge-96.png",
    }


def test_browsers_ask_each_time_and_load_it_once(client: Client) -> None:
    first = client.get(URL)
    assert first["Cache-Control"] == "no-cache"
    again = client.get(URL, headers={"if-none-match": first["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_it_may_be_in_charge_of_the_whole_origin_and_do_little(client: Client) -> None:
    answer = client.get(URL)
    assert answer["Service-Worker-Allowed"] == "/"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self';")


def test_nothing_of_whoever_is_signed_in_is_in_it(client: Client, alice: Any) -> None:
    anonymous = client.get(URL).content
    client.force_login(alice)
    answer = client.get(URL)
    assert answer.content == anonymous
    assert not answer.cookies


def test_the_worker_can_have_a_csrf_token_that_works(alice: Any) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(alice)
    answer = strict.get(URL, {"csrf": ""})
    assert answer["Cache-Control"] == "no-store"
    assert answer["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "Access-Control-Allow-Origin" not in answer

    def mark(**headers: str) -> int:
        body = {"state": "read", "ids": [1]}
        url = "/api/notifications/mark/"
        done = strict.post(url, body, content_type="application/json", headers=headers)
        return int(done.status_code)

    assert mark() == 403
    assert mark(**{"X-CSRFToken": answer.json()["token"]}) == 200


def test_it_is_read_only(client: Client) -> None:
    assert client.post(URL).status_code == 405


def test_another_project_gives_it_words_and_pictures(client: Client, settings: Any) -> None:
    settings.ROOT_URLCONF = __name__
    settings.CSRF_COOKIE_NAME = "other"
    body = client.get("/somewhere/worker.js").content.decode()
    assert given(body) == {
        "api": "/hub/",
        "csrfCookie": "other",
        "title": 'Till </script> "3"',
        "icon": "/static/till.png",
    }


class TestSigningOut:
    def register(self, client: Client) -> int:
        body = {"endpoint": ENDPOINT, "keys": Browser.new().keys, "name": "Desk"}
        answer = client.post("/api/devices/", body, content_type="application/json")
        assert answer.status_code == 201
        return int(answer.json()["id"])

    def test_the_device_of_this_browser_is_pushed_to_no_more(
        self, client: Client, alice: Any
    ) -> None:
        client.force_login(alice)
        device_id = self.register(client)
        client.post("/logout/")
        row = Device.objects.get(pk=device_id)
        assert (row.active, row.reason, row.name) == (False, Device.Reason.LOGOUT, "Desk")

    def test_devices_elsewhere_stay(self, client: Client, alice: Any) -> None:
        client.force_login(alice)
        device_id = self.register(client)
        another = Client()
        another.force_login(alice)
        another.post("/logout/")
        assert Device.objects.get(pk=device_id).active

    def test_a_device_that_went_to_somebody_else_stays(
        self, client: Client, alice: Any, bob: Any
    ) -> None:
        client.force_login(alice)
        self.register(client)
        another = Client()
        another.force_login(bob)
        device_id = self.register(another)
        client.post("/logout/")
        assert Device.objects.get(pk=device_id).active

    def test_an_app_with_a_token_leaves_nothing_in_a_session(
        self, client: Client, alice: Any
    ) -> None:
        token = tokens.make(alice)
        body = {"endpoint": ENDPOINT, "keys": Browser.new().keys}
        headers = {"Authorization": f"Bearer {token}"}
        client.post("/api/devices/", body, content_type="application/json", headers=headers)
        assert not client.cookies


urlpatterns = [
    path("hub/notifications/summary/", service_worker, name="hub-summary"),
    path(
        "somewhere/worker.js",
        service_worker,
        {"title": 'Till </script> "3"', "icon": "/static/till.png"},
    ),
]
