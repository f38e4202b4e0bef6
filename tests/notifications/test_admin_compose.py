"""Staff compose an announcement, look it over, and send it now; the worker does the sending."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from notifications import announcements, filters, inbox
from notifications.models import Announcement, Audience, Event, EventType, Notification
from notifications.worker import Worker, duties
from tests.notifications.admin_site import history, said, signed_in, staff

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("addresses")]

LIST = "/admin/hub_notifications/announcement/"
State = Announcement.State


@pytest.fixture
def browser(make_user: Callable[..., Any]) -> Client:
    return staff(make_user, "composer", "add_event", "view_event")


def compose(browser: Client, *, page: str = "add/", **given: Any) -> Any:
    words = {
        "type": EventType.objects.get(name="post_like").pk,
        "title": "Maintenance tonight",
        "message": "From ten to eleven.",
        "kind": "everyone",
    }
    return browser.post(LIST + page, words | given, follow=True)


def send(browser: Client, row: Announcement, **given: Any) -> Any:
    seen = {"confirm": "yes", "changed_at": row.changed_at.isoformat()} | given
    return browser.post(f"{LIST}{row.pk}/send/", seen, follow=True)


def reached(page: Any) -> int:
    found = re.search(rb'data-count="(\d+)"', page.content)
    assert found is not None, page.content
    return int(found[1])


def work() -> None:
    assert Worker(duties()).work_once()


def test_composed_looked_over_sent_and_traced(
    browser: Client, alice: Any, bob: Any, make_user: Callable[..., Any]
) -> None:
    filters.set_channels(bob.pk, types={"post_like": {"inbox": False}})
    make_user("gone", is_active=False)
    page = compose(browser, kind="names", names="alice\nbob\ngone\nalice")
    row = Announcement.objects.get()
    assert page.redirect_chain[-1][0] == f"{LIST}{row.pk}/preview/"
    assert reached(page) == 1
    text = page.content.decode()
    assert "Maintenance tonight" in text and "3 in all" in text
    assert not Event.objects.exists()

    page = send(browser, row)
    assert said(page) == "Queued. The worker sends it."
    assert not Event.objects.exists()
    work()
    page = browser.get(f"{LIST}{row.pk}/preview/")
    event = Event.objects.get()
    text = page.content.decode()
    assert f"/admin/hub_notifications/event/{event.pk}/trace/" in text
    assert "<dt>Fanned out to</dt><dd>1</dd>" in text
    assert "<dt>Left out: muted the type</dt><dd>1</dd>" in text
    assert (event.title, event.author) == ("Maintenance tonight", None)
    assert list(Notification.objects.values_list("user", flat=True)) == [alice.pk]
    assert ("Sent now.", str(row.pk)) in history()


def test_a_get_sends_nothing_and_a_post_asks_for_a_confirmation(
    browser: Client, alice: Any
) -> None:
    compose(browser)
    row = Announcement.objects.get()
    assert browser.get(f"{LIST}{row.pk}/send/").status_code == 405
    assert "confirm it first" in said(send(browser, row, confirm=""))
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = browser.cookies
    assert strict.post(f"{LIST}{row.pk}/send/", {"confirm": "yes"}).status_code == 403
    work()
    row.refresh_from_db()
    assert row.state == State.DRAFT and not Event.objects.exists()


def test_only_who_may_add_events_composes_and_sends(
    browser: Client, make_user: Callable[..., Any], alice: Any
) -> None:
    compose(browser)
    row = Announcement.objects.get()
    looker = staff(make_user, "looker", "view_event")
    assert looker.get(f"{LIST}{row.pk}/preview/").status_code == 200
    assert b"Send now" not in looker.get(f"{LIST}{row.pk}/preview/").content
    assert looker.post(f"{LIST}{row.pk}/send/", {"confirm": "yes"}).status_code == 403
    assert looker.get(LIST + "add/").status_code == 403
    assert looker.post(f"{LIST}{row.pk}/change/", {}).status_code == 403
    assert looker.post(f"{LIST}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    stranger = staff(make_user, "stranger", "view_filter")
    assert stranger.get(f"{LIST}{row.pk}/preview/").status_code == 403
    assert signed_in(alice).get(f"{LIST}{row.pk}/preview/").status_code == 302


def test_it_is_sent_once_and_as_it_was_looked_over(browser: Client, alice: Any) -> None:
    compose(browser)
    row = Announcement.objects.get()
    compose(browser, page=f"{row.pk}/change/", title="Another title")
    assert "not as you saw it" in said(send(browser, row))
    for wrong in ("", "yesterday", "2026-02-31T00:00:00"):
        assert "not as you saw it" in said(send(browser, row, changed_at=wrong))
    row.refresh_from_db()
    send(browser, row)
    assert "not as you saw it" in said(send(browser, row))
    work()
    work()
    assert [event.title for event in Event.objects.all()] == ["Another title"]
    row.refresh_from_db()
    assert "not as you saw it" in said(send(browser, row))
    # what was sent is read and not changed
    page = browser.get(f"{LIST}{row.pk}/change/")
    assert page.status_code == 200 and b'name="_save"' not in page.content
    assert browser.post(f"{LIST}{row.pk}/change/", {}).status_code == 403


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"kind": "everyone"}, {"alice", "bob", "composer", "old"}),
        ({"kind": "groups", "groups": ["editors", "writers"]}, {"bob", "old"}),
        ({"kind": "query", "query_staff": "yes"}, {"composer"}),
        ({"kind": "query", "query_staff": "no", "query_name_contains": "LI"}, {"alice"}),
        ({"kind": "query", "query_joined_before": "2020-01-01"}, {"old"}),
        ({"kind": "query", "query_seen_from": "2020-01-01"}, {"composer"}),
        ({"kind": "query", "query_email_ends": "@example.org"}, {"bob"}),
    ],
)
def test_whom_an_audience_means(
    browser: Client,
    make_user: Callable[..., Any],
    alice: Any,
    given: dict[str, Any],
    expected: set[str],
) -> None:
    bob = make_user("bob", email="bob@example.org")
    old = make_user("old", date_joined=timezone.now() - timedelta(days=5000))
    for group, people in {"editors": [bob, old], "writers": [bob], "others": [alice]}.items():
        made = Group.objects.create(name=group)
        made.user_set.set(people)
    if "groups" in given:
        given = given | {"groups": [Group.objects.get(name=name).pk for name in given["groups"]]}
    page = compose(browser, **given)
    assert reached(page) == len(expected)
    row = Announcement.objects.get()
    # the stored audience fills the form again
    assert announcements.users_of(row.audience).count() == len(expected)
    assert browser.get(f"{LIST}{row.pk}/change/").status_code == 200
    send(browser, row)
    work()
    inbox.take_in([user.pk for user in announcements.users_of({"kind": "everyone"})])
    users = Notification.objects.select_related("user")
    assert {notification.user.username for notification in users} == expected


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"kind": "names", "names": ""}, "Name at least one user"),
        ({"kind": "names", "names": "nobody"}, "There is no user named"),
        ({"kind": "groups"}, "Choose a group"),
        ({"kind": "query"}, "at least one condition"),
        ({"kind": "sql"}, "Select a valid choice"),
        ({"title": "", "message": ""}, "Say something"),
        ({"url": "javascript:alert(1)"}, "url must"),
        ({"data": "{"}, "Enter a valid JSON"),
        ({"type": 0}, "Select a valid choice"),
    ],
)
def test_a_mistake_is_said_in_the_form(
    browser: Client, alice: Any, given: dict[str, Any], complaint: str
) -> None:
    page = compose(browser, **given)
    assert page.status_code == 200 and complaint in page.content.decode()
    assert not Announcement.objects.exists()


def test_no_condition_reads_what_nobody_may_see(browser: Client, alice: Any) -> None:
    """A count by password hash would give it away, a character at a time."""
    given = {"kind": "query", "query_password__startswith": "pbkdf2"}
    assert "at least one condition" in compose(browser, **given).content.decode()


def test_sending_to_many_returns_at_once(browser: Client, make_user: Callable[..., Any]) -> None:
    """The request does the same however many users it is for: it queues."""
    costs = []
    for number in (1, 60):
        for n in range(number):
            make_user(f"many{number}-{n}")
        compose(browser, kind="query", query_name_contains="many")
        row = Announcement.objects.first()
        assert row is not None
        seen = {"confirm": "yes", "changed_at": row.changed_at.isoformat()}
        with CaptureQueriesContext(connection) as queries:
            assert browser.post(f"{LIST}{row.pk}/send/", seen).status_code == 302
        costs.append(len(queries))
        assert not Audience.objects.exists()
    assert costs[0] == costs[1]


def test_what_cannot_be_sent_says_why_and_can_be_mended(browser: Client, bob: Any) -> None:
    compose(browser, kind="names", names="bob")
    row = Announcement.objects.get()
    send(browser, row)
    bob.delete()
    work()
    row.refresh_from_db()
    assert row.state == State.FAILED and "no user named" in row.error
    page = browser.get(f"{LIST}{row.pk}/preview/")
    assert b"no user named" in page.content and b"Send now" not in page.content
    page = compose(browser, page=f"{row.pk}/change/", kind="everyone")
    row.refresh_from_db()
    send(browser, row)
    work()
    row.refresh_from_db()
    assert row.state == State.SENT and Event.objects.count() == 1


def test_a_database_that_is_away_for_a_moment_only_delays(
    browser: Client, alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    compose(browser)
    row = Announcement.objects.get()
    send(browser, row)

    def away(*_: Any) -> None:
        raise OperationalError("server closed the connection")

    with monkeypatch.context() as patch:
        patch.setattr(announcements, "_send", away)
        assert not Worker(duties()).work_once()
    row.refresh_from_db()
    assert row.state == State.QUEUED
    work()
    assert Event.objects.count() == 1


def test_the_list_costs_the_same_however_long_it_is(browser: Client, alice: Any) -> None:
    costs = []
    for number in (2, 60):
        for _ in range(number):
            Announcement.objects.create(
                type=EventType.objects.get(name="post_like"), title="x", made_by=alice, event_id=5
            )
        with CaptureQueriesContext(connection) as queries:
            assert browser.get(LIST, {"q": "x"}).status_code == 200
        costs.append(len(queries))
    assert costs[0] == costs[1]


def test_of_several_workers_one_sends_it(browser: Client, alice: Any) -> None:
    for n in range(5):
        compose(browser, title=f"Number {n}")
    for row in Announcement.objects.all():
        send(browser, row)

    def work_alone(_: int) -> None:
        try:
            while announcements.send_queued():
                pass
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work_alone, range(4)))
    assert sorted(event.title for event in Event.objects.all()) == [f"Number {n}" for n in range(5)]
    assert not Announcement.objects.exclude(state=State.SENT).exists()
