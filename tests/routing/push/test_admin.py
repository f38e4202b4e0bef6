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


def test_a_test_message_says_of_each_device_what_became_of_it(
    root: Client, alice: Any, phone_of: Phone
) -> None:
    """Whatever a provider does, the page comes back and says it."""
    ok, dead = phone_of(alice, "ok-1"), phone_of(alice, "dead-one")
    crash = phone_of(alice, "crash-1")
    off = phone_of(alice, "ok-2")
    act(root, "device", "deactivate", off)
    page = act(root, "device", "send_test", ok, dead, crash, off)
    told = said(page)
    assert f"dummy {ok.short_hash}: DEBUG" in told
    assert f"dummy {dead.short_hash}: ERROR: gone" in told
    assert f"dummy {off.short_hash}: SKIPPED" in told
    assert f"dummy {crash.short_hash}: ERROR_RETRY" in told
    assert "/trace/" in told  # the worker goes on with what may still succeed
    for device in (ok, dead, crash, off):
        assert device.token not in page.content.decode()
    assert [entry[0] for entry in history()] == ["Disabled."] + ["Sent a test message."] * 4


def test_a_provider_that_refuses_our_credentials_is_said(
    root: Client, alice: Any, phone_of: Phone
) -> None:
    row, other = phone_of(alice, "config-1"), phone_of(alice, "ok-1")
    told = said(act(root, "device", "send_test", row))
    assert f"dummy {row.short_hash}: WAITING: application paused" in told
    told = said(act(root, "device", "send_test_in_bulk", row, other))
    assert told.startswith("0 were sent, of 2: 2 WAITING"), told


def test_a_test_message_in_bulk_counts_by_outcome(
    root: Client, alice: Any, bob: Any, phone_of: Phone
) -> None:
    rows = [phone_of(alice, f"ok-{n}") for n in range(3)]
    rows += [phone_of(bob, f"dead-x{n}") for n in range(2)]
    told = said(act(root, "device", "send_test_in_bulk", *rows))
    assert told.startswith("3 were sent, of 5: 3 DEBUG; 2 ERROR (gone")
    told = said(act(root, "device", "send_test_in_bulk", *rows[:3]))
    assert told == "All were sent, of 3: 3 DEBUG."
    told = said(act(root, "device", "send_test_in_bulk", *rows[3:]))
    assert told.startswith("0 were sent, of 2: 2 SKIPPED"), told


def test_not_more_at_once_than_a_page_can_wait_for(
    root: Client, alice: Any, phone_of: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    from routing.push.admin import devices

    monkeypatch.setattr(devices, "MOST_ALONE", 1)
    rows = [phone_of(alice, "ok-1"), phone_of(alice, "ok-2")]
    assert "at most 1 at a time" in said(act(root, "device", "send_test", *rows))
    assert not Delivery.objects.exists()


def test_credentials_that_cannot_be_read_are_said_and_crash_nothing(
    root: Client, alice: Any, phone_of: Phone
) -> None:
    row = phone_of(alice, "ok-1")
    unreadable = Application.objects.create(name="old", backend="dummy", credentials="v9:nonsense")
    Device.objects.filter(pk=row.pk).update(application=unreadable)
    page = act(root, "device", "send_test", row)
    assert page.status_code == 200 and "DEBUG" not in said(page)
    assert act(root, "device", "send_test_in_bulk", row).status_code == 200


def test_devices_are_enabled_and_disabled(
    root: Client, alice: Any, bob: Any, phone_of: Phone
) -> None:
    hers = phone_of(alice, "ok-shared")
    his = phone_of(bob, "ok-shared")
    assert said(act(root, "device", "deactivate", his)) == "1 disabled."
    assert said(act(root, "device", "activate", hers, his)) == (
        "1 enabled. | 1 not: their tokens belong to other devices now."
    )
    assert history() == [("Disabled.", str(his.pk)), ("Enabled.", str(his.pk))]
    for text, number in (("alice", 1), (str(bob.pk), 1), (his.short_hash, 2), ("nobody", 0)):
        page = root.get(f"{ROOT}device/", {"q": text})
        assert len(page.context["cl"].result_list) >= number, text
