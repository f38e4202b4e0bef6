"""`import_from push-notifications|fcm-devices`: devices by the rules of registration."""

import uuid
from typing import Any

import pytest
from django.core.management.base import CommandError
from django.db import connection

from notifications import send_notification
from notifications.models import Imported, Inbox
from notifications.testing import settle
from routing.push.devices import hash_of
from routing.push.models import Delivery, Device
from routing.push.registration import register
from routing.push.vapid import VapidKey
from tests.importing.tables import OldTables, ago, stored
from tests.vendors.webpush import Browser

GCM = "push_notifications_gcmdevice"
APNS = "push_notifications_apnsdevice"
WNS = "push_notifications_wnsdevice"
WEB = "push_notifications_webpushdevice"
FCM = "fcm_devices_device"
HEX = "ab" * 32


def gcm(user: Any, token: str, **more: Any) -> dict[str, Any]:
    fields = {
        "active": True, "user_id": user and user.pk, "registration_id": token,
        "date_created": ago(days=5), "cloud_message_type": "GCM",
    }  # fmt: skip
    return fields | more


@pytest.fixture
def four(old: OldTables) -> OldTables:
    old.make("push_notifications")
    return old


def test_gcm_devices_become_fcm_devices_of_their_users(four, import_from, alice):
    four.add(GCM, **gcm(alice, "token-1", name="Her phone", device_id=-1))
    said = import_from("push-notifications")
    device = Device.objects.get()
    assert (device.backend, device.token, device.user) == ("fcm", "token-1", alice)
    assert device.token_hash == hash_of("token-1")
    assert (device.name, device.client_id) == ("Her phone", "0xffffffffffffffff")
    assert (device.active, device.live, device.created_at) == (True, True, ago(days=5))
    assert device.registered_at == ago(days=5) and device.reason == ""
    assert Inbox.objects.get(pk=alice.pk).pushable
    assert "devices: 1 imported, 0 known already, 0 skipped" in said


def test_a_send_after_the_import_is_planned_for_them(four, import_from, alice, settings):
    settings.HUB = {**settings.HUB, "APPLICATIONS": {"app": {"backend": "fcm"}}}
    four.add(GCM, **gcm(alice, "token-1"))
    four.add(GCM, **gcm(alice, "token-2", active=False))
    import_from("push-notifications")
    event = send_notification("post_like", users=[alice], title="Hello")
    settle()
    planned = Delivery.objects.filter(event=event).values_list("device__token_hash", flat=True)
    assert list(planned) == [hash_of("token-1")]
    assert Device.objects.filter(active=True).count() == 1


def test_apns_wns_and_whole_web_push_endpoints(four, import_from, alice):
    key, browser = uuid.uuid4(), Browser.new()
    channel = "https://db5.notify.windows.com/?token=abc"
    common = {"active": True, "user_id": alice.pk, "date_created": ago(days=1)}
    own = key if connection.vendor == "postgresql" else key.hex
    four.add(APNS, **common, registration_id=HEX.upper(), device_id=own)
    four.add(WNS, **common, registration_id=channel)
    four.add(
        WEB, **common, registration_id="https://updates.push.services.mozilla.com/wpush/v2/x",
        p256dh=browser.p256dh, auth=browser.auth + "==", browser="FIREFOX",
    )  # fmt: skip
    import_from("push-notifications", "--environment", "sandbox")
    found = {device.backend: device for device in Device.objects.all()}
    assert found.keys() == {"apns", "wns", "webpush"}
    assert (found["apns"].token, found["apns"].environment) == (HEX, "sandbox")
    assert (found["apns"].type, found["apns"].client_id) == ("ios", str(key))
    assert (found["wns"].token, found["wns"].type) == (channel, "windows")
    assert found["wns"].environment == ""
    web = found["webpush"]
    assert web.token.endswith("/wpush/v2/x") and web.type == "web"
    assert web.extra["auth"] == browser.auth


def test_a_browser_belongs_to_the_key_that_it_subscribed_under(four, import_from, alice, settings):
    key, browser = VapidKey.generate(), Browser.new()
    credentials = {"private_key": key.private_text(), "subject": "mailto:ops@example.com"}
    settings.HUB = {
        **settings.HUB,
        "APPLICATIONS": {"browsers": {"backend": "webpush", "credentials": credentials}},
    }
    four.add(
        WEB, active=True, user_id=alice.pk, browser="FIREFOX", p256dh=browser.p256dh,
        auth=browser.auth, registration_id="https://updates.push.services.mozilla.com/wpush/v2/x",
    )  # fmt: skip
    import_from("push-notifications")
    device = Device.objects.get()
    assert device.application.name == "browsers" and device.extra["vapid"] == key.id
    assert device.origin == "https://updates.push.services.mozilla.com"


def test_what_was_cut_off_a_web_push_endpoint_is_put_back(four, import_from, alice):
    for number, name in enumerate(("CHROME", "FIREFOX", "EDGE")):
        browser = Browser.new()
        four.add(
            WEB, active=True, user_id=alice.pk, registration_id=f"id-{number}", browser=name,
            p256dh=browser.p256dh, auth=browser.auth,
        )  # fmt: skip
    said = import_from("push-notifications")
    assert set(Device.objects.values_list("token", flat=True)) == {
        "https://fcm.googleapis.com/fcm/send/id-0",
        "https://updates.push.services.mozilla.com/wpush/v2/id-1",
    }
    assert "1  only a part of its endpoint was stored" in said


