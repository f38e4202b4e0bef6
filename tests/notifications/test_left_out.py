"""Whoever an event did not reach is known by name and by rule, at no cost where it reached all."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from notifications import EVERYONE, filters, inbox, left_out, send_notification
from notifications.fanout import fan_out
from notifications.models import Audience, Event, LeftOut, Notification
from notifications.worker import fan_out_due

pytestmark = pytest.mark.django_db(transaction=True)

NOBODY = 987654321


def counts(event: Event) -> dict[str, int]:
    return left_out.counts(event.pk, using="default")


def rules(event: Event, user: Any) -> list[str]:
    return [row.rule for row in left_out.of_user(event.pk, user.pk, using="default")]


@pytest.fixture
def mixed(make_user: Callable[..., Any], alice: Any) -> dict[str, Any]:
    people = {"alice": alice, "muted": make_user("muted"), "inactive": make_user("inactive")}
    filters.set_channels(people["muted"].pk, types={"post_like": {"inbox": False}})
    people["inactive"].is_active = False
    people["inactive"].save()
    return people


def send(people: dict[str, Any], how: str) -> Event:
    ids = [NOBODY, *(user.pk for user in people.values())]
    if how == "at once":
        return send_notification("post_like", users=ids)
    if how == "one statement":
        # every addressed inbox is there, which the single statement asks for
        return send_notification("post_like", users=ids[1:])
    with transaction.atomic():
        return send_notification("post_like", users=ids)


@pytest.mark.parametrize("how", ["at once", "one statement", "after the commit"])
def test_each_rule_is_recorded_when_it_happens(mixed: dict[str, Any], how: str) -> None:
    event = send(mixed, how)
    expected = {"muted": 1, "inactive": 1, "unknown": 1}
    if how == "one statement":
        del expected["unknown"]
    assert counts(event) == expected
    # what changes afterwards, changes nothing of it
    filters.set_channels(mixed["muted"].pk, types={"post_like": {"inbox": True}})
    mixed["inactive"].is_active = True
    mixed["inactive"].save()
    assert rules(event, mixed["muted"]) == ["muted"]
    assert rules(event, mixed["inactive"]) == ["inactive"]
    assert rules(event, mixed["alice"]) == []


def test_where_everybody_got_it_nothing_is_asked_or_written(alice: Any, bob: Any) -> None:
    send_notification("post_like", users=[alice, bob])
    with CaptureQueriesContext(connection) as queries:
        send_notification("post_like", users=[alice, bob])
    assert not [query["sql"] for query in queries if "hub_leftout" in query["sql"]]
    assert not LeftOut.objects.exists()


def test_a_type_that_is_off_by_default_leaves_out_by_itself(alice: Any, settings: Any) -> None:
    settings.EVENT_TYPES = [{"name": "quiet", "title": "Quiet", "inbox": False}]
    from notifications import event_types

    event_types.discover()
    event_types.sync()
    event = send_notification("quiet", users=alice)
    assert counts(event) == {"muted": 1}


def test_an_event_that_is_over_says_so(alice: Any, bob: Any) -> None:
    over = timezone.now() - timedelta(seconds=1)
    event = send_notification("post_like", users=[alice, bob], expires_at=over)
    assert counts(event) == {"expired": 2}
    assert rules(event, alice) == ["expired"]
    assert counts(send_notification("post_like", users=EVERYONE, expires_at=over)) == {
        "expired": -1
    }


def test_who_has_it_already_is_left_out_of_the_repeat(alice: Any, bob: Any) -> None:
    event = send_notification("post_like", users=alice)
    row = Audience.objects.create(event=event, user_ids=[alice.pk, bob.pk], due=timezone.now())
    assert fan_out(row.pk, using="default")
    assert counts(event) == {"already": 1}
    assert rules(event, alice) == ["already"] and rules(event, bob) == []


def test_a_broadcast_is_counted_as_it_is_taken_in(mixed: dict[str, Any]) -> None:
    event = send_notification("post_like", users=EVERYONE)
    fan_out_due()
    assert counts(event) == {}
    inbox.take_in([user.pk for user in mixed.values()])
    inbox.take_in([user.pk for user in mixed.values()])
    assert counts(event) == {"muted": 1}
    assert rules(event, mixed["muted"]) == ["muted"]


def test_it_goes_with_its_event(mixed: dict[str, Any]) -> None:
    send(mixed, "at once")
    far = timezone.now() + timedelta(days=400)
    inbox.prune(at=far)
    inbox.prune(at=far + timedelta(days=400))
    assert not Event.objects.exists() and not LeftOut.objects.exists()
    event = send(mixed, "at once")
    event.delete()
    assert not LeftOut.objects.exists()


def test_a_notification_knows_when_it_arrived(alice: Any, bob: Any) -> None:
    before = timezone.now() - timedelta(seconds=2)
    event = send_notification("post_like", users=alice)
    send_notification("post_like", users=EVERYONE)
    fan_out_due()
    inbox.take_in([bob.pk])
    for row in (Notification.objects.get(event=event), Notification.objects.get(user=bob)):
        assert row.arrived_at is not None
        assert before < row.arrived_at < timezone.now() + timedelta(seconds=2)
