"""Lists of tables that may have 10⁷ rows count and walk a bounded number of them."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib import admin
from django.db import connection
from django.db.models import Max
from django.test import Client
from django.test.utils import CaptureQueriesContext

from notifications import send_notification
from notifications.admin import base
from notifications.models import Audience, Event, Notification
from tests.notifications.admin_site import history, said, signed_in, staff

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("addresses")]

ROOT = "/admin/hub_notifications/"


@pytest.fixture
def browser(make_user: Callable[..., Any]) -> Client:
    return signed_in(make_user("root", is_staff=True, is_superuser=True))


@pytest.fixture
def sent(alice: Any) -> list[int]:
    """120 events in Alice's inbox."""
    return [send_notification("post_like", users=alice, title=f"t{n}").pk for n in range(120)]


def listed(page: Any) -> list[int]:
    assert page.status_code == 200
    return [row.pk for row in page.context["cl"].result_list]


@pytest.mark.parametrize("name", ["event", "notification"])
def test_no_count_without_a_limit(browser: Client, sent: list[int], name: str) -> None:
    with CaptureQueriesContext(connection) as queries:
        browser.get(f"{ROOT}{name}/")
    counts = [query["sql"] for query in queries if "COUNT(" in query["sql"]]
    assert counts and all(f"LIMIT {base.MOST_COUNTED}" in sql for sql in counts), counts


def test_a_list_stops_counting_and_leads_on_by_id(
    browser: Client, sent: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "MOST_COUNTED", 60)
    page = browser.get(f"{ROOT}notification/")
    assert page.context["cl"].result_count == 60
    seen = listed(page)
    assert len(seen) == 50
    while page.context["cl"].older:
        page = browser.get(f"{ROOT}notification/{page.context['cl'].older}")
        seen += listed(page)
    assert seen == sorted(Notification.objects.values_list("pk", flat=True), reverse=True)


def test_without_a_search_it_looks_at_the_newest_ids_alone(
    browser: Client, sent: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "WINDOW", 30)
    newest = Notification.objects.aggregate(last=Max("pk"))["last"]
    page = browser.get(f"{ROOT}notification/", {"read_at__isempty": "0"})
    assert listed(page) == []
    assert page.context["cl"].older == f"?id__lt={newest - 29}&read_at__isempty=0"
    assert len(listed(browser.get(f"{ROOT}notification/"))) == 30
    assert 'rel="next"' in browser.get(f"{ROOT}notification/").content.decode()
    # by user and by event it finds everything, through an index
    assert len(listed(browser.get(f"{ROOT}notification/", {"q": "alice"}))) == 50
    assert listed(browser.get(f"{ROOT}notification/", {"q": str(sent[0])})) == [
        Notification.objects.get(event=sent[0]).pk
    ]
    one = browser.get(f"{ROOT}notification/{Notification.objects.earliest('pk').pk}/change/")
    assert one.status_code == 200


@pytest.mark.parametrize("wrong", ["x", "-5", "²", "9" * 30])
def test_a_wrong_id_in_the_address_is_no_error(
    browser: Client, sent: list[int], wrong: str
) -> None:
    page = browser.get(f"{ROOT}notification/", {"id__lt": wrong}, follow=True)
    assert page.status_code == 200


def test_users_are_found_by_name_address_and_id(
    browser: Client, make_user: Callable[..., Any]
) -> None:
    ada, adam = make_user("ada", email="ada@example.org"), make_user("adam")
    for user in (ada, adam):
        send_notification("post_like", users=user)
    hers = Notification.objects.get(user=ada).pk
    his = Notification.objects.get(user=adam).pk
    for text, expected in (
        ("ada", [his, hers]),
        ("adam", [his]),
        ("ADA@example.org", [hers]),
        ("nobody", []),
        ("", [his, hers]),
    ):
        assert listed(browser.get(f"{ROOT}notification/", {"q": text})) == expected, text
    by_id = listed(browser.get(f"{ROOT}notification/", {"q": str(ada.pk)}))
    assert hers in by_id


def test_events_are_found_by_id_tag_title_and_author(browser: Client, alice: Any) -> None:
    one = send_notification("post_like", users=[], title="Harbour", tag="summer", author=alice)
    two = send_notification("post_like", users=[], title="Hill")
    for text, expected in (
        (str(one.pk), [one.pk]),
        ("summer", [one.pk]),
        ("harb", [one.pk]),
        ("h", [two.pk, one.pk]),
        ("alice", [one.pk]),
        ("winter", []),
    ):
        assert listed(browser.get(f"{ROOT}event/", {"q": text})) == expected, text


def parked(alice: Any, number: int) -> list[Audience]:
    event = send_notification("post_like", users=[])
    return [
        Audience.objects.create(
            event=event, user_ids=[alice.pk], state="parked", due=event.timestamp, last_error="Oops"
        )
        for _ in range(number)
    ]


def act(browser: Client, action: str, rows: list[Audience], **more: Any) -> Any:
    chosen = {"action": action, "_selected_action": [row.pk for row in rows]} | more
    return browser.post(f"{ROOT}audience/", chosen, follow=True)


def test_parked_audiences_are_dropped_after_a_confirmation(browser: Client, alice: Any) -> None:
    first, second, third = parked(alice, 3)
    Audience.objects.filter(pk=third.pk).update(state="waiting")
    page = act(browser, "drop", [first, third])
    assert "1 parked audience with 1 user" in re.sub(r"\s+", " ", page.content.decode())
    assert Audience.objects.count() == 3
    assert said(act(browser, "drop", [first, third], confirm="yes")) == "1 dropped."
    assert set(Audience.objects.values_list("pk", flat=True)) == {second.pk, third.pk}
    assert [entry[0][:7] for entry in history()] == ["Dropped"]
    assert said(act(browser, "drop", [third])) == "None of these is parked."
    assert "delete_selected" not in browser.get(f"{ROOT}audience/").content.decode()


def test_who_may_only_look_retries_and_drops_nothing(
    make_user: Callable[..., Any], alice: Any
) -> None:
    [row] = parked(alice, 1)
    looker = staff(make_user, "looker", "view_audience")
    act(looker, "try_again", [row])
    act(looker, "drop", [row], confirm="yes")
    assert Audience.objects.get().state == "parked"
    changer = staff(make_user, "changer", "view_audience", "change_audience")
    act(changer, "drop", [row], confirm="yes")
    assert Audience.objects.get().state == "parked"
    assert said(act(changer, "try_again", [row])) == "1 waiting again."
    assert history() == [("Let the worker try again.", str(row.pk))]


def test_audiences_are_found_by_event_and_error(browser: Client, alice: Any) -> None:
    [row] = parked(alice, 1)
    for text, number in ((str(row.event_id), 1), ("oop", 1), ("other", 0)):
        assert len(listed(browser.get(f"{ROOT}audience/", {"q": text}))) == number


def test_large_tables_are_bounded() -> None:
    large = {Event, Notification}
    assert all(isinstance(admin.site._registry[model], base.Large) for model in large)
