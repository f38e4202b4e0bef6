"""The trace tells truthfully what became of an event, for all and for one user."""

import re
from collections.abc import Callable
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from notifications import EVERYONE, filters, inbox, send_notification
from notifications.models import Audience, Event, Inbox, Notification
from notifications.worker import fan_out_due
from tests.notifications.admin_site import signed_in, staff

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("addresses")]

NOBODY = 987654321


@pytest.fixture
def browser(make_user: Callable[..., Any]) -> Client:
    return staff(make_user, "looker", "view_event", "view_notification")


def address(event: Event) -> str:
    return f"/admin/hub_notifications/event/{event.pk}/trace/"


def facts(browser: Client, event: Event) -> dict[str, str]:
    """The page's facts by their names."""
    page = browser.get(address(event)).content.decode()
    found = re.findall(r"<dt>(.*?)</dt><dd>(.*?)(?: <small>.*?</small>)?</dd>", page)
    return {unescape(name): value for name, value in found}


def story(browser: Client, event: Event, user: Any) -> str:
    """The verdict and the happenings for one user."""
    page = browser.get(address(event), {"user": user.username}).content.decode()
    found = re.search(rf'data-user="{user.pk}".*?</article>', page, re.DOTALL)
    assert found is not None, page
    words = unescape(re.sub(r"<[^>]*>", " ", found[0]))
    return " ".join(words.split())


def test_what_became_of_it_for_all(
    browser: Client, alice: Any, bob: Any, make_user: Callable[..., Any]
) -> None:
    muted, inactive = make_user("muted"), make_user("inactive", is_active=False)
    filters.set_channels(muted.pk, types={"post_like": {"inbox": False}})
    filters.set_channels(bob.pk, types={"post_like": {"live": False}})
    event = send_notification(
        "post_like", users=[alice, bob, muted, inactive, NOBODY], title="Look", tag="t1"
    )
    inbox.mark(alice.pk, state="read", ids=[event.pk])
    inbox.mark(bob.pk, state="seen", ids=[event.pk])
    found = facts(browser, event)
    expected = {
        "Type": "post_like",
        "Tag": "t1",
        "Fanned out to": "2",
        "Left out: muted the type": "1",
        "Left out: inactive users": "1",
        "Left out: unknown users": "1",
        "Seen": "2",
        "Read": "1",
        "Archived": "0",
        "Arrived silently": "1",
    }
    assert expected.items() <= found.items()
    assert "Left out" not in found


def test_what_became_of_it_for_one(
    browser: Client, alice: Any, bob: Any, charlie: Any, make_user: Callable[..., Any]
) -> None:
    inactive = make_user("inactive", is_active=False)
    filters.set_channels(bob.pk, types={"post_like": {"inbox": False}})
    event = send_notification("post_like", users=[alice, bob, inactive])
    assert "not seen yet" in story(browser, event, alice)
    inbox.mark(alice.pk, state="read", ids=[event.pk])
    told = story(browser, event, alice)
    assert "in the inbox, read" in told
    for word in ("Stored", "Arrived, as number 1", "Seen", "Read"):
        assert word in told
    assert f"{timezone.now():%Y-%m-%d}" in told
    since = filters.Filter.objects.get(user=bob).changed_at
    told = story(browser, event, bob)
    assert "They had muted post_like" in told
    assert f"their filter has the channel inbox off since {since:%Y-%m-%d %H:%M:%S}" in told
    assert "They were inactive" in story(browser, event, inactive)
    assert "Not addressed." in story(browser, event, charlie)
    inbox.delete(alice.pk, ids=[event.pk])
    assert "It arrived, and was deleted." in story(browser, event, alice)


def test_what_changed_since_does_not_change_what_was(browser: Client, alice: Any, bob: Any) -> None:
    filters.set_channels(bob.pk, types={"post_like": {"inbox": False}})
    event = send_notification("post_like", users=[bob])
    filters.set_channels(bob.pk, types={"post_like": {"inbox": True}})
    told = story(browser, event, bob)
    assert "They had muted post_like" in told and "it is on again since" in told
    filters.set_channels(alice.pk, types={"post_like": {"inbox": False}})
    assert "Not addressed." in story(browser, event, alice)


def test_a_critical_type_reaches_who_has_muted_everything(
    browser: Client, alice: Any, settings: Any
) -> None:
    event = send_notification("post_like", users=alice)
    event.type.critical = True
    event.type.save()
    filters.Filter.objects.create(user=alice, type=event.type, channel="inbox", enabled=False)
    again = send_notification("post_like", users=alice)
    assert "not seen yet" in story(browser, again, alice)


def test_what_is_still_on_its_way(browser: Client, alice: Any, bob: Any) -> None:
    event = send_notification("post_like", users=[])
    Audience.objects.create(
        event=event, user_ids=[alice.pk], due=timezone.now(), state="parked", last_error="Oops: no"
    )
    assert "the fan-out to them is parked" in story(browser, event, alice)
    assert "Not addressed." in story(browser, event, bob)
    found = facts(browser, event)
    assert found["Audiences to go"] == "1" and found["Their last error"] == "Oops: no"
    assert found["Left out"] == "0"