def test_what_cannot_be_imported_is_skipped_with_its_reason(four, import_from, alice):
    four.add(GCM, **gcm(None, "token-1"))
    four.add(GCM, **gcm(alice, "token-2", user_id=10**6))
    four.add(GCM, **gcm(alice, "token-3", application_id="shop"))
    four.add(APNS, active=True, user_id=alice.pk, registration_id="not hexadecimal")
    said = import_from("push-notifications")
    assert not Device.objects.exists()
    assert "devices: 0 imported, 0 known already, 4 skipped" in said
    assert "1  it belongs to no user" in said
    assert "1  its user is not there" in said
    assert "1  there is no fcm application 'shop': declare it, or say --application" in said
    assert "1  token is refused: an APNs token is" in said
    assert "not hexadecimal" not in said


def test_devices_without_a_user_are_nobodys_as_far_as_such_may_be(four, import_from, settings):
    settings.HUB = {**settings.HUB, "OPEN_REGISTRATION": 2}
    for number in range(3):
        four.add(GCM, **gcm(None, f"token-{number}"))
    said = import_from("push-notifications")
    assert list(Device.objects.values_list("user", flat=True)) == [None, None]
    assert '1  it belongs to no user, and HUB["OPEN_REGISTRATION"] lets no more such be' in said


def test_an_application_of_another_name_is_found_by_the_option(four, import_from, alice, settings):
    settings.HUB = {**settings.HUB, "APPLICATIONS": {"shop-fcm": {"backend": "fcm"}}}
    four.add(GCM, **gcm(alice, "token-3", application_id="shop"))
    with pytest.raises(CommandError, match="There is no application 'elsewhere'"):
        import_from("push-notifications", "--application", "shop=elsewhere")
    import_from("push-notifications", "--application", "shop=shop-fcm")
    assert Device.objects.get().application.name == "shop-fcm"


def test_of_rows_with_one_token_the_active_and_newest_has_it(old, import_from, alice, bob, charlie):
    old.make("fcm_devices")
    for user, active, days in ((alice, True, 9), (bob, True, 3), (charlie, False, 1)):
        old.add(
            FCM, user_id=user.pk, token="one", name="phone", type="android", active=active,
            created_at=ago(days=90), updated_at=ago(days=days),
        )  # fmt: skip
    said = import_from("fcm-devices")
    device = Device.objects.get()
    assert (device.user, device.type, device.registered_at) == (bob, "android", ago(days=3))
    assert Inbox.objects.filter(pushable=True).values_list("pk").get() == (bob.pk,)
    assert "devices: 1 imported, 0 known already, 2 skipped" in said
    assert "2  another row there has the same token" in said


def test_a_token_that_somebody_registered_here_stays_theirs(old, import_from, alice, bob):
    old.make("fcm_devices")
    register(bob, backend="fcm", token="one")
    old.add(
        FCM, user_id=alice.pk, token="one", name="phone", type="ios", active=True,
        created_at=ago(days=2), updated_at=ago(days=2),
    )  # fmt: skip
    assert "0 imported, 1 known already" in import_from("fcm-devices")
    assert Device.objects.get().user == bob
    Device.objects.all().delete()  # and what was removed here does not come back
    assert "0 imported, 1 known already" in import_from("fcm-devices")
    assert not Device.objects.exists()


def test_a_second_run_adds_nothing_and_a_dry_run_stores_nothing(old, import_from, alice, bob):
    old.make("fcm_devices")
    for number in range(7):
        old.add(
            FCM, user_id=(alice, bob)[number % 2].pk, token=f"t{number // 2}", name="phone",
            type="web", active=number != 6, created_at=ago(days=2), updated_at=ago(days=number),
        )  # fmt: skip
    dry = import_from("fcm-devices", "--dry-run")
    assert not Device.objects.exists() and not Imported.objects.exists()
    first = import_from("fcm-devices")
    assert dry.replace("would be imported", "imported") == first
    before = [stored(model) for model in (Device, Inbox, Imported)]
    assert "devices: 0 imported, 7 known already, 0 skipped" in import_from("fcm-devices")
    assert [stored(model) for model in (Device, Inbox, Imported)] == before


def test_a_user_has_no_more_devices_than_allowed(old, import_from, alice, settings):
    settings.HUB = {**settings.HUB, "DEVICES_PER_USER": 3}
    old.make("fcm_devices")
    for number in range(5):
        old.add(
            FCM, user_id=alice.pk, token=f"t{number}", name="phone", type="web", active=True,
            created_at=ago(days=9), updated_at=ago(days=number),
        )  # fmt: skip
    said = import_from("fcm-devices")
    left = Device.objects.order_by("token").values_list("token", flat=True)
    assert list(left) == ["t0", "t1", "t2"]
    assert 'more devices of a user than HUB["DEVICES_PER_USER"]' in said
    assert "0 imported, 5 known already" in import_from("fcm-devices")


def test_what_has_been_inactive_for_long_is_skipped(old, import_from, alice):
    old.make("fcm_devices")
    old.add(
        FCM, user_id=alice.pk, token="one", name="phone", type="ios", active=False,
        created_at=ago(days=900), updated_at=ago(days=91),
    )  # fmt: skip
    assert 'longer than HUB["INACTIVE_DEVICES"]' in import_from("fcm-devices")


def test_the_two_tables_of_early_versions(old, import_from, alice):
    old.make("push_notifications_1_2")
    values = gcm(alice, "token-1")
    del values["cloud_message_type"]
    old.add(GCM, **values)
    old.add(APNS, active=True, user_id=alice.pk, registration_id=HEX)
    import_from("push-notifications")
    assert set(Device.objects.values_list("backend", flat=True)) == {"fcm", "apns"}


def test_none_of_its_tables_is_a_sentence(import_from, transactional_db):
    with pytest.raises(CommandError, match="none of the tables of django-push-notifications"):
        import_from("push-notifications")
