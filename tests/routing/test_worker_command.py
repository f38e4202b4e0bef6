"""`manage.py worker`: does what is due, finishes the chunk in hand, and says how it went."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from notifications import send_notification
from notifications.models import Audience, Inbox
from notifications.worker import Duty
from routing import duties
from tests.waiting import wait_for


@pytest.fixture
def extra() -> Iterator[list[Duty]]:
    """Duties that a road adds."""
    added: list[Duty] = []
    before = list(duties._makers)
    duties.add(lambda: added)
    yield added
    duties._makers[:] = before


@pytest.fixture(autouse=True)
def same_signals() -> Iterator[None]:
    """The command takes over SIGINT and SIGTERM; here it runs inside the test."""
    import signal

    numbers = (signal.SIGINT, signal.SIGTERM)
    handlers = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, handlers, strict=True):
        signal.signal(number, handler)


def waiting_audience(users: list[Any]) -> None:
    """As a process leaves it that was killed right after its commit."""
    event = send_notification("post_like", users=[], title="left behind")
    Audience.objects.create(
        event_id=event.pk,
        user_ids=[user.pk for user in users],
        due=timezone.now() - timedelta(seconds=1),
    )


@pytest.mark.django_db(transaction=True)
def test_once_does_all_that_is_due_and_ends(alice: Any, bob: Any, extra: list[Duty]) -> None:
    asked = []
    extra.append(Duty("extra", timedelta(hours=1), lambda: bool(asked.append(1))))
    waiting_audience([alice])
    waiting_audience([bob])
    call_command("worker", "--once")
    assert Audience.objects.count() == 0
    assert Inbox.objects.filter(unread=1).count() == 2
    assert asked == [1]


@pytest.mark.django_db(transaction=True)
def test_once_says_when_a_duty_failed(alice: Any, extra: list[Duty]) -> None:
    def broken() -> bool:
        raise RuntimeError("no")

    extra.append(Duty("broken", timedelta(hours=1), broken))
    waiting_audience([alice])
    with pytest.raises(SystemExit) as ended:
        call_command("worker", "--once")
    assert ended.value.code == 1
    # the others did their part
    assert Audience.objects.count() == 0


def test_it_works_until_it_is_told_to_stop(processes: Any, alice: Any) -> None:
    worker = processes.start("worker")
    wait_for(lambda: "Working" in worker.log, 20)
    waiting_audience([alice])
    wait_for(lambda: Inbox.objects.filter(pk=alice.pk, unread=1).exists(), 10)
    assert worker.stop() == 0
    worker = processes.start("worker")
    wait_for(lambda: "Working" in worker.log, 20)
    assert worker.interrupt() == 0
    assert "Traceback" not in worker.log
