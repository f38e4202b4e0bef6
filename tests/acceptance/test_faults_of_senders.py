"""A sender that is killed, changes its mind, or has the wrong time."""

import pytest

from tests.acceptance.hub import Hub

KILLED = -9
HOUR = 3600


def test_a_sender_killed_between_commit_and_fan_out_has_sent(running: Hub) -> None:
    hub = running
    hub.come("user0", "user1", "user2")
    sent = hub.ledger.begin(["user0", "user1"])
    hub.finish(hub.sender([(sent, "atomic")], "die-after-commit"), status=KILLED)
    assert sent.stored
    hub.check()


def test_a_sender_killed_between_fan_out_and_publish_is_heard_live(running: Hub) -> None:
    hub = running
    hub.come("user0", "user1", "user2")
    # with the local layer a sender has nobody to hand anything over to
    faults = ("die-before-publish", "die-before-handing-over")[: 2 if hub.redis_url else 1]
    for fault in faults:
        for to in (["user0"], ["user0", "user1"]):
            sent = hub.ledger.begin(to)
            hub.finish(hub.sender([(sent, "atomic")], fault), status=KILLED)
            assert sent.stored
    # the short way has no transaction of the caller's: it was committed when the process died
    sent = hub.ledger.begin(["user1"])
    sender = hub.sender([(sent, "plain")], "die-before-publish")
    hub.finish(sender, status=KILLED)
    assert "dies" in sender.log
    hub.ledger.acknowledge(sent.key, None)
    hub.check()


def test_what_was_rolled_back_after_sending_was_never_sent(running: Hub) -> None:
    hub = running
    hub.come("user0", "user1")
    ways = ("plain", "rollback", "atomic", "rollback", "plain")
    sends = [(hub.ledger.begin(["user0", "user1"]), way) for way in ways]
    sends += [(hub.ledger.begin("everyone"), way) for way in ("rollback", "atomic")]
    hub.finish(hub.sender(sends))
    assert sum(sent.forbidden for sent, _ in sends) == 3
    hub.check()


@pytest.mark.production
@pytest.mark.parametrize("hours", [1, -1])
def test_a_sender_whose_clock_is_an_hour_off_reaches_everybody(running: Hub, hours: int) -> None:
    hub = running
    hub.come("user0", "user1")
    many = [f"user{number}" for number in range(1_200)]
    audiences = (["user0"], ["user0", "user1"], many, "everyone")
    sends = [(hub.ledger.begin(to), way) for to in audiences for way in ("plain", "atomic")]
    hub.finish(hub.sender(sends, f"clock={hours * HOUR}"))
    assert all(sent.stored for sent, _ in sends)
    hub.check()


@pytest.mark.production
@pytest.mark.parametrize("hours", [1, -1])
def test_a_killed_sender_whose_clock_was_an_hour_off_has_sent(running: Hub, hours: int) -> None:
    hub = running
    hub.come("user0", "user1")
    sent = hub.ledger.begin(["user0", "user1"])
    sender = hub.sender([(sent, "atomic")], "die-after-commit", f"clock={hours * HOUR}")
    hub.finish(sender, status=KILLED)
    assert sent.stored
    hub.check()
