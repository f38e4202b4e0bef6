"""`import_from pymess`: a message there is an event and its delivery here."""

from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.contrib.contenttypes.models import ContentType
from django.core.management.base import CommandError
from django.db import connection

from notifications import inbox, send_template
from notifications.models import Event, EventType, Imported, RelatedObject
from notifications.templating.models import Template
from routing.push import deliveries
from routing.push.models import Delivery
from tests.importing.tables import OldTables, ago, stored

MESSAGE = "pymess_pushnotificationmessage"
RELATED = "pymess_pushnotificationmessagerelatedobject"
SENDER = "pymess.backend.push.onesignal.OneSignalPushNotificationBackend"


def message(**more: Any) -> dict[str, Any]:
    fields = {
        "created_at": ago(days=2), "changed_at": ago(days=2), "sent_at": ago(days=1),
        "recipient": "42", "content": "Your order is there", "heading": "Shop", "state": 2,
        "backend": SENDER, "number_of_send_attempts": 2, "priority": 1,
    }  # fmt: skip
    return fields | more


@pytest.fixture
def shop(old: OldTables) -> OldTables:
    old.make("pymess")
    return old


def test_a_sent_message_is_an_event_and_a_sent_delivery(shop, import_from):
    group = Group.objects.create(name="Order 7")
    link = ContentType.objects.get_for_model(Group).pk
    key = shop.add(
        MESSAGE,
        **message(
            tag="orders", template_slug="order_arrived", redirect_url="https://shop.example/7",
            extra_data={"order": 7}, extra_sender_data={"id": "one-signal-id"},
        ),
    )  # fmt: skip
    shop.add(
        RELATED, created_at=ago(days=2), changed_at=ago(days=2), object_id=str(group.pk),
        content_type_id=link, push_notification_message_id=key,
    )  # fmt: skip
    said = import_from("pymess")
    event, delivery = Event.objects.get(), Delivery.objects.get()
    assert (event.title, event.message, event.tag) == ("Shop", "Your order is there", "orders")
    assert (event.url, event.data) == ("https://shop.example/7", {"order": 7})
    assert (event.type.name, event.type.active) == ("order_arrived", False)
    assert RelatedObject.objects.values_list("content_type", "object_id").get() == (
        link, str(group.pk),
    )  # fmt: skip
    assert (delivery.event_id, delivery.state, delivery.attempts) == (event.pk, "SENT", 2)
    assert (delivery.recipient, delivery.kind, delivery.user_id) == ("42", "alias", None)
    assert (delivery.backend, delivery.provider_id) == ("onesignal", "one-signal-id")
    assert (delivery.created_at, delivery.sent_at) == (ago(days=2), ago(days=1))
    assert delivery.finished_at == ago(days=1)
    assert "deliveries: 1 imported, 0 known already, 0 skipped" in said


def test_templates_keep_their_slugs_and_their_switches(shop, import_from, alice):
    common = {"created_at": ago(days=9), "changed_at": ago(days=9)}
    for slug, body, locked in (
        ("post_like", "Hi {{ name }} & co", False), ("off", "Bye", True),
        ("broken", "{% nosuchtag %}", False),
    ):  # fmt: skip
        shop.add(
            "pymess_pushnotificationtemplate", key="slug", **common, slug=slug, body=body,
            heading="To {{ name }}", redirect_url="/u/{{ name }}", is_active=slug != "off",
            is_locked=locked, is_allowed_duplicate_messages=not locked,
        )  # fmt: skip
    said = import_from("pymess")
    rows = Template.objects.order_by("slug").values_list(
        "slug", "language", "is_active", "is_locked", "allow_duplicates"
    )
    assert list(rows) == [
        ("off", "", False, True, False), ("post_like", "", True, False, True),
    ]  # fmt: skip
    assert "templates: 2 imported, 0 known already, 1 skipped" in said
    assert "1  a text of it is none that a template can have" in said
    event = send_template([alice], "post_like", {"name": "<Ann>"})
    assert event is not None
    [shown] = inbox.page(alice.pk).results
    assert shown["event"]["title"] == "To <Ann>"
    assert shown["event"]["message"] == "Hi <Ann> & co"


