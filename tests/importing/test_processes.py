"""`import_from` as a process of its own: told to who is connected, and killed in the middle."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType

from notifications import inbox, tokens
from notifications.models import Event, Imported, Notification
from tests.importing.tables import OldTables, ago
from tests.processes import ROOT, Processes, child_environment
from tests.security.doors import next_frame, socket_to
from tests.waiting import wait_for

pytestmark = pytest.mark.timeout(240)

TABLE = "notifications_notification"


def rows(recipient: Any, number: int) -> list[dict[str, Any]]:
    content_type = ContentType.objects.get_for_model(get_user_model()).pk
    return [
        {
            "level": "info", "unread": True, "public": True, "deleted": False, "emailed": False,
            "recipient_id": recipient.pk, "actor_content_type_id": content_type,
            "actor_object_id": str(recipient.pk), "verb": "liked", "timestamp": ago(minutes=n),
        }
        for n in range(number)
    ]  # fmt: skip


@pytest.mark.parametrize("others", [1, 12])
def test_who_is_connected_hears_of_it_and_reads(
    old: OldTables, processes: Processes, alice: Any, make_user: Any, others: int
) -> None:
    """By a hint, or where there are many inboxes by reconcile."""
    old.make("notifications_hq")
    old.add_many(TABLE, rows(alice, 3))
    for number in range(others):
        old.add_many(TABLE, rows(make_user(f"other{number}"), 1))
    server = processes.serve()
    with socket_to(server, token=tokens.make(alice, name="phone")) as hers:
        assert next_frame(hers)["version"] == 0
        printed = processes.run("import_from", "notifications-hq")
        assert f"notifications: {3 + others} imported" in printed
        assert "\r" not in printed, "no progress bar where nobody looks"
        heard: list[dict[str, Any]] = []
        while len(heard) < 3:
            frame = next_frame(hers, timeout=20)
            assert frame["action"] == "sync", "nothing old makes a sound"
            heard += frame["changes"]
    events = list(
        Notification.objects.filter(user=alice).order_by("arrived").values_list("event", flat=True)
    )
    assert [change["id"] for change in heard] == events
    assert (frame["version"], frame["unread"], frame["unseen"]) == (3, 3, 3)


def test_killed_in_the_middle_it_goes_on_where_it_was(
    old: OldTables, processes: Processes, alice: Any
) -> None:
    number = 6_000
    old.make("notifications_hq")
    old.add_many(TABLE, rows(alice, number))
    first = processes.start("import_from", "notifications-hq")
    wait_for(lambda: Notification.objects.exists() or not first.is_running, 60, what="a chunk")
    first.kill()
    done = Notification.objects.count()
    assert 0 < done < number and done == Event.objects.count() == inbox.summary(alice.pk).total
    printed = processes.run("import_from", "notifications-hq")
    assert f"notifications: {number - done:,} imported, {done:,} known already" in printed
    found = inbox.summary(alice.pk)
    assert (found.unread, found.unseen, found.total, found.version) == (number,) * 4
    stored = Notification.objects.order_by("arrived").values_list(
        "arrived", "version", "event__timestamp"
    )
    assert [row[:2] for row in stored] == [(n, n) for n in range(1, number + 1)]
    assert [row[2] for row in stored] == sorted(row[2] for row in stored)
    assert list(Event.objects.order_by("timestamp").values_list("pk", flat=True)) == sorted(
        Event.objects.values_list("pk", flat=True)
    )


def test_two_imports_at_once_import_everything_once(
    old: OldTables, processes: Processes, alice: Any
) -> None:
    number = 3_000
    old.make("notifications_hq")
    old.add_many(TABLE, rows(alice, number))
    both = [processes.start("import_from", "notifications-hq") for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0], [process.log for process in both]
    found = inbox.summary(alice.pk)
    assert (found.total, found.version) == (number, number)
    assert Event.objects.count() == number
    assert Imported.objects.filter(source="notifications-hq:notification").count() == number


def test_a_terminal_shows_how_far_it_is(old: OldTables, transactional_db: None, alice: Any) -> None:
    old.make("notifications_hq")
    old.add_many(TABLE, rows(alice, 20))
    screen, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    try:
        done = subprocess.run(
            [sys.executable, ROOT / "manage.py", "import_from", "notifications-hq"],
            stdout=subprocess.PIPE, stderr=terminal, env=child_environment(), timeout=60,
            check=True,
        )  # fmt: skip
        shown = os.read(screen, 100_000).decode()
    finally:
        os.close(terminal)
        os.close(screen)
    assert "20/20" in shown and "rows/s" in shown
    assert b"notifications: 20 imported" in done.stdout
