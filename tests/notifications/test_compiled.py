"""Statements that are written or planned once go on while the tables change."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection

from notifications import inbox, send_notification, tokens
from notifications.models import Event, EventType
from notifications.sql import Sql

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.production
def test_what_stays_prepared_lives_on_when_columns_become_longer(alice: Any) -> None:
    assert Sql("default").prepares
    text = tokens.make(alice)
    send_notification("post_comment", users=alice, title="Ada replied")
    for _ in range(3):
        before = found(text), inbox.page(alice.pk), inbox.summary(alice.pk)
    with longer(get_user_model(), "username"), longer(Event, "title"), longer(EventType, "name"):
        assert (found(text), inbox.page(alice.pk), inbox.summary(alice.pk)) == before
    assert before[1].results[0]["event"]["title"] == "Ada replied"


def found(text: str) -> list[Any]:
    with_inbox = tokens.find(text, with_inbox=True)
    assert with_inbox is not None
    return [tokens.find(text), with_inbox, with_inbox.inbox_stand]


@contextmanager
def longer(model: Any, name: str) -> Iterator[None]:
    length = model._meta.get_field(name).max_length

    def alter(wanted: int) -> None:
        with connection.cursor() as cursor:
            table = model._meta.db_table
            cursor.execute(f'ALTER TABLE "{table}" ALTER "{name}" TYPE varchar({wanted})')
        connection.close()

    # on another connection, as migrations do: psycopg drops what it prepared on this one
    with ThreadPoolExecutor(max_workers=1) as elsewhere:
        elsewhere.submit(alter, 2500).result()
        try:
            yield
        finally:
            elsewhere.submit(alter, length).result()


def test_pages_of_any_size_and_place_are_the_same_list(alice: Any) -> None:
    for number in range(50):
        send_notification("post_comment", users=alice, title=str(number))
    whole = inbox.page(alice.pk, limit=100).results
    assert [row["event"]["title"] for row in whole] == [str(n) for n in reversed(range(50))]
    for limit in (1, 19, 20, 21):
        for offset in (0, 1, 30):
            page = inbox.page(alice.pk, limit=limit, offset=offset)
            assert page.results == whole[offset : offset + limit]
            assert page.more is (offset + limit < 50)
        page = inbox.page(alice.pk, limit=limit, before=whole[9]["id"])
        assert page.results == whole[10 : 10 + limit]
