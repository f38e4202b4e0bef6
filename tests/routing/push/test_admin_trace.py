"""The trace tells the push road's part: who acknowledged, what was pushed, what providers said."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from notifications import filters, inbox, send_notification
from notifications.models import Event
from routing import presence
from routing.push.models import Delivery, Device
from tests.notifications.admin_site import staff
from tests.notifications.test_admin_trace import address, facts, story
from tests.routing.push.conftest import Hand

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("addresses")]


@pytest.fixture
def addresses(settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.routing.push.addresses"


@pytest.fixture
def browser(make_user: Callable[..., Any]) -> Client:
    return staff(make_user, "looker", "view_event", "view_notification", "view_delivery")


Phone = Callable[..., Device]


def test_deliveries_in_the_providers_words(
    browser: Client, alice: Any, bob: Any, phone_of: Phone, hand: Hand, send: Any
) -> None:
    phone_of(alice, "ok-alice", name="Alice's phone")
    phone_of(bob, "reject-1")
    phone_of(bob, "dead-2")
    event = send([alice, bob])
    hand.work()
    found = facts(browser, event)
    assert found["Pushed to"] == "1" and found["Acknowledged by"] == "0"
    page = browser.get(address(event)).content.decode()
    refused = Delivery.objects.filter(state="ERROR").exclude(error__startswith="gone").get()
    assert refused.error and refused.error in page
    told = story(browser, event, alice)
    assert "Alice's phone" in told and "1 attempt" in told and "Push DEBUG to dummy" in told
    told = story(browser, event, bob)
    assert f"answer: {refused.error}" in told
    for device in Device.objects.all():
        assert device.short_hash in page or device.short_hash in told or device.user == alice
        assert device.token not in page and device.token_hash not in page
        assert device.token not in told and device.token_hash not in told


def test_who_has_acknowledged_it(
    browser: Client, alice: Any, bob: Any, phones: None, send: Any
) -> None:
    event = send([alice, bob])
    epoch = inbox.positions([], using="default").epoch
    presence.hold([(alice.pk, epoch, 1)])
    presence.hold([(bob.pk, "another epoch", 5)])
    assert facts(browser, event)["Acknowledged by"] == "1"
    assert "an open page showed everything up to number 1" in story(browser, event, alice)
    assert "Not acknowledged by an open page" in story(browser, event, bob)


def test_why_there_was_no_push(
    browser: Client, alice: Any, bob: Any, charlie: Any, phone_of: Phone, send: Any
) -> None:
    phone_of(alice)
    phone_of(charlie)
    filters.set_channels(alice.pk, types={"post_comment": {"push": False}})
    event = send([alice, bob])
    told = story(browser, event, alice)
    assert "Not pushed their filter has the channel push off since" in told
    assert "Not pushed no active device" in story(browser, event, bob)
    assert "the sender wanted none" in story(browser, send([charlie], push=False), charlie)


def test_without_the_permission_it_is_not_told(
    make_user: Callable[..., Any], alice: Any, phone_of: Phone, send: Any
) -> None:
    phone_of(alice)
    event = send([alice])
    half = staff(make_user, "half", "view_event", "view_notification")
    page = half.get(address(event), {"user": "alice"}).content.decode()
    assert "There is more to tell" in page
    assert "Push" not in page


def test_it_costs_the_same_however_many_devices(
    browser: Client, alice: Any, phone_of: Phone, hub: Any, send: Any
) -> None:
    hub(DEVICES_PER_USER=100)
    costs = []
    for number in (1, 50):
        for n in range(number):
            phone_of(alice, f"ok-{number}-{n}")
        event = send([alice])
        rows = Delivery.objects.filter(event=event)
        rows.update(state="ERROR", error="x", finished_at=timezone.now())
        browser.get(address(event), {"user": "alice"})
        with CaptureQueriesContext(connection) as queries:
            browser.get(address(event), {"user": "alice"})
        costs.append(len(queries))
    assert costs[0] == costs[1]


def test_a_push_of_an_event_long_gone_has_a_trace_no_more(browser: Client, alice: Any) -> None:
    event: Event = send_notification("post_like", users=alice)
    event.delete()
    gone = f"/admin/hub_notifications/event/{event.pk or 1}/trace/"
    assert browser.get(gone).status_code == 404


def test_a_direct_push_is_not_called_unaddressed(
    browser: Client, alice: Any, bob: Any, phone_of: Phone
) -> None:
    results = phone_of(alice).send_message("Hello")
    assert results.event is not None
    told = story(browser, results.event, alice)
    assert "Pushed to directly, without a place in the inbox." in told
    assert "Push planned to dummy" in told
    assert "Not addressed." in story(browser, results.event, bob)
