"""SQLite locked by somebody else, and on a full disk."""

import threading
from pathlib import Path

import pytest

from tests.acceptance.database import SqliteDatabase
from tests.acceptance.hub import Hub
from tests.waiting import wait_for

pytestmark = pytest.mark.embedded

LOCKED = 3.0  # seconds


def test_sqlite_locked_for_three_seconds_delays_and_loses_nothing(running: Hub) -> None:
    hub = running
    hub.come("user0", "user1")
    hub.send("user0")
    assert isinstance(hub.database, SqliteDatabase)
    with hub.load("user0", "user1", threads=3) as load:
        load.until(10)
        with hub.database.locked():
            threading.Event().wait(LOCKED)
        load.until(10)
    hub.check()


def test_on_a_full_disk_sends_are_refused_and_go_on_when_there_is_room(
    hub: Hub, tmp_path: Path
) -> None:
    full = tmp_path / "full"
    hub.serve(f"full={full}")
    hub.come("user0", "user1")
    hub.send("user0", "user1")
    full.touch()
    big = {"data": "x" * 10_000}
    wait_for(lambda: not hub.send("user0", key=False, more=big).stored, 10, what="a full disk")
    for _ in range(5):
        assert not hub.send("user0", "user1", key=False, more=big).stored
    # what can be read still is
    answer = hub.ask("GET", "notifications/", "user0")
    assert answer is not None and answer.status_code == 200
    full.unlink()
    assert hub.send("user0", "user1", more=big).stored
    hub.check()
