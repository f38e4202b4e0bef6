"""Workers that are killed in their work, meet at it, or have the wrong time."""

import pytest

from tests.acceptance.hub import Hub
from tests.waiting import wait_for

HOUR = 3600
MANY = [f"user{number}" for number in range(1_250)]  # three Audience rows


@pytest.mark.production
def test_a_worker_killed_in_mid_chunk_loses_and_doubles_nothing(hub: Hub) -> None:
    hub.serve()
    hub.come("user0", "user1", "user700", "user1249")
    worker = hub.worker("die-in-chunk=2")
    hub.send(*MANY)
    assert worker.wait() == -9
    stored = hub.database.rows("SELECT count(*) FROM hub_notification")
    assert 0 < stored[0][0] < len(MANY)
    assert hub.missing()
    hub.worker()
    hub.check()


@pytest.mark.embedded
def test_a_server_killed_while_its_worker_is_in_mid_chunk_loses_nothing(hub: Hub) -> None:
    server = hub.serve("die-in-chunk=2")
    hub.come("user0", "user1249")
    hub.send(*MANY)
    assert server.wait() == -9
    hub.gone(server)
    assert hub.missing()
    hub.serve(port=server.port)
    hub.check()


@pytest.mark.production
def test_two_workers_and_the_sender_after_the_same_audience_deliver_once(hub: Hub) -> None:
    hub.serve()
    hub.worker()
    hub.worker()
    hub.come("user0", "user50", "user99")
    some = [f"user{number}" for number in range(100)]
    sends = [(hub.ledger.begin(some), "atomic") for _ in range(40)]
    # due at once: nobody leaves the sender its head start
    hub.finish(hub.sender(sends, "notifications.fanout.INLINE_HEAD_START=0"))
    hub.check()


@pytest.mark.production
@pytest.mark.parametrize("hours", [1, -1])
def test_a_worker_whose_clock_is_an_hour_off_does_what_is_due(hub: Hub, hours: int) -> None:
    hub.serve()
    hub.worker(f"clock={hours * HOUR}")
    hub.come("user0", "user1")
    killed = hub.ledger.begin(["user0", "user1"])
    hub.finish(hub.sender([(killed, "atomic")], "die-after-commit"), status=-9)
    hub.send(*MANY)
    hub.check()


@pytest.mark.production
def test_a_worker_that_hangs_holds_up_nobody(hub: Hub) -> None:
    hub.serve()
    hub.come("user0", "user1")
    worker = hub.worker()
    worker.pause()
    hub.worker()
    killed = hub.ledger.begin(["user0", "user1"])
    hub.finish(hub.sender([(killed, "atomic")], "die-after-commit"), status=-9)
    hub.send(*MANY)
    hub.check(leave=False)
    worker.resume()
    hub.check()
    wait_for(lambda: not worker.is_running)
