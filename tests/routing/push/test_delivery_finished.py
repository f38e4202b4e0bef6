"""The signal of the ends of deliveries: each once, after it is written, past faulty receivers."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from routing.push import deliveries
from routing.push.models import Delivery
from routing.push.signals import delivery_finished
from tests.routing.push.conftest import Hand, only, states

pytestmark = pytest.mark.django_db

Heard = list[tuple[str, str, int]]


@pytest.fixture
def heard() -> Iterator[Heard]:
    """State, reason and attempts, as a receiver was told of them."""
    found: Heard = []

    def hear(*, delivery: Delivery, **_: Any) -> None:
        assert Delivery.objects.get(pk=delivery.pk).state == delivery.state, "it is written"
        found.append((delivery.state, delivery.error, delivery.attempts))
        raise RuntimeError("a receiver's own fault")

    delivery_finished.connect(hear)
    yield found
    delivery_finished.disconnect(hear)


def test_each_end_is_told_once(
    phone_of: Any,
    send: Any,
    hand: Hand,
    alice: Any,
    heard: Heard,
    django_capture_on_commit_callbacks: Callable[..., Any],
) -> None:
    for token in ("ok-1", "dead-x", "reject-x", "retry-1-x"):
        phone_of(alice, token)
    send(alice)
    with django_capture_on_commit_callbacks(execute=True):
        hand.work()
    assert sorted(heard) == [
        ("DEBUG", "", 1),
        ("ERROR", "gone: dead", 1),
        ("ERROR", "reject", 1),
    ], "one that is tried again is no end"
    assert sorted(states()) == ["DEBUG", "ERROR", "ERROR", "ERROR_RETRY"]
    Delivery.objects.waiting().update(
        due=timezone.now() - timedelta(seconds=1), give_up_at=timezone.now()
    )
    with django_capture_on_commit_callbacks(execute=True):
        hand.work()
    assert len(heard) == 4 and heard[-1][0] == "EXPIRED"


def test_of_what_is_held_no_longer_nothing_is_told(
    phone_of: Any,
    send: Any,
    alice: Any,
    heard: Heard,
    django_capture_on_commit_callbacks: Callable[..., Any],
) -> None:
    phone_of(alice)
    send(alice)
    row = only()
    deliveries.claim(row.application_id or 0, most=10, lease=timedelta(seconds=60), using="default")
    change = deliveries.Change(
        id=row.pk, claim="somebody else's", state="SENT", finished_at=timezone.now()
    )
    with django_capture_on_commit_callbacks(execute=True):
        assert deliveries.finish([change], using="default") == 0
    assert heard == []


def test_without_a_receiver_it_costs_nothing(
    phone_of: Any, send: Any, alice: Any, django_assert_num_queries: Any
) -> None:
    phone_of(alice)
    send(alice)
    row = only()
    deliveries.claim(row.application_id or 0, most=10, lease=timedelta(seconds=60), using="default")
    row = only()
    change = deliveries.Change(id=row.pk, claim=row.claim, state="SENT", finished_at=timezone.now())
    with django_assert_num_queries(3):  # the statement, between a savepoint and its release
        assert deliveries.finish([change], using="default") == 1
