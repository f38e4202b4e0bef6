"""Push services that hang beside one that does not, with a real worker and the real Web Push."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from django.contrib.auth import get_user_model

from notifications import send_notification
from routing.push.models import Delivery
from routing.push.registration import register
from routing.push.vapid import VapidKey
from tests.processes import HubProcess, Processes
from tests.vendors.webpush import Browser, PushService, Reply, push_service
from tests.waiting import wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(180)]


@contextmanager
def running_service() -> Iterator[PushService]:
    """In a thread of its own, as a stranger would be."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    service = push_service()
    try:
        yield asyncio.run_coroutine_threadsafe(service.__aenter__(), loop).result(5)
    finally:
        left = asyncio.run_coroutine_threadsafe(service.__aexit__(None, None, None), loop)
        left.result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()


@pytest.fixture
def services() -> Iterator[list[PushService]]:
    """Three that hang and a quick one."""
    with ExitStack() as stack:
        yield [stack.enter_context(running_service()) for _ in range(4)]


@pytest.fixture
def start_worker(processes: Processes, hub: Any, settings: Any) -> Callable[[], HubProcess]:
    from routing.push import applications

    settings.DEBUG = True
    hub(PUSH_LOCAL_PEERS=True, CREDENTIAL_KEYS=["k" * 40])
    row = applications.Application.objects.create(name="web", backend="webpush", is_default=True)
    secrets = {"private_key": VapidKey.generate().private_text(), "subject": "mailto:a@example.com"}
    applications.set_credentials(row, secrets)
    env = {"DEBUG": "1", "HUB_PUSH_LOCAL_PEERS": "1", "HUB_CREDENTIAL_KEYS": "k" * 40}
    return lambda: processes.start("worker", env=env)


def test_services_that_hang_hold_their_share_and_no_more(
    services: list[PushService], start_worker: Callable[[], HubProcess], make_user: Any
) -> None:
    *hanging, quick = services
    keys = Browser.new().keys
    number = 0
    # all of the hanging ones are due first
    for service, count in [*((each, 120) for each in hanging), (quick, 60)]:
        for _ in range(count):
            number += 1
            path = f"/push/{number}"
            if service is not quick:
                service.replies[path] = Reply(manner="hang")
            if number % 20 == 1:
                user = make_user(f"user{number}")
            register(user, backend="webpush", token=service.url(path), extra=keys)
    send_notification("post_comment", users=get_user_model().objects.all(), title="Hello")
    assert Delivery.objects.count() == 420
    worker = start_worker()
    wait_for(lambda: len(quick.received) >= 60, 30)
    # nobody waited for the end of a request that hangs
    rows = Delivery.objects.exclude(origin=quick.base)
    assert not rows.filter(attempts__gt=0).exists()
    held = [service.most_under_way for service in hanging]
    assert 0 < max(held) <= 50
    assert sum(held) < 100
    wait_for(lambda: Delivery.objects.filter(origin=quick.base, state="SENT").count() == 60)
    assert worker.stop() == 0
