"""What PostgreSQL reads to answer a page: the rows of that page, however many there are."""

import pytest
from django.contrib.auth.models import User
from django.db import connection

from notifications import inbox
from notifications.event_types import sync
from notifications.models import EventType
from notifications.sql import ROW_BY_ROW

pytestmark = [pytest.mark.django_db, pytest.mark.production]

ROWS = 20_000

FILL = """
    WITH made AS (
        INSERT INTO hub_event (type_id, title, message, url, tag, priority, timestamp, template)
        SELECT %s, 'Hello', '', '', '', 'normal', now(), '' FROM generate_series(1, %s)
        RETURNING id
    )
    INSERT INTO hub_notification (user_id, event_id, arrived, version, silent)
    SELECT %s, id, row_number() OVER (ORDER BY id), row_number() OVER (ORDER BY id), false
    FROM made RETURNING event_id
"""


@pytest.fixture
def filled() -> tuple[User, list[int]]:
    """A user who has everything that was ever sent: the shape in which a merge of both tables
    looks cheapest."""
    user = User.objects.create_user("alice")
    sync()
    kind = EventType.objects.get(name="post_like")
    with connection.cursor() as cursor:
        cursor.execute(FILL, [kind.pk, ROWS, user.pk])
        events = sorted(row[0] for row in cursor.fetchall())
        cursor.execute(
            "UPDATE hub_inbox SET version = %s, unread = %s, unseen = %s, total = %s"
            " WHERE user_id = %s",
            [*[ROWS] * 4, user.pk],
        )
        cursor.execute("ANALYZE hub_event")
        cursor.execute("ANALYZE hub_notification")
    return user, events


def rows_read() -> dict[str, int]:
    """Rows of each table that this transaction has read so far, by scans and by indexes."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname, coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)"
            " FROM pg_stat_xact_user_tables WHERE relname IN ('hub_event', 'hub_notification')"
        )
        return dict(cursor.fetchall())


def test_a_page_reads_its_own_rows_however_deep_it_is(filled: tuple[User, list[int]]) -> None:
    user, events = filled
    for place in (0, 400, ROWS // 2, ROWS - 100):
        before = events[-1 - place] + 1
        earlier = rows_read()
        page = inbox.page(user.pk, before=before)
        now = rows_read()
        assert page.results[0]["event"]["id"] == before - 1
        for table in ("hub_event", "hub_notification"):
            assert now[table] - earlier[table] <= 2 * 21, (table, place)
    state = inbox.summary(user.pk)
    earlier = rows_read()
    inbox.page(user.pk)
    inbox.changes(user.pk, epoch=state.epoch, since=state.version - 100)
    now = rows_read()
    for table in ("hub_event", "hub_notification"):
        assert now[table] - earlier[table] <= 2 * (21 + 100), table


@pytest.fixture(params=[1, 5, 20])
def far_more(request: pytest.FixtureRequest) -> User:
    """A user with a thousand notifications where others have few: on average it looks as cheap to
    sort them as to follow an index."""
    sync()
    kind = EventType.objects.get(name="post_like")
    users = User.objects.bulk_create([User(username=f"u{n}") for n in range(1_000)])
    alice = User.objects.create_user("alice")
    inbox.ensure([user.pk for user in users], using="default")
    with connection.cursor() as cursor:
        cursor.execute(FILL, [kind.pk, 1_000, alice.pk])
        cursor.execute(
            "INSERT INTO hub_notification (user_id, event_id, arrived, version, silent)"
            " SELECT u.id, e.id, 1, 1, false FROM auth_user u"
            " CROSS JOIN (SELECT id FROM hub_event ORDER BY id LIMIT %s) e WHERE u.id <> %s",
            [request.param, alice.pk],
        )
        cursor.execute("UPDATE hub_inbox SET version = 1000 WHERE user_id = %s", [alice.pk])
        cursor.execute("ANALYZE hub_event")
        cursor.execute("ANALYZE hub_notification")
    return alice


@pytest.fixture(params=["plans are kept", "plans are made each time"])
def plans(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "plans are made each time":
        options = {**connection.settings_dict["OPTIONS"], "prepare_threshold": None}
        monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)


@pytest.mark.usefixtures("plans")
def test_a_page_of_one_who_has_far_more_than_others_reads_its_own_rows(far_more: User) -> None:
    for before in (None, 2**40):
        earlier = rows_read()
        assert len(inbox.page(far_more.pk, before=before).results) == 20
        now = rows_read()
        for table in ("hub_event", "hub_notification"):
            assert now[table] - earlier[table] <= 2 * 21, (table, before)


@pytest.mark.usefixtures("plans")
def test_whoever_has_far_more_than_others_comes_up_page_by_page(far_more: User) -> None:
    epoch, since, versions = inbox.summary(far_more.pk).epoch, "0", []
    while True:
        earlier = rows_read()
        found = inbox.changes(far_more.pk, epoch=epoch, since=since, limit=100)
        now = rows_read()
        for table in ("hub_event", "hub_notification"):
            assert now[table] - earlier[table] <= 2 * 101, (table, since)
        versions += [change["version"] for change in found.changes]
        since = found.cursor
        if not found.more:
            break
    assert versions == list(range(1, 1_001))


def test_a_page_leaves_the_callers_transaction_to_its_own_plans(filled: tuple[User, list[int]]):
    inbox.page(filled[0].pk, limit=50)
    with connection.cursor() as cursor:
        for name in ROW_BY_ROW:
            cursor.execute(f"SHOW {name}")
            assert cursor.fetchone() == ("on",), name
