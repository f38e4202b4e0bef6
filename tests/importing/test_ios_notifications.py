"""`import_from ios-notifications`: devices with one owner, and saved messages."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from notifications.models import Event
from routing.push.models import Delivery, Device
from tests.importing.tables import OldTables, ago

HEX = "ab" * 32


@pytest.fixture
def ios(old: OldTables) -> OldTables:
    old.make("ios_notifications")
    for name, hostname in (
        ("App", "gateway.push.apple.com"), ("App", "gateway.sandbox.push.apple.com"),
    ):  # fmt: skip
        old.add(
            "ios_notifications_apnservice", name=name, hostname=hostname, certificate="",
            private_key="",
        )  # fmt: skip
    return old


def ios_device(old: OldTables, token: str, *users: Any, service: int = 1, **more: Any) -> int:
    fields = {"is_active": True, "added_at": ago(days=4), "service_id": service, "token": token}
    key = old.add("ios_notifications_device", **(fields | more))
    for user in users:
        old.add("ios_notifications_device_users", device_id=key, user_id=user.pk)
    return key


def test_ios_devices_have_one_owner_and_their_services_environment(ios, import_from, alice, bob):
    ios_device(
        ios, HEX, alice, bob, service=2, platform="iPhone", display="480x320", os_version="5.1",
        last_notified_at=ago(days=2),
    )  # fmt: skip
    ios_device(ios, "cd" * 32)
    ios_device(ios, "ef" * 32, alice, is_active=False, deactivated_at=ago(days=3))
    said = import_from("ios-notifications")
    phone = Device.objects.get(token=HEX)
    assert (phone.user, phone.environment, phone.application) == (bob, "sandbox", None)
    assert (phone.name, phone.os_version, phone.type) == ("iPhone 480x320", "5.1", "ios")
    assert phone.last_used_at == ago(days=2)
    off = Device.objects.get(token="ef" * 32)
    assert (off.active, off.deactivated_at, off.environment) == (False, ago(days=3), "production")
    assert "devices: 2 imported, 0 known already, 1 skipped" in said
    assert "1  users beside the one who was added last" in said


def test_services_of_several_apps_must_be_applications_here(ios, import_from, alice, settings):
    ios.add(
        "ios_notifications_apnservice", name="Other", hostname="gateway.push.apple.com",
        certificate="", private_key="",
    )  # fmt: skip
    ios_device(ios, HEX, alice)
    assert "there is no apns application 'App'" in import_from("ios-notifications")
    settings.HUB = {**settings.HUB, "APPLICATIONS": {"App": {"backend": "apns"}}}
    import_from("ios-notifications")
    assert Device.objects.get().application.name == "App"


def test_saved_messages_become_events_without_audience(ios, import_from):
    ios.add(
        "ios_notifications_notification", service_id=1, message="Sale!", badge=3, sound="ping",
        created_at=ago(days=3), custom_payload='{"shop": 1}',
        loc_payload='{"loc-key": "SALE", "loc-args": ["50"]}',
    )  # fmt: skip
    ios.add(
        "ios_notifications_notification", service_id=1, message="Long ago", sound="",
        created_at=ago(days=900), custom_payload="", loc_payload="",
    )  # fmt: skip
    said = import_from("ios-notifications")
    event = Event.objects.get()
    assert (event.message, event.data, event.timestamp) == ("Sale!", {"shop": 1}, ago(days=3))
    assert event.push == {
        "badge": 3,
        "sound": "ping",
        "options": {"apns": {"loc_key": "SALE", "loc_args": ["50"]}},
    }
    assert (event.type.name, event.type.active) == ("direct_push", False)
    assert not Delivery.objects.exists()
    assert "events: 1 imported, 0 known already, 1 skipped" in said
    assert "events: 0 imported, 1 known already" in import_from("ios-notifications")


def test_a_user_column_of_another_name_is_found(old, import_from, alice):
    old.make("ios_notifications")
    with connection.cursor() as cursor:
        cursor.execute(
            "ALTER TABLE ios_notifications_device_users RENAME COLUMN user_id TO person_id"
        )
    key = old.add(
        "ios_notifications_device", is_active=True, added_at=ago(days=4), service_id=1, token=HEX
    )
    old.add("ios_notifications_device_users", device_id=key, person_id=alice.pk)
    import_from("ios-notifications")
    assert Device.objects.get().user == alice
    assert Device.objects.get().created_at - ago(days=4) == timedelta(0)
