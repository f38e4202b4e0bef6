"""`import_from --database-from`: the old tables are in another database, with its own content
types; on either stack that one is SQLite."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.contrib.contenttypes.models import ContentType
from django.db import connections
from django.db.backends.sqlite3.base import DatabaseWrapper

from notifications.models import Event, Notification, RelatedObject
from tests.importing.tables import OldTables, ago
from tests.processes import Processes


@pytest.fixture
def legacy(tmp_path: Path, transactional_db: None) -> Iterator[OldTables]:
    """A file that no alias of this process names; the command's process calls it "legacy"."""
    given = connections["default"].settings_dict | {"NAME": str(tmp_path / "db"), "OPTIONS": {}}
    found = DatabaseWrapper(given | {"TIME_ZONE": None}, alias="default")
    yield OldTables(connection=found)
    found.close()


@pytest.fixture
def import_from(legacy: OldTables, processes: Processes) -> Callable[..., str]:
    env = {
        "DJANGO_SETTINGS_MODULE": "tests.importing.two_databases",
        "LEGACY_DATABASE": str(legacy.connection.settings_dict["NAME"]),
    }

    def run(system: str) -> str:
        return processes.run("import_from", system, "--database-from", "legacy", env=env)

    return run


def test_content_types_are_found_by_their_names(legacy, import_from, alice, bob):
    group = Group.objects.create(name="The club")
    with legacy.connection.cursor() as cursor:
        cursor.execute("CREATE TABLE django_content_type (id integer, app_label text, model text)")
        cursor.execute(
            "INSERT INTO django_content_type VALUES"
            " (901, 'auth', 'user'), (902, 'auth', 'group'), (903, 'gone', 'thing')"
        )
    legacy.make("notifications_hq")
    for target in (902, 903):
        legacy.add(
            "notifications_notification", level="info", unread=True, public=True, deleted=False,
            emailed=False, recipient_id=alice.pk, actor_content_type_id=901,
            actor_object_id=str(bob.pk), verb="joined", timestamp=ago(hours=target),
            target_content_type_id=target, target_object_id=str(group.pk),
        )  # fmt: skip
    assert "notifications: 2 imported" in import_from("notifications-hq")
    first, second = Event.objects.order_by("-timestamp")
    assert (first.title, second.title) == ("bob joined The club", "bob joined")
    assert first.author == second.author == bob
    assert (first.timestamp, second.timestamp) == (ago(hours=902), ago(hours=903))
    links = RelatedObject.objects.values_list("event", "content_type", "object_id")
    here = ContentType.objects.get_for_model(Group).pk
    assert list(links) == [(first.pk, here, str(group.pk))]
    assert Notification.objects.filter(user=alice).count() == 2
    assert get_user_model().objects.count() == 2


def test_a_second_run_there_adds_nothing(legacy, import_from, alice):
    legacy.make("fcm_devices")
    for number in range(7):
        legacy.add(
            "fcm_devices_device", user_id=alice.pk, token=f"t{number}", name="phone", type="web",
            active=True, created_at=ago(days=2), updated_at=ago(days=2),
        )  # fmt: skip
    assert "devices: 7 imported" in import_from("fcm-devices")
    assert "devices: 0 imported, 7 known already" in import_from("fcm-devices")
