"""The push road in the admin: constant cost, search, permissions, a history of what is done."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from notifications.models import Event
from routing import presence
from routing.push.models import Application, Delivery, Device, Fault, Pause, Preference, Walk
from tests.notifications.admin_site import history, said, signed_in, staff

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("addresses")]

ROOT = "/admin/hub_routing/"
#: Looked at nowhere: a ticket lives for seconds, a provider's token is a secret.
NOT_SHOWN = {"ticket", "providertoken"}
SHOWN = sorted(
    model._meta.model_name or ""
    for model in admin.site._registry
    if model._meta.app_label == "hub_routing"
)

Phone = Callable[..., Device]


@pytest.fixture
def addresses(settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.routing.push.addresses"


@pytest.fixture
def root(make_user: Callable[..., Any]) -> Client:
    return signed_in(make_user("root", is_staff=True, is_superuser=True))


def fill(
    make_user: Callable[..., Any], phone_of: Phone, send: Any, number: int, label: str
) -> None:
    """A row of every kind for each of so many users."""
    for n in range(number):
        user = make_user(f"{label}{n}")
        phone_of(user)
        event = send([user])
        application = Application.objects.create(name=f"{label}{n}", backend="dummy")
        Pause.objects.create(application=application, kind="fault", until=timezone.now())
        Fault.objects.create(application=application, user_id=str(user.pk), reason="x")
        Walk.objects.create(event=event, last=5)
        Preference.objects.create(user=user)
        presence.hold([(user.pk, "", 0)])
    Delivery.objects.filter(state="WAITING").update(state="ERROR", error=f"Unregistered {label}")


def test_every_model_is_there() -> None:
    models = {model._meta.model_name for model in apps.get_app_config("hub_routing").get_models()}
    assert models - set(SHOWN) == NOT_SHOWN


@pytest.mark.parametrize("name", SHOWN)
def test_a_list_costs_the_same_however_long_it_is(
    root: Client, make_user: Callable[..., Any], phone_of: Phone, send: Any, name: str
) -> None:
    costs = []
    for number, label in ((2, "a"), (60, "b")):
        fill(make_user, phone_of, send, number, label)
        for text in ("", "a0"):
            root.get(f"{ROOT}{name}/", {"q": text} if text else {})
        with CaptureQueriesContext(connection) as queries:
            assert root.get(f"{ROOT}{name}/").status_code == 200
        costs.append(len(queries))
    assert costs[0] == costs[1]


@pytest.mark.parametrize("name", SHOWN)
def test_a_row_is_found_and_looked_at(
    root: Client, make_user: Callable[..., Any], phone_of: Phone, send: Any, name: str
) -> None:
    fill(make_user, phone_of, send, 2, "a")
    model = apps.get_model("hub_routing", name)
    for text in ("a0", "1", "no such thing", "a0@example.org", "0" * 30, "²"):
        assert root.get(f"{ROOT}{name}/", {"q": text}).status_code == 200, text
    row = model._default_manager.first()
    assert root.get(f"{ROOT}{name}/{row.pk}/change/").status_code == 200


def rows_in(page: Any) -> int:
    return len(re.findall(r'class="action-select"|<th class="field-', page.content.decode()))


def test_deliveries_are_found_by_event_user_state_provider_and_error(
    root: Client, alice: Any, bob: Any, phone_of: Phone, send: Any
) -> None:
    phone_of(alice)
    phone_of(bob)
    first, second = send([alice, bob]), send([bob])
    Delivery.objects.filter(event=second.pk).update(state="ERROR", error="BadDeviceToken")
    for given, number in (
        ({}, 3),
        ({"q": str(second.pk)}, 1),
        ({"q": "alice"}, 1),
        ({"q": "bob"}, 2),
        ({"q": "nobody"}, 0),
        ({"state__exact": "ERROR"}, 1),
        ({"backend": "dummy"}, 3),
        ({"error": "BadDeviceToken"}, 1),
        ({"error": "Other"}, 0),
    ):
        page = root.get(f"{ROOT}delivery/", given)
        assert page.status_code == 200, given
        assert len(page.context["cl"].result_list) == number, given
    assert "BadDeviceToken" in root.get(f"{ROOT}delivery/").content.decode()
    assert f"/event/{first.pk}/trace/?user=" in root.get(f"{ROOT}delivery/").content.decode()


def act(browser: Client, name: str, action: str, *rows: Any) -> Any:
    data = {"action": action, "_selected_action": [row.pk for row in rows]}
    return browser.post(f"{ROOT}{name}/", data, follow=True)


def test_deliveries_are_tried_again_and_cancelled(
    root: Client, alice: Any, phone_of: Phone, send: Any
) -> None:
    phone_of(alice)
    event = send([alice])
    row = Delivery.objects.get(event=event.pk)
    assert said(act(root, "delivery", "cancel", row)) == "1 cancelled."
    assert said(act(root, "delivery", "cancel", row)) == "0 cancelled."
    assert said(act(root, "delivery", "retry", row)) == "1 are due again."
    row.refresh_from_db()
    assert row.state == "WAITING"
    assert history() == [("Cancelled.", str(row.pk)), ("Made due again.", str(row.pk))]


def test_who_may_only_look_does_nothing(
    make_user: Callable[..., Any], alice: Any, phone_of: Phone, send: Any
) -> None:
    phone_of(alice)
    row = Delivery.objects.get(event=send([alice]).pk)
    looker = staff(make_user, "looker", "view_delivery", "view_application", "view_device")
    assert b'value="cancel"' not in looker.get(f"{ROOT}delivery/").content
    act(looker, "delivery", "cancel", row)
    act(looker, "device", "deactivate", row.device)
    application = Application.objects.get()
    Pause.objects.create(application=application, kind="fault", until=timezone.now())
    act(looker, "application", "resume", application)
    row.refresh_from_db()
    assert row.state == "WAITING" and Pause.objects.exists()
    assert Device.objects.get().active
    assert history() == []
    assert looker.get(f"{ROOT}pause/").status_code == 403


def test_an_application_is_resumed(root: Client, phones: None) -> None:
    root.get(f"{ROOT}application/")
    from routing.push import applications

    [application] = applications.current().by_id.values()
    Pause.objects.create(application=application, kind="fault", until=timezone.now())
    assert said(act(root, "application", "resume", application)) == "1 resumed."
    assert not Pause.objects.exists()
    assert history() == [("Ended its pauses and suspensions.", str(application.pk))]


def test_deliveries_of_users_who_are_gone_are_still_shown(
    root: Client, alice: Any, phone_of: Phone, send: Any
) -> None:
    phone_of(alice)
    event: Event = send([alice])
    alice.delete()
    assert root.get(f"{ROOT}delivery/").status_code == 200
    row = Delivery.objects.filter(event=event.pk).first()
    if row is not None:
        assert root.get(f"{ROOT}delivery/{row.pk}/change/").status_code == 200
