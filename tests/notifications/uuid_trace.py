"""Run by test_uuid_trace.py as a program: who was left out, where users' keys are UUIDs. Prints
what the trace tells as JSON."""

import json
import sys
import uuid

import django

django.setup()

from django.contrib.auth import get_user_model  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import transaction  # noqa: E402
from django.test import Client  # noqa: E402
from django.utils import timezone  # noqa: E402

from notifications import (  # noqa: E402
    EVERYONE,
    announcements,
    filters,
    inbox,
    left_out,
    send_notification,
    tracing,
)
from notifications.models import Audience, EventType  # noqa: E402
from notifications.worker import fan_out_due  # noqa: E402

USING = "default"
DATA = {"post": 1}


def main() -> None:
    call_command("migrate", verbosity=0)
    users = get_user_model().objects
    ada, bob, eve = (users.create_user(name) for name in ("ada", "bob", "eve"))
    kind = EventType.objects.active()[0]
    filters.set_channels(bob.pk, types={kind.name: {"inbox": False}})

    def verdicts(event):
        return [
            tracing.of_user(event, user, using=USING)[0].verdict.partition(":")[0]
            for user in (ada, bob, eve)
        ]

    found = {}
    alone = send_notification(kind.name, users=[ada, bob], data=DATA)
    unknown = send_notification(kind.name, users=[ada, uuid.uuid4(), bob], data=DATA)
    with transaction.atomic():
        late = send_notification(kind.name, users=[ada, bob], data=DATA)
    for name, event in (("alone", alone), ("unknown", unknown), ("late", late)):
        found[name] = [left_out.counts(event.pk, using=USING), verdicts(event)]
    wide = send_notification(kind.name, users=EVERYONE, data=DATA)
    fan_out_due()
    inbox.take_in([ada.pk, bob.pk])
    wide.refresh_from_db()
    found["everyone"] = [left_out.counts(wide.pk, using=USING), verdicts(wide)]
    waiting = send_notification(kind.name, users=[], data=DATA)
    Audience.objects.create(
        event=waiting, user_ids=[str(eve.pk)], state="parked", due=timezone.now()
    )
    found["parked"] = verdicts(waiting)[2]
    left_out.dropped(Audience.objects.get(event=waiting), using=USING)
    Audience.objects.all().delete()
    found["dropped"] = verdicts(waiting)[2]
    meant = announcements.users_of({"kind": "names", "names": ["ada", "eve"]})
    found["named"] = sorted(user.get_username() for user in meant)
    found["page"] = page_of(alone, ada)
    sys.stdout.write(json.dumps(found))


def page_of(event, user):
    """Whether the admin's pages find the user by key."""
    root = get_user_model().objects.create_superuser("root")
    client = Client(headers={"host": "localhost"})
    client.force_login(root)
    address = f"/admin/hub_notifications/event/{event.pk}/trace/"
    trace = client.get(address, {"user": str(user.pk)})
    rows = client.get("/admin/hub_notifications/notification/", {"q": str(user.pk)})
    return [str(user.pk) in trace.content.decode(), rows.content.count(b'name="_selected_action"')]


main()
