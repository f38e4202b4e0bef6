"""Who looks, and what they acknowledged."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from routing import presence
from routing.models import Presence
from tests.routing.leases import looking


def test_a_lease_is_held_and_ends_by_itself(alice: Any, bob: Any) -> None:
    presence.hold([(alice.pk, "", 0)])
    assert looking([alice.pk, bob.pk]) == {alice.pk}
    until = Presence.objects.get().until
    assert until is not None
    assert abs(until - timezone.now() - presence.LEASE) < timedelta(seconds=5)
    Presence.objects.update(until=timezone.now() - timedelta(microseconds=1))
    assert looking([alice.pk]) == set()


def test_a_lease_is_never_shortened(alice: Any) -> None:
    far = timezone.now() + timedelta(hours=1)
    Presence.objects.create(user=alice, until=far)
    presence.hold([(alice.pk, "", 0)])
    assert Presence.objects.get().until == far


def test_acknowledged_is_only_raised_within_an_epoch(alice: Any) -> None:
    for epoch, version, expected in [
        ("one", 5, 5),
        ("one", 3, 5),
        ("", 0, 5),
        ("one", 6, 6),
    ]:
        presence.hold([(alice.pk, epoch, version)])
        assert presence.acked([alice.pk], epoch="one") == {alice.pk: expected}
    assert presence.acked([alice.pk], epoch="two") == {}
    presence.hold([(alice.pk, "two", 1)])
    assert presence.acked([alice.pk], epoch="two") == {alice.pk: 1}
    assert presence.acked([alice.pk], epoch="one") == {}


def test_many_in_one_statement(
    make_user: Callable[..., Any], django_assert_num_queries: Any
) -> None:
    users = [make_user(f"user{number}") for number in range(200)]
    with django_assert_num_queries(1):
        presence.hold([(user.pk, "e", number) for number, user in enumerate(users)])
    assert len(looking([user.pk for user in users])) == 200
    assert presence.acked([users[7].pk, users[8].pk], epoch="e") == {users[7].pk: 7, users[8].pk: 8}
    presence.hold([])


@pytest.mark.django_db(transaction=True)
def test_processes_that_write_at_once_do_not_disturb_each_other(
    make_user: Callable[..., Any],
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from django.db import connections

    users = [make_user(f"user{number}") for number in range(40)]

    def write(version: int) -> None:
        try:
            presence.hold([(user.pk, "e", version) for user in users])
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(1, 33)))
    assert set(presence.acked([user.pk for user in users], epoch="e").values()) == {32}
