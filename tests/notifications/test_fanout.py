"""Fan-out: whoever comes first does it once; poison is found and parked; others go on."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.utils import timezone

from notifications import fanout, inbox, send_notification, worker
from notifications.models import Audience, Event, EventType, Filter, Inbox, Notification
from notifications.signals import inbox_changed, notified
from notifications.worker import Worker, duties

pytestmark = pytest.mark.django_db(transaction=True)

User = get_user_model()


def audience(users: list[Any], **fields: Any) -> Audience:
    event = Event.objects.create(type=EventType.objects.get(name="post_like"), title="x")
    keys = [user.pk for user in users]
    return Audience.objects.create(
        **{"event": event, "user_ids": keys, "due": timezone.now(), **fields}
    )


def work_until_idle() -> None:
    """The worker's duties, with time moved on past every back-off."""
    for _ in range(50):
        Audience.objects.waiting().update(due=timezone.now() - timedelta(seconds=1))
        Worker(duties()).work_once()
        if not Audience.objects.waiting().exists():
            return
    raise AssertionError("the audience never ended")


def mute(user: Any, channel: str, name: str = "post_like", enabled: bool = False) -> None:
    row = EventType.objects.get(name=name)
    Filter.objects.create(user=user, type=row, channel=channel, enabled=enabled)


