"""A test push over HTTP: to one's own device, and not too often."""

from typing import Any

import pytest

from routing.push.backends.dummy import DummyBackend
from routing.push.models import Delivery
from tests.routing.push.conftest import Hand, only
from tests.routing.push.test_api import app_of, golden, same_shape

__all__ = ["app_of"]

pytestmark = pytest.mark.django_db


def test_it_goes_the_way_of_every_delivery(
    phone_of: Any, app_of: Any, hand: Hand, alice: Any
) -> None:
    phone, other = phone_of(alice, "ok-1"), phone_of(alice, "ok-2")
    app = app_of(alice)
    answer = app.ask("POST", f"devices/{phone.pk}/test/")
    assert answer.status_code == 202, answer.content
    same_shape(answer.json(), golden("rest_deliveries")["results"][0])
    assert (answer.json()["device"], answer.json()["state"]) == (phone.pk, "WAITING")
    hand.work()
    [pushed] = DummyBackend.journal
    assert pushed.token == "ok-1"
    assert pushed.said["title"] == "It works"
    event = answer.json()["event"]
    [row] = app.ask("GET", f"deliveries/?event={event}&device={phone.pk}").json()["results"]
    assert row["state"] == "DEBUG"
    assert not Delivery.objects.filter(device=other.pk).exists()
    assert app.ask("GET", "notifications/").json()["count"] == 0, "it is in no inbox"


def test_it_passes_filters_and_quiet_hours(
    phone_of: Any, app_of: Any, hand: Hand, alice: Any
) -> None:
    phone = phone_of(alice)
    app = app_of(alice)
    app.ask("PATCH", "preferences/", {"quiet_hours": {"start": "00:00", "end": "23:59"}})
    assert app.ask("POST", f"devices/{phone.pk}/test/").status_code == 202
    hand.work()
    assert only().state == "DEBUG"


def test_what_cannot_be_sent_to_is_said(phone_of: Any, app_of: Any, hub: Any, alice: Any) -> None:
    phone = phone_of(alice)
    app = app_of(alice)
    app.ask("PATCH", f"devices/{phone.pk}/", {"active": False})
    answer = app.ask("POST", f"devices/{phone.pk}/test/")
    assert (answer.status_code, answer.json()) == (409, golden("rest_error_cannot_send"))
    app.ask("PATCH", f"devices/{phone.pk}/", {"active": True})
    hub(APPLICATIONS={})
    answer = app.ask("POST", f"devices/{phone.pk}/test/")
    assert (answer.status_code, answer.json()["code"]) == (409, "cannot_send")
    assert not Delivery.objects.exists()


def test_another_users_device_is_not_rung(phone_of: Any, app_of: Any, alice: Any, bob: Any) -> None:
    hers = phone_of(alice)
    for number in (hers.pk, 10**6, 2**63):
        answer = app_of(bob).ask("POST", f"devices/{number}/test/")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert app_of(None).ask("POST", f"devices/{hers.pk}/test/").status_code == 401
    assert not Delivery.objects.exists()


def test_it_is_throttled(phone_of: Any, app_of: Any, hub: Any, alice: Any) -> None:
    phone = phone_of(alice)
    hub(THROTTLES="send=2/d")
    app = app_of(alice)
    codes = [app.ask("POST", f"devices/{phone.pk}/test/").status_code for _ in range(3)]
    assert codes == [202, 202, 429]
