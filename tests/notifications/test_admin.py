"""The admin shows everything, at a constant cost, and writes state through the inbox only."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from notifications import inbox, send_notification, service_keys, tokens
from notifications.models import (
    Audience,
    Event,
    Filter,
    Imported,
    Notification,
    Template,
    Token,
)

pytestmark = pytest.mark.django_db(transaction=True)

MODELS = {
    model._meta.model_name: model_admin
    for model, model_admin in admin.site._registry.items()
    if model._meta.app_label == "hub_notifications"
}

#: What is made in the admin, by a form of its own.
MADE_HERE = {"servicekey"}


@pytest.fixture
def root(make_user: Callable[..., Any]) -> Any:
    return make_user("root", is_staff=True, is_superuser=True)


@pytest.fixture
def browser(addresses: None, root: Any) -> Client:
    client = Client()
    client.force_login(root)
    return client


def path(name: str, *rest: Any) -> str:
    return "/".join(["/admin/hub_notifications", name, *map(str, rest), ""])


def fill(make_user: Callable[..., Any], number: int, label: str) -> None:
    for n in range(number):
        user = make_user(f"{label}{n}")
        event = send_notification(
            "post_like",
            users=user,
            author=user,
            title=f"t{n}",
            related_objects=[user],
            idempotency_key=f"{label}{n}",
        )
        Audience.objects.create(event=event, user_ids=[user.pk], due=timezone.now())
        Filter.objects.create(user=user, type=event.type, channel="push", enabled=False)
        tokens.make(user, name="phone")
        Imported.objects.create(source="old", key=f"{label}{n}", object_id=event.pk)
        service_keys.make(f"{label}{n}", scopes=["read"], expires_at=None)
        Template.objects.create(slug=f"{label}{n}", title="Hello")


def test_every_model_is_there() -> None:
    from django.apps import apps

    models = {
        model._meta.model_name for model in apps.get_app_config("hub_notifications").get_models()
    }
    shown_with_their_event = {"relatedobject", "leftout"}
    assert models - set(MODELS) - {"count", "process"} == shown_with_their_event


@pytest.mark.parametrize("name", sorted(filter(None, MODELS)))
def test_a_list_costs_the_same_however_long_it_is(
    browser: Client, make_user: Callable[..., Any], name: str
) -> None:
    costs = []
    for number, label in ((2, "a"), (52, "b")):
        fill(make_user, number, label)
        browser.get(path(name))  # content types and the like are remembered
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert browser.get(path(name)).status_code == 200
        costs.append(len(queries))
    assert costs[0] == costs[1]


@pytest.mark.parametrize("name", sorted(set(filter(None, MODELS)) - {"announcement"}))
def test_a_list_can_be_searched_and_a_row_be_looked_at(
    browser: Client, make_user: Callable[..., Any], name: str
) -> None:
    fill(make_user, 1, "a")
    model_admin = MODELS[name]
    if model_admin.search_fields:
        for text in ("a0", "1", "no such thing"):
            assert browser.get(path(name), {"q": text}).status_code == 200
    row = model_admin.model._default_manager.first()
    page = browser.get(path(name, row.pk, "change"))
    assert page.status_code == 200
    if name == "template":  # the one thing that is written here: test_templates_admin.py
        return
    assert b'name="_save"' not in page.content
    if name not in MADE_HERE:
        # events are composed as announcements
        assert browser.get(path(name, "add")).status_code == (302 if name == "event" else 403)
    assert browser.post(path(name, row.pk, "change"), {}).status_code == 403


def test_the_hash_of_a_token_is_not_shown(browser: Client, alice: Any) -> None:
    text = tokens.make(alice)
    token = Token.objects.get()
    for page in (path("token"), path("token", token.pk, "change")):
        content = browser.get(page).content.decode()
        assert token.digest not in content and text not in content


def test_deleting_a_token_ends_it(browser: Client, alice: Any) -> None:
    text = tokens.make(alice)
    browser.post(path("token", Token.objects.get().pk, "delete"), {"post": "yes"})
    assert tokens.find(text) is None


def test_deleting_notifications_is_a_change_of_their_inboxes(
    browser: Client, alice: Any, bob: Any
) -> None:
    sent = [send_notification("post_like", users=[alice, bob]).pk for _ in range(3)]
    one = Notification.objects.get(user=alice, event=sent[0])
    browser.post(path("notification", one.pk, "delete"), {"post": "yes"})
    assert inbox.summary(alice.pk).version == 4
    wanted = Notification.objects.filter(event__in=sent[1:])
    browser.post(
        path("notification"),
        {
            "action": "delete_selected",
            "_selected_action": [row.pk for row in wanted],
            "post": "yes",
        },
    )
    assert inbox.summary(alice.pk).total == 0 and inbox.summary(alice.pk).version == 5
    assert inbox.summary(bob.pk).total == 1 and inbox.summary(bob.pk).version == 4
    assert Notification.objects.filter(deleted_at=None).count() == 1


@pytest.mark.parametrize("how", ["one", "many"])
def test_deleting_an_event_withdraws_it(browser: Client, alice: Any, how: str) -> None:
    event = send_notification("post_like", users=alice)
    if how == "one":
        browser.post(path("event", event.pk, "delete"), {"post": "yes"})
    else:
        chosen = {"action": "delete_selected", "_selected_action": [event.pk], "post": "yes"}
        browser.post(path("event"), chosen)
    assert not Event.objects.exists()
    assert inbox.summary(alice.pk).total == 0
    [change] = inbox.changes(alice.pk, epoch=inbox.summary(alice.pk).epoch, since=1).changes
    assert change == {"id": event.pk, "version": 2, "deleted": True}


def test_a_parked_audience_is_tried_again(browser: Client, alice: Any) -> None:
    event = send_notification("post_like", users=[])
    row = Audience.objects.create(
        event=event,
        user_ids=[alice.pk],
        state=Audience.State.PARKED,
        attempts=7,
        due=timezone.now(),
    )
    assert b"parked" in browser.get(path("audience")).content.lower()
    browser.post(path("audience"), {"action": "try_again", "_selected_action": [row.pk]})
    row.refresh_from_db()
    assert (row.state, row.attempts) == (Audience.State.WAITING, 0)
