"""The one rule of concurrent fan-outs: live numbers have no holes, whoever waits for whom."""

import threading
import time

import pytest
from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.utils import timezone

from notifications import EVERYONE, fanout, inbox, send_notification
from notifications.models import Audience, Event, EventType, Inbox, Notification, Template

User = get_user_model()


@pytest.mark.production
@pytest.mark.django_db(transaction=True)
def test_two_fan_outs_of_one_event_leave_no_holes():
    """Both rows name the same users, as after a crash: the second waits for the first's locks and
    must find, after the wait, that everybody has the event already."""
    users = [User.objects.create(username=f"u{n}").pk for n in range(100)]
    for _ in range(10):
        event = Event.objects.create(type=EventType.objects.get(name="post_like"))
        rows = [
            Audience.objects.create(event=event, user_ids=users, due=timezone.now())
            for _ in range(4)
        ]
        start = threading.Barrier(4)

        def run(row: Audience, start: threading.Barrier = start) -> None:
            start.wait()
            fanout.fan_out(row.pk, using="default")
            connection.close()

        threads = [threading.Thread(target=run, args=(row,)) for row in rows]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert set(Inbox.objects.values_list("version", flat=True)) == {10}
    for user in users[:5]:
        rows = Notification.objects.filter(user=user).order_by("arrived")
        assert list(rows.values_list("arrived", flat=True)) == list(range(1, 11))
    assert inbox.summary(users[0]).unread == 10


def until_somebody_waits_for_a_lock() -> None:
    end = time.monotonic() + 10
    with connection.cursor() as cursor:
        while time.monotonic() < end:
            cursor.execute(
                "SELECT 1 FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            if cursor.fetchone():
                return
    raise AssertionError("nobody waits")


def in_a_thread(work) -> threading.Thread:
    def run() -> None:
        work()
        connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.fixture(params=["plain", "rendered for each"])
def broadcast(request):
    if request.param == "plain":
        return send_notification("post_like", users=EVERYONE)
    Template.objects.create(slug="greeting", title="Hello")
    return send_notification("post_like", users=EVERYONE, template="greeting")


@pytest.mark.production
@pytest.mark.django_db(transaction=True)
def test_a_broadcast_that_is_withdrawn_while_it_is_taken_in_leaves_nothing(alice, broadcast):
    with transaction.atomic():
        assert inbox.take_in([alice.pk]) == 1
        withdrawing = in_a_thread(broadcast.delete)
        until_somebody_waits_for_a_lock()
    withdrawing.join(10)
    assert not Event.objects.filter(pk=broadcast.pk).exists()
    assert not Notification.objects.filter(deleted_at=None).exists()
    summary = inbox.summary(alice.pk)
    assert (summary.unread, summary.unseen, summary.total) == (0, 0, 0)


@pytest.mark.production
@pytest.mark.django_db(transaction=True)
def test_a_broadcast_that_is_being_withdrawn_is_not_taken_in(alice, broadcast):
    with transaction.atomic():
        broadcast.delete()
        taking = in_a_thread(lambda: inbox.take_in([alice.pk]))
        until_somebody_waits_for_a_lock()
    taking.join(10)
    assert not Notification.objects.exists()
    assert inbox.summary(alice.pk).unread == 0