def test_a_row_is_fanned_out_once_however_many_come_for_it(alice, bob):
    row = audience([alice, bob])
    start, done = threading.Barrier(5), []

    def come() -> None:
        start.wait()
        done.append(fanout.fan_out(row.pk, using="default"))
        connection.close()

    threads = [threading.Thread(target=come) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(done) == 1
    assert inbox.summary(alice.pk).version == inbox.summary(bob.pk).version == 1


def test_fanning_out_again_changes_nothing(alice):
    row = audience([alice])
    fanout.fan_out(row.pk, using="default")
    again = Audience.objects.create(event=row.event, user_ids=[alice.pk], due=timezone.now())
    fanout.fan_out(again.pk, using="default")
    assert Notification.objects.count() == 1
    assert inbox.summary(alice.pk).version == 1


def test_a_deleted_notification_does_not_come_back(alice):
    event = send_notification("post_like", users=alice)
    inbox.delete(alice.pk, ids=[event.pk])
    again = Audience.objects.create(event=event, user_ids=[alice.pk], due=timezone.now())
    fanout.fan_out(again.pk, using="default")
    assert inbox.page(alice.pk).results == []
    assert inbox.summary(alice.pk).total == 0


def test_a_muted_type_leaves_no_row_and_no_number(alice, bob):
    mute(alice, "inbox")
    send_notification("post_like", users=[alice, bob])
    assert inbox.summary(alice.pk).version == 0
    assert inbox.summary(bob.pk).version == 1
    send_notification("post_comment", users=[alice])
    assert inbox.summary(alice.pk).version == 1


def test_with_the_live_channel_off_a_row_is_silent(alice):
    mute(alice, "live")
    send_notification("post_like", users=alice)
    assert inbox.page(alice.pk).results[0]["silent"] is True
    assert inbox.summary(alice.pk).unread == 1


def test_a_critical_type_ignores_filters(alice):
    mute(alice, "inbox")
    mute(alice, "live")
    EventType.objects.filter(name="post_like").update(critical=True)
    send_notification("post_like", users=alice)
    assert inbox.page(alice.pk).results[0]["silent"] is False


def test_a_type_that_is_off_by_default_reaches_those_who_switched_it_on(alice, bob):
    EventType.objects.filter(name="post_like").update(inbox=False)
    mute(bob, "inbox", enabled=True)
    send_notification("post_like", users=[alice, bob])
    assert inbox.summary(alice.pk).version == 0
    assert inbox.summary(bob.pk).version == 1


def test_what_stood_in_the_inbox_stays_when_its_type_is_muted(alice):
    send_notification("post_like", users=alice)
    mute(alice, "inbox")
    assert len(inbox.page(alice.pk).results) == 1


def test_one_poisoned_user_is_parked_and_the_others_are_told(alice, monkeypatch):
    others = [User.objects.create(username=f"u{n}") for n in range(9)]
    row = audience([*others[:5], alice, *others[5:]])
    real = inbox.arrive

    def poisoned(event: Event, user_ids: list[Any], **more: Any) -> Any:
        if alice.pk in user_ids:
            raise ValueError("this row cannot be stored")
        return real(event, user_ids, **more)

    monkeypatch.setattr(inbox, "arrive", poisoned)
    work_until_idle()
    [parked] = Audience.objects.parked()
    assert parked.user_ids == [alice.pk]
    assert "cannot be stored" in parked.last_error
    assert Notification.objects.filter(event=row.event_id).count() == 9


def test_a_passing_fault_is_waited_for_and_never_parked(alice, monkeypatch):
    from django.db import OperationalError

    row, real, left = audience([alice]), inbox.arrive, [1] * 8

    def away(event: Event, user_ids: list[Any], **more: Any) -> Any:
        if left:
            left.pop()
            raise OperationalError("the server closed the connection")
        return real(event, user_ids, **more)

    monkeypatch.setattr(inbox, "arrive", away)
    work_until_idle()
    assert Notification.objects.get().event_id == row.event_id


def test_a_receiver_that_fails_on_one_user_is_asked_about_the_others(alice, bob, charlie):
    planned: list[int] = []

    def plan(*, recipients: Any, **_: Any) -> None:
        keys = [recipient.user_id for recipient in recipients]
        if bob.pk in keys:
            raise ValueError("bob's devices make it fall over")
        planned.extend(keys)

    notified.connect(plan)
    try:
        send_notification("post_like", users=[alice, bob, charlie])
        assert Notification.objects.count() == 3
        work_until_idle()
    finally:
        notified.disconnect(plan)
    assert sorted(planned) == [alice.pk, charlie.pk]
    assert Audience.objects.parked().get().user_ids == [bob.pk]


def test_an_audience_whose_event_is_gone_goes_too(alice):
    row = audience([alice])
    Event.objects.filter(pk=row.event_id)._raw_delete("default")
    Worker(duties()).work_once()
    assert not Audience.objects.exists()


def test_small_audiences_come_before_large_ones(alice, monkeypatch):
    bulk = audience([alice], lane=Audience.Lane.BULK, due=timezone.now() - timedelta(hours=1))
    small = audience([alice])

    order: list[int] = []
    monkeypatch.setattr(worker, "fan_out", lambda pk, using: bool(order.append(pk)))
    monkeypatch.setattr(worker.random, "shuffle", lambda ids: None)
    worker.fan_out_due()
    assert order == [small.pk, bulk.pk]


@pytest.mark.production
def test_a_worker_goes_past_the_rows_that_others_have_in_hand(alice, bob):
    taken = [audience([alice]).pk for _ in range(worker.BATCH)]
    free = audience([bob])
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            list(Audience.objects.filter(pk__in=taken).select_for_update())
            held.set()
            done.wait(20)
        connection.close()

    other = threading.Thread(target=hold)
    other.start()
    try:
        assert held.wait(20)
        assert worker.fan_out_due()
        assert not Audience.objects.filter(pk=free.pk).exists()
        assert Audience.objects.count() == worker.BATCH
        assert not worker.fan_out_due()
    finally:
        done.set()
        other.join()
    assert worker.fan_out_due()
    assert inbox.summary(alice.pk).unread == worker.BATCH


def test_a_sender_has_two_seconds_before_the_worker_takes_its_row(alice):
    with transaction.atomic():
        send_notification("post_like", users=alice)
        row = Audience.objects.get()
        assert timedelta(seconds=1) < row.due - timezone.now() <= timedelta(seconds=2)


def test_inboxes_are_made_where_they_are_missing():
    users = User.objects.bulk_create([User(username="bulk1"), User(username="bulk2")])
    assert not Inbox.objects.exists()
    send_notification("post_like", users=users)
    assert Inbox.objects.count() == 2


@pytest.mark.parametrize("step", [1, 2, 9])
@pytest.mark.parametrize("told_before", [False, True])
def test_keys_that_lie_close_or_apart_are_told_and_nobody_between_them(step, told_before):
    users = [User.objects.create(username=f"u{n}") for n in range(40)]
    addressed, gone = users[::step], users[step]
    quiet, muted = users[2 * step], users[3 * step]
    mute(quiet, "live")
    mute(muted, "inbox")
    User.objects.filter(pk=gone.pk).update(is_active=False)
    row = audience(addressed)
    if told_before:
        again = Audience.objects.create(event=row.event, user_ids=[users[0].pk], due=timezone.now())
        fanout.fan_out(again.pk, using="default")
    assert fanout.fan_out(row.pk, using="default") == 1
    stored = dict(Notification.objects.values_list("user_id", "silent"))
    assert stored == {user.pk: user == quiet for user in addressed if user not in (gone, muted)}
    for user in users:
        stand = Inbox.objects.get(pk=user)
        told = int(user.pk in stored)
        assert (stand.version, stand.unread, stand.unseen, stand.total) == (told,) * 4


def test_a_worker_makes_the_inboxes_that_are_missing_and_tells_everybody_once(alice):
    made = User.objects.bulk_create([User(username=f"bulk{n}") for n in range(3)])
    muted = User.objects.create(username="muted")
    mute(muted, "inbox")
    row = audience([alice, muted, *made, made[0]])
    heard: list[Any] = []

    def hear(*, change: Any, **_: Any) -> None:
        heard.extend(change.recipients)

    inbox_changed.connect(hear)
    try:
        assert fanout.fan_out(row.pk, using="default") == 1
    finally:
        inbox_changed.disconnect(hear)
    assert [told.user_id for told in heard] == sorted([alice.pk, *(user.pk for user in made)])
    assert {told.version for told in heard} == {1}
    assert not Inbox.objects.get(pk=muted).version


def test_numbers_stay_dense_under_concurrent_sends_and_marks():
    users = [User.objects.create(username=f"u{n}").pk for n in range(12)]
    start = threading.Barrier(4)

    def send(worker: int) -> None:
        start.wait()
        for turn in range(12):
            chosen = users[(worker + turn) % 12 :] + users[:turn]
            if turn % 3:
                send_notification("post_like", users=chosen)
            else:
                with transaction.atomic():
                    send_notification("post_like", users=list(reversed(chosen)))
            inbox.mark(users[turn], state="read", up_to=turn + 1)
        connection.close()

    threads = [threading.Thread(target=send, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    Audience.objects.update(due=timezone.now())
    Worker(duties()).work_once()
    assert not Audience.objects.exists()
    for user in users:
        rows = Notification.objects.filter(user=user)
        arrived = sorted(rows.values_list("arrived", flat=True))
        stand = Inbox.objects.get(pk=user)
        marks = stand.version - len(arrived)
        assert len(set(arrived)) == len(arrived)
        assert max(rows.values_list("version", flat=True)) == stand.version
        # every number is an arrival or a mark; marks overwrite versions, never arrivals
        assert 0 <= marks <= 12 * 4
        assert stand.unread == rows.filter(read_at=None).count()
        assert stand.unseen == rows.filter(seen_at=None).count()
        assert stand.total == rows.count()


def test_rows_of_one_event_share_a_transaction_but_where_writers_take_turns(alice, bob, charlie):
    first, other = audience([alice]), audience([charlie])
    again = Audience.objects.create(event=first.event, user_ids=[bob.pk], due=timezone.now())
    parts = list(fanout.together(Audience.objects.order_by("event_id", "pk")))
    alone = [[first.pk], [again.pk]]
    shared = [[first.pk, again.pk]] if connection.vendor == "postgresql" else alone
    assert parts == [*shared, [other.pk]]
