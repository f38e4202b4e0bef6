"""The one rule of concurrent fan-outs: live numbers have no holes, whoever waits for whom."""

import threading

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.utils import timezone

from notifications import fanout, inbox
from notifications.models import Audience, Event, EventType, Inbox, Notification

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
