"""Taking broadcasts in: for one who returns and for many at once, in few statements."""

from collections import defaultdict
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from notifications import EVERYONE, inbox, left_out, send_notification
from notifications.models import EventType, Filter, Inbox, Notification
from notifications.signals import Arrived, inbox_changed

pytestmark = pytest.mark.django_db(transaction=True)

User = get_user_model()


@pytest.fixture
def told():
    """The changes that `inbox_changed` tells during the test."""
    found: list[Any] = []

    def keep(change: Any, **_: Any) -> None:
        found.append(change)

    inbox_changed.connect(keep)
    yield found
    inbox_changed.disconnect(keep)


def broadcast(name: str = "post_like", **fields: Any) -> int:
    return send_notification(name, users=EVERYONE, **fields).pk


def choose(user: Any, name: str, channel: str) -> None:
    kind = EventType.objects.get(name=name)
    Filter.objects.create(user=user, type=kind, channel=channel, enabled=False)


def test_many_take_in_what_each_lacks_by_their_own_choices(told):
    soon = timezone.now() + timedelta(hours=1)
    users = [User.objects.create(username=f"u{n}") for n in range(6)]
    muted, quiet, early = users[:3]
    choose(muted, "post_like", "inbox")
    choose(quiet, "post_comment", "live")
    first = broadcast(author=users[5], data={"post": [1, None]})
    inbox.take_in([early.pk])
    second = broadcast("post_comment", expires_at=soon)
    third = broadcast()
    direct = send_notification("post_like", users=[users[4]]).pk
    told.clear()
    assert inbox.take_in(user.pk for user in users) == 3 * 6 - 1 - 2
    assert inbox.take_in(user.pk for user in users) == 0

    arrived = [change for change in told if isinstance(change, Arrived)]
    assert [change.event.pk for change in arrived] == [first, second, third]
    assert arrived[0].event.data == {"post": [1, None]}
    assert arrived[0].event.author == users[5]
    assert arrived[1].event.type.name == "post_comment"
    heard = defaultdict(list)
    for change in arrived:
        for one in change.recipients:
            stands = (one.version, one.unread, one.unseen)
            heard[one.user_id].append((change.event.pk, *stands, one.silent, one.words))
    plain = [(event, n, n, n, False, None) for n, event in enumerate([first, second, third], 1)]
    assert heard[users[3].pk] == plain
    assert heard[muted.pk] == [(second, 1, 1, 1, False, None)]
    assert heard[quiet.pk] == [plain[0], (second, 2, 2, 2, True, None), plain[2]]
    assert heard[early.pk] == plain[1:]
    assert heard[users[4].pk] == [
        (event, n, n, n, False, None) for n, event in enumerate([first, second, third], 2)
    ]
    for user in users:
        stand = Inbox.objects.get(pk=user.pk)
        rows = Notification.objects.filter(user=user)
        versions = sorted(rows.values_list("version", flat=True))
        assert versions == list(range(1, stand.version + 1))
        assert stand.unread == stand.unseen == stand.total == len(versions)
        assert (stand.broadcast, stand.next_expiry) == (3, soon)
    assert Notification.objects.get(user=users[4], event=direct).version == 1
    assert left_out.counts(first, using="default") == {"muted": 1}
    assert [row.user_ids for row in left_out.of_user(third, muted.pk, using="default")] == [
        [muted.pk]
    ]


def test_who_has_muted_all_of_them_moves_on_without_a_number(alice):
    choose(alice, "post_like", "inbox")
    broadcast()
    assert inbox.take_in([alice.pk]) == 0
    stand = Inbox.objects.get(pk=alice.pk)
    assert (stand.version, stand.broadcast) == (0, 1)


def statements(work: Any) -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        work()
    return [found["sql"] for found in captured.captured_queries]


def test_a_look_takes_one_statement_where_nothing_waits(alice):
    send_notification("post_like", users=alice)
    stand = inbox.summary(alice.pk)
    for look in (
        lambda: inbox.summary(alice.pk),
        lambda: inbox.page(alice.pk),
        lambda: inbox.changes(alice.pk, epoch=stand.epoch, since=0),
    ):
        assert len(statements(look)) == 1


@pytest.mark.production
def test_a_return_takes_few_statements_on_postgresql_for_one_and_for_many():
    users = [User.objects.create(username=f"u{n}").pk for n in range(40)]
    inbox.summary(users[0])
    for _ in range(3):
        broadcast()
    # what stands there, the take-in, the events for the live road, and what stands there now
    assert len(statements(lambda: inbox.summary(users[0]))) == 4
    assert len(statements(lambda: inbox.take_in(users))) == 2