def test_a_broadcast(
    browser: Client, alice: Any, bob: Any, charlie: Any, make_user: Callable[..., Any]
) -> None:
    filters.set_channels(bob.pk, types={"post_like": {"inbox": False}})
    inactive = make_user("inactive", is_active=False)
    event = send_notification("post_like", users=EVERYONE)
    fan_out_due()
    event.refresh_from_db()
    assert facts(browser, event)["Broadcast"] == f"number {event.broadcast}"
    assert "It arrives when they come back" in story(browser, event, alice)
    assert "mute it now: their filter has the channel inbox off" in story(browser, event, bob)
    assert "they are inactive" in story(browser, event, inactive)
    inbox.take_in([alice.pk, bob.pk])
    assert "not seen yet" in story(browser, event, alice)
    assert "They had muted post_like" in story(browser, event, bob)
    late = make_user("late")
    assert "signed up after this broadcast" in story(browser, event, late)
    assert facts(browser, event)["Fanned out to"] == "1"
    Event.objects.filter(pk=event.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert "expired before they came back" in story(browser, event, charlie)


def test_a_broadcast_that_was_over_at_once(browser: Client, alice: Any) -> None:
    over = timezone.now() - timedelta(seconds=1)
    event = send_notification("post_like", users=EVERYONE, expires_at=over)
    fan_out_due()
    assert "expired before anybody could get it" in story(browser, event, alice)
    assert facts(browser, event)["Left out: expired before it arrived"] == "everybody"


def test_where_the_trace_is_purged_it_says_so(browser: Client, alice: Any, bob: Any) -> None:
    event = send_notification("post_like", users=[alice])
    long_ago = timezone.now() - timedelta(days=100)
    Event.objects.filter(pk=event.pk).update(timestamp=long_ago)
    Notification.objects.all().delete()
    Inbox.objects.filter(pk=alice.pk).update(floor=1)
    assert "or they had it, and deleted it" in story(browser, event, alice)
    assert story(browser, event, bob).endswith("Not addressed.")


def test_who_may_look(browser: Client, make_user: Callable[..., Any], alice: Any, bob: Any) -> None:
    event = send_notification("post_like", users=alice, message="for her <b>eyes</b>")
    assert browser.get("/admin/hub_notifications/event/999999/trace/").status_code == 404
    assert browser.get(f"/admin/hub_notifications/event/{2**64}/trace/").status_code == 404
    page = browser.get(address(event), {"user": "<script>"}).content.decode()
    assert "No user is called &lt;script&gt;." in page and "<b>eyes" not in page
    half = staff(make_user, "half", "view_event")
    page = half.get(address(event), {"user": "alice"}).content.decode()
    assert "data-user" not in page and "takes the permission to view notifications" in page
    assert staff(make_user, "none", "view_filter").get(address(event)).status_code == 403
    assert signed_in(bob).get(address(event)).status_code == 302
    assert Client().get(address(event)).status_code == 302
    assert browser.post(address(event)).status_code in (200, 403, 405)


@pytest.mark.parametrize("text", ["", "alice", "nobody at all", "al"])
def test_it_costs_the_same_however_many_it_was_for(
    browser: Client, make_user: Callable[..., Any], alice: Any, text: str
) -> None:
    costs = []
    for number, label in ((1, "a"), (60, "b")):
        users = [make_user(f"{label}{n}") for n in range(number)]
        for user in users[::2]:
            filters.set_channels(user.pk, types={"post_like": {"inbox": False}})
        event = send_notification("post_like", users=[alice, *users])
        browser.get(address(event), {"user": text})
        with CaptureQueriesContext(connection) as queries:
            assert browser.get(address(event), {"user": text}).status_code == 200
        costs.append(len(queries))
    assert costs[0] == costs[1]


def test_the_admin_leads_to_it(browser: Client, alice: Any) -> None:
    event = send_notification("post_like", users=alice)
    row = Notification.objects.get()
    for page in ("event/", f"event/{event.pk}/change/", "notification/"):
        content = browser.get(f"/admin/hub_notifications/{page}").content.decode()
        assert address(event) in content, page
    page = browser.get(f"/admin/hub_notifications/notification/{row.pk}/change/")
    assert f"{address(event)}?user={alice.pk}" in page.content.decode()


def test_who_was_dropped_by_hand_is_not_called_unaddressed(
    make_user: Callable[..., Any], browser: Client, alice: Any, bob: Any
) -> None:
    mender = staff(make_user, "mender", "view_audience", "delete_audience")
    named = send_notification("post_like", users=[])
    everybody = send_notification("post_like", users=[])
    stored = send_notification("post_like", users=bob)
    at = {"due": timezone.now(), "state": "parked"}
    rows = [
        Audience.objects.create(event=named, user_ids=[alice.pk], **at),
        Audience.objects.create(event=everybody, everyone=True, **at),
        Audience.objects.create(event=stored, user_ids=[bob.pk], plan_only=True, **at),
    ]
    chosen = {"action": "drop", "_selected_action": [row.pk for row in rows], "confirm": "yes"}
    mender.post("/admin/hub_notifications/audience/", chosen)
    assert not Audience.objects.exists()
    assert "somebody dropped the parked audience" in story(browser, named, alice)
    assert "Not addressed." in story(browser, named, bob)
    assert facts(browser, named)["Left out: dropped by hand while it was parked"] == "1"
    assert "dropped by hand before anybody could get it" in story(browser, everybody, alice)
    assert "not seen yet" in story(browser, stored, bob)
    assert facts(browser, stored)["Left out"] == "0"
