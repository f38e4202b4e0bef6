"""The check after a fault is itself checked: what is broken on purpose it finds."""

from typing import Any

import pytest

from tests.acceptance.database import SqliteDatabase
from tests.acceptance.hub import Hub

pytestmark = pytest.mark.embedded


def test_the_check_finds_what_is_lost_doubled_misnumbered_or_misdirected(hub: Hub) -> None:
    hub.serve()
    clients = hub.come("user0", "user1")
    for _ in range(3):
        hub.send("user0")
    hub.send("user0", "user1")
    hub.check(leave=False)
    assert (hub.missing(), hub.unequal(), hub.wrongs_of_database()) == ([], [], [])

    user0, user1 = (hub.people[name].id for name in ("user0", "user1"))
    change(hub, "DELETE FROM hub_notification WHERE user_id = ? AND arrived = 2", user0)
    assert [line.split()[0] for line in hub.missing()] == ["k1"]
    wrongs = "\n".join(hub.wrongs_of_database())
    assert "user0: numbers [2] were taken by nothing" in wrongs
    assert "user0: counters [4, 4, 4], rows [3, 3, 3]" in wrongs
    assert any("over" in line for line in hub.unequal())

    change(hub, "UPDATE hub_notification SET arrived = 3 WHERE user_id = ? AND arrived = 1", user0)
    assert any("under one number" in line for line in hub.wrongs_of_database())

    change(hub, "UPDATE hub_notification SET user_id = ? WHERE version = 1 AND id = 1", user1)
    assert any("user1 has 'k0', which is not theirs" in it for it in hub.wrongs_of_database())

    hub.ledger.begin(["user0"])
    change(hub, "UPDATE hub_event SET title = 'k4' WHERE title = 'k2'")
    change(hub, "UPDATE hub_event SET title = 'k3' WHERE title = 'k4'")
    assert any("k3 is there 2 times" in it for it in hub.wrongs_of_database())

    hub.ledger.sends["k3"].forbidden = True
    assert any("rolled back, and is there" in it for it in hub.wrongs_of_database())

    change(hub, "UPDATE hub_inbox SET version = 9 WHERE user_id = ?", user1)
    assert any("user1 stands at (1, 1, 1), is (9, 1, 1)" in it for it in hub.unequal())
    hub.clients.leave(*clients)


def test_a_client_that_is_sent_anothers_words_complains(hub: Hub) -> None:
    hub.serve()
    hub.come("user0", "user1")
    sent = hub.send("user0")
    hub.check(leave=False)
    change(hub, "UPDATE hub_event SET message = 'only-user7' WHERE id = ?", sent.event_id)
    hub.come("user0")
    assert hub.clients.wrongs() == ["user0: user0 was sent the data of user7"]


def change(hub: Hub, statement: str, *parameters: Any) -> None:
    assert isinstance(hub.database, SqliteDatabase)
    with hub.database.connection() as connection:
        connection.execute(statement, parameters)
