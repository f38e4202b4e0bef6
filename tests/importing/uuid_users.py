"""Run by test_uuid_users.py as a program: an import into the example project, whose users have
UUIDs. Prints what became of it as JSON."""

import json
import sys
import uuid
from io import StringIO

import django

django.setup()

from django.contrib.auth import get_user_model  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402

from notifications import inbox  # noqa: E402
from notifications.models import Filter, Notification  # noqa: E402
from routing.push.models import Device  # noqa: E402
from tests.importing.tables import OldTables, ago  # noqa: E402


def main() -> None:
    call_command("migrate", verbosity=0)
    ada = get_user_model().objects.create_user("ada")
    old = OldTables(user="uuid")
    key = ada.pk if connection.vendor == "postgresql" else ada.pk.hex
    gone = uuid.uuid4()
    nobody = gone if connection.vendor == "postgresql" else gone.hex
    old.make("rest_notifications")
    old.make("fcm_devices")
    old.make("ios_notifications")
    kind = old.add("notifications_eventtype", name="reply", title="Replies")
    event = old.add(
        "notifications_event", timestamp=ago(days=1), title="Hi", type_id=kind, author_id=key
    )
    for user in (key, nobody):
        old.add("notifications_notification", event_id=event, user_id=user, readed=ago(hours=1))
    old.add("notifications_notificationsfilter", user_id=key)
    for user, token in ((key, "one"), (nobody, "two")):
        old.add(
            "fcm_devices_device", user_id=user, token=token, name="phone", type="web",
            active=True, created_at=ago(days=2), updated_at=ago(days=2),
        )  # fmt: skip
    device = old.add(
        "ios_notifications_device", is_active=True, added_at=ago(days=4), service_id=1,
        token="ab" * 32,
    )  # fmt: skip
    old.add("ios_notifications_device_users", device_id=device, user_id=key)
    said = StringIO()
    for system in ("rest-notifications", "fcm-devices", "ios-notifications"):
        call_command("import_from", system, stdout=said, stderr=said)
    [row] = Notification.objects.all()
    json.dump(
        {
            "mine": row.user_id == ada.pk,
            "read": row.read_at == ago(hours=1),
            "total": inbox.summary(ada.pk).total,
            "author": inbox.page(ada.pk).results[0]["event"]["author"],
            "muted": Filter.objects.filter(user=ada, enabled=False).count(),
            "devices": sorted(Device.objects.filter(user=ada).values_list("backend", flat=True)),
            "said": said.getvalue(),
        },
        sys.stdout,
        default=str,
    )


main()
