"""The publisher makes no sender wait or fail; its last messages leave before the process."""

import os
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from notifications import send_notification
from routing.live import publisher as module
from routing.live.messages import EVERYBODY
from routing.live.publisher import Publisher
from tests.processes import ROOT, child_environment
from tests.waiting import wait_for

HINT = (EVERYBODY, {"type": "hub.probe"})


class Layer:
    """Stands for the channel layer."""

    def __init__(self, *, slow: float = 0.0, error: Exception | None = None) -> None:
        self.slow = slow
        self.error = error
        self.sent: list[Any] = []
        self.threads: set[int] = set()

    async def group_send(self, group: str, message: Any) -> None:
        import asyncio

        self.threads.add(threading.get_ident())
        await asyncio.sleep(self.slow)
        if self.error is not None:
            raise self.error
        self.sent.append((group, message))


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Any:
    made: list[Publisher] = []

    def put(layer: Layer) -> Publisher:
        monkeypatch.setattr(module, "get_channel_layer", lambda: layer)
        made.append(Publisher())
        return made[-1]

    yield put
    for publisher in made:
        publisher.close()


def test_messages_leave_in_order_on_a_thread_of_their_own(use: Any) -> None:
    layer = Layer()
    publisher = use(layer)
    for number in range(300):
        publisher.publish([("g", {"n": number})])
    assert publisher.flush(5)
    assert [message["n"] for _, message in layer.sent] == list(range(300))
    assert layer.threads.isdisjoint({threading.get_ident()})
    assert len(layer.threads) == 1


def test_a_layer_that_hangs_makes_nobody_wait(use: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUFFER", 50)
    publisher = use(Layer(slow=30))
    started = time.monotonic()
    for _ in range(100):
        publisher.publish([HINT])
    assert time.monotonic() - started < 0.5
    # 50 wait and a few are under way; the rest is counted
    assert 100 - 50 - module.AT_ONCE <= publisher.dropped <= 50


def test_a_message_that_takes_too_long_is_given_up(
    use: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SEND_LIMIT", 0.05)
    publisher = use(Layer(slow=30))
    publisher.publish([HINT] * 3)
    assert publisher.flush(5)
    assert publisher.failed == 3


def test_a_layer_that_fails_is_counted_and_asked_again(use: Any) -> None:
    layer = Layer(error=ConnectionError("gone"))
    publisher = use(layer)
    publisher.publish([HINT])
    assert publisher.flush(5)
    layer.error = None
    publisher.publish([HINT])
    assert publisher.flush(5)
    assert publisher.failed == 1
    assert layer.sent == [HINT]


def test_publish_never_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Publisher:
        raise RuntimeError("cannot start a thread")

    monkeypatch.setattr(module, "publisher", broken)
    module.publish([HINT])


# a fork beside threads is what this is about
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_fork_has_a_publisher_of_its_own(use: Any) -> None:
    layer = Layer()
    mine = use(layer)
    mine.publish([HINT])
    mine.flush(5)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        # only what a fork may do: no exception leaves, nothing of the parent is tidied
        answer = b"no"
        try:
            module._publisher = mine
            other = module.publisher()
            other.publish([("g", {"n": "child"})])
            if other is not mine and other.flush(5) and layer.sent[-1][1] == {"n": "child"}:
                answer = b"ok"
        finally:
            os.write(writer, answer)
            os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 2) == b"ok"
    os.close(reader)
    os.close(writer)
    assert len(layer.sent) == 1


@pytest.mark.production
@pytest.mark.django_db(transaction=True)
def test_a_process_that_sends_one_and_ends_is_heard(alice: Any) -> None:
    """It connects only while the interpreter ends; with a host name, which has to be resolved."""
    import redis

    url = os.environ["REDIS_URL"].replace("127.0.0.1", "localhost")
    with redis.Redis.from_url(url) as connection, connection.pubsub() as pubsub:
        pubsub.psubscribe("*hub.user.*")
        wait_for(lambda: pubsub.get_message(timeout=0.1))
        subprocess.run(
            [sys.executable, "-c", SEND_ONE],
            cwd=ROOT,
            check=True,
            env=child_environment({"REDIS_URL": url, "WHO": "alice"}),
        )
        message = wait_for(lambda: pubsub.get_message(timeout=0.1))
        assert b"from the end" in message["data"]


SEND_ONE = """
import os, django
django.setup()
from notifications import send_notification
from django.contrib.auth import get_user_model
user = get_user_model().objects.get(username=os.environ["WHO"])
send_notification("post_like", users=user, title="from the end")
"""


@pytest.mark.production
@pytest.mark.django_db(transaction=True)
def test_sending_does_not_feel_a_dead_redis(
    alice: Any, settings: Any, redis_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from routing import receivers

    settings.CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [{"address": redis_server.url, "socket_timeout": 2}]},
        }
    }
    publisher = Publisher()
    monkeypatch.setattr(receivers, "publish", publisher.publish)
    for fault in (redis_server.pause, redis_server.kill):
        fault()
        started = time.monotonic()
        for _ in range(20):
            send_notification("post_like", users=alice, title="stored")
        assert time.monotonic() - started < 2
    publisher.close()