def test_a_template_that_the_hub_has_or_had_is_left(shop, import_from):
    shop.add(
        "pymess_pushnotificationtemplate", key="slug", created_at=ago(days=9),
        changed_at=ago(days=9), slug="hello", body="theirs", heading="", is_active=True,
        is_locked=False, is_allowed_duplicate_messages=True,
    )  # fmt: skip
    Template.objects.create(slug="hello", message="ours")
    assert "templates: 0 imported, 1 known already" in import_from("pymess")
    assert Template.objects.get().message == "ours"
    Template.objects.all().delete()
    assert "templates: 1 imported" in import_from("pymess")
    Template.objects.all().delete()
    assert "templates: 0 imported, 1 known already" in import_from("pymess")


def test_what_was_sent_there_counts_as_sent_here(shop, import_from):
    group = Group.objects.create(name="Order 7")
    key = shop.add(MESSAGE, **message(template_slug="order_arrived"))
    shop.add(
        RELATED, created_at=ago(days=2), changed_at=ago(days=2), object_id=str(group.pk),
        content_type_id=ContentType.objects.get_for_model(Group).pk,
        push_notification_message_id=key,
    )  # fmt: skip
    import_from("pymess")
    assert Event.objects.was_sent("order_arrived", group)


def test_states_and_what_still_waits(shop, import_from):
    for state in (1, 2, 3, 4, 5):
        shop.add(MESSAGE, **message(state=state, error="boom" if state == 3 else None))
    said = import_from("pymess")
    rows = Delivery.objects.order_by("id").values_list("state", "error")
    assert list(rows) == [("SENT", ""), ("ERROR", "boom"), ("DEBUG", "")]
    assert "2  it still waits there: let pymess send it, then import again" in said
    assert not Delivery.objects.unfinished().exists()
    assert deliveries.claim(1, most=10, lease=ago(days=1) - ago(days=2), using="default") is None


def test_what_was_waiting_is_imported_once_it_was_sent(shop, import_from):
    shop.add(MESSAGE, **message(state=1))
    import_from("pymess")
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {MESSAGE} SET state = 2")  # noqa: S608
    assert "deliveries: 1 imported" in import_from("pymess")


def test_a_second_run_adds_nothing_and_a_dry_run_stores_nothing(shop, import_from):
    for number in range(4):
        shop.add(MESSAGE, **message(created_at=ago(days=number, hours=1), template_slug="hi"))
    models = (Event, Delivery, EventType, Imported)
    dry = import_from("pymess", "--dry-run")
    assert not Event.objects.exists() and not Delivery.objects.exists()
    assert dry.replace("would be imported", "imported") == import_from("pymess")
    before = [stored(model) for model in models]
    assert "deliveries: 0 imported, 4 known already" in import_from("pymess")
    assert [stored(model) for model in models] == before


def test_recipients_are_users_only_if_it_is_said(shop, import_from, alice, bob):
    shop.add(MESSAGE, **message(recipient=str(alice.pk)))
    shop.add(MESSAGE, **message(recipient="bob"))
    import_from("pymess", "--recipients", "ids")
    users = Delivery.objects.order_by("id").values_list("user_id", flat=True)
    assert list(users) == [alice.pk, None]
    Delivery.objects.all().delete()
    Imported.objects.all().delete()
    import_from("pymess", "--recipients", "names")
    users = Delivery.objects.order_by("id").values_list("user_id", flat=True)
    assert list(users) == [None, bob.pk]


def test_the_columns_of_the_first_version(old, import_from):
    old.make("pymess_0_2")
    values = message(extra_data={"a": 1}, extra_sender_data={"id": "x"}, url="/there")
    for name in ("number_of_send_attempts", "priority"):
        del values[name]
    old.add(MESSAGE, **values)
    import_from("pymess")
    assert (Event.objects.get().url, Event.objects.get().data) == ("/there", {"a": 1})
    assert Delivery.objects.get().provider_id == "x"


def test_what_is_older_than_deliveries_are_kept_is_skipped(shop, import_from, settings):
    at = ago(days=31)
    shop.add(MESSAGE, **message(created_at=at, changed_at=at, sent_at=at))
    assert 'older than HUB["DELIVERY_RETENTION"]' in import_from("pymess")
    settings.HUB = {**settings.HUB, "PERSIST_DELIVERIES": False}
    with pytest.raises(CommandError, match="PERSIST_DELIVERIES"):
        import_from("pymess")
