"""A send's statements stay prepared on their connection, and see every change all the same."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.utils import timezone

from notifications import errors, send_notification
from notifications.models import Event, Notification

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.production]


@pytest.fixture
def elsewhere() -> Iterator[psycopg.Connection[Any]]:
    """Another process's connection."""
    parameters = {**connection.get_connection_params(), "autocommit": True}
    with psycopg.Connection.connect(**parameters) as other:
        yield other


def anew() -> None:
    """The next statement goes over a connection of its own."""
    connection.close()
    connection.close_pool()  # type: ignore[attr-defined]


def prepared() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%hub_%'")
        return int(cursor.fetchone()[0])


def test_two_statements_are_prepared_whatever_is_sent(alice: Any, bob: Any) -> None:
    anew()
    send_notification("post_like", users=alice, title="first")
    assert prepared() == 2
    send_notification("post_comment", users=[alice, bob], title="second", data={"a": [1]})
    send_notification("post_like", users=bob, message="third", tag="t")
    send_notification("post_comment", users=alice, author=bob, data="text", push={"badge": 1})
    assert prepared() == 2
    assert Notification.objects.count() == 5
    assert Event.objects.latest("id").data == "text"


def test_where_a_pooler_stands_in_between_nothing_is_prepared(
    alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {**connection.settings_dict["OPTIONS"], "prepare_threshold": None}
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)
    anew()
    send_notification("post_like", users=alice)
    assert prepared() == 0
    assert Notification.objects.count() == 1


def test_an_event_type_that_was_changed_elsewhere_counts_with_the_next_send(
    alice: Any, elsewhere: psycopg.Connection[Any]
) -> None:
    assert send_notification("post_like", users=alice).priority == "normal"
    elsewhere.execute(
        "UPDATE hub_eventtype SET priority = 'high', lifetime = '1 hour' WHERE name = 'post_like'"
    )
    event = send_notification("post_like", users=alice)
    event.refresh_from_db()
    assert event.priority == "high"
    assert event.expires_at is not None
    assert event.expires_at - timezone.now() > timedelta(minutes=59)

    elsewhere.execute("UPDATE hub_eventtype SET inbox = FALSE WHERE name = 'post_like'")
    send_notification("post_like", users=alice)
    assert Notification.objects.count() == 2

    elsewhere.execute("UPDATE hub_eventtype SET active = FALSE WHERE name = 'post_like'")
    with pytest.raises(errors.UnknownEventType):
        send_notification("post_like", users=alice)
    assert Event.objects.count() == 3


def test_columns_that_a_migration_makes_longer_end_no_send(
    alice: Any, elsewhere: psycopg.Connection[Any]
) -> None:
    anew()
    send_notification("post_like", users=alice)
    for table, column, length in (
        ("hub_eventtype", "title", 300),
        ("hub_event", "title", 200),
        ("hub_event", "url", 2000),
    ):
        kind = f"ALTER TABLE {table} ALTER COLUMN {column} TYPE varchar"
        elsewhere.execute(f"{kind}({length + 100})".encode())
        try:
            send_notification("post_like", users=alice, title="x" * 200)
        finally:
            elsewhere.execute(f"{kind}({length})".encode())
    assert Notification.objects.count() == 4
    assert prepared() == 2
