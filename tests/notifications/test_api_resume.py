"""notifications/summary/ and notifications/changes/: how a client without a socket stays equal."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from notifications import EVERYONE, inbox, send_notification, tokens
from notifications.models import Inbox, Token
from tests.notifications.conftest import Api, golden, same_shape

pytestmark = pytest.mark.django_db(transaction=True)

SUMMARY = "notifications/summary/"


def send(user: Any, **given: Any) -> int:
    return int(send_notification("post_like", users=user, **given).pk)


def etag_of(api: Api) -> str:
    answer = api.get(SUMMARY)
    assert answer.status_code == 200
    return str(answer["ETag"])


def test_the_summary_has_the_counters(alices: Api, alice: Any) -> None:
    one, two, _three = send(alice), send(alice), send(alice)
    inbox.mark(alice.pk, state="read", ids=[one])
    inbox.mark(alice.pk, state="seen", ids=[two])
    found = alices.get(SUMMARY).json()
    same_shape(found, golden("rest_summary"))
    epoch = found.pop("epoch")
    assert found == {"unread": 2, "unseen": 1, "total": 3, "version": 5}
    assert epoch == alices.get("notifications/").json()["epoch"]


def test_the_epoch_is_made_of_few_characters(alices: Api) -> None:
    import re

    assert re.fullmatch("[A-Za-z0-9._-]+", alices.get(SUMMARY).json()["epoch"])


@pytest.mark.parametrize("form", ["{0}", "W/{0}", '"other", {0}', "*"])
def test_a_current_tag_is_answered_by_304_without_a_body(
    alices: Api, alice: Any, form: str
) -> None:
    send(alice)
    tag = etag_of(alices)
    answer = alices.get(SUMMARY, If_None_Match=form.format(tag))
    assert (answer.status_code, answer.content, answer["ETag"]) == (304, b"", tag)


@pytest.mark.parametrize("form", ['"other"', "nonsense", "", '"', "W/"])
def test_any_other_tag_is_answered_in_full(alices: Api, form: str) -> None:
    assert alices.get(SUMMARY, If_None_Match=form).status_code == 200


def test_the_tag_changes_with_the_version(alices: Api, alice: Any) -> None:
    tags = [etag_of(alices)]
    one = send(alice)
    tags.append(etag_of(alices))
    inbox.mark(alice.pk, state="seen", ids=[one])
    tags.append(etag_of(alices))
    inbox.new_epoch()
    tags.append(etag_of(alices))
    assert len(set(tags)) == 4
    assert etag_of(alices) == tags[-1]


def test_the_tag_changes_as_soon_as_a_broadcast_waits(alices: Api) -> None:
    tag = etag_of(alices)
    send(EVERYONE)
    answer = alices.get(SUMMARY, If_None_Match=tag)
    assert answer.status_code == 200 and answer.json()["unread"] == 1


def test_the_tag_changes_as_soon_as_an_expiry_waits(
    alices: Api, alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    until = timezone.now() + timedelta(seconds=30)
    send(alice, expires_at=until)
    tag = etag_of(alices)
    assert alices.get(SUMMARY, If_None_Match=tag).status_code == 304
    monkeypatch.setattr(timezone, "now", lambda: until)
    answer = alices.get(SUMMARY, If_None_Match=tag)
    assert answer.status_code == 200 and answer.json()["unread"] == 0


def test_two_people_at_one_browser_have_different_tags(alices: Api, bob: Any, app_of: Any) -> None:
    bobs = app_of(bob)
    assert alices.get(SUMMARY).json() == bobs.get(SUMMARY).json()
    assert bobs.get(SUMMARY, If_None_Match=etag_of(alices)).status_code == 200


def test_a_summary_by_token_is_one_query_the_sign_in_included(
    alices: Api, alice: Any, django_assert_num_queries: Any
) -> None:
    send(alice)
    tag = etag_of(alices)
    with django_assert_num_queries(1):
        assert alices.get(SUMMARY, If_None_Match=tag).status_code == 304
    with django_assert_num_queries(1):
        assert alices.get(SUMMARY).json()["unread"] == 1


def test_a_summary_by_session_is_one_query_beside_the_sign_in(
    browser_of: Any, alice: Any, django_assert_num_queries: Any
) -> None:
    page = browser_of(alice)
    tag = etag_of(page)
    with django_assert_num_queries(3):  # session, user
        assert page.get(SUMMARY, If_None_Match=tag).status_code == 304


def test_an_app_and_a_browser_have_the_same_summary(
    alices: Api, browser_of: Any, alice: Any, bob: Any
) -> None:
    send(alice), send([alice, bob])
    # nothing waits for anybody: what the token's statement read is what is answered
    assert alices.get(SUMMARY).json() == browser_of(alice).get(SUMMARY).json()
    assert etag_of(alices) == etag_of(browser_of(alice))
    assert alices.get(SUMMARY).json()["total"] == 2


def test_tokens_may_live_in_another_database_than_inboxes(
    alices: Api, alice: Any, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    class Router:
        def db_for_write(self, model: Any) -> str:
            return "default" if model is Token else "elsewhere"

    send(alice)
    assert alices.get(SUMMARY).status_code == 200  # which notes when the token was used
    monkeypatch.setattr(tokens, "router", Router())
    with django_assert_num_queries(2):
        assert alices.get(SUMMARY).json()["unread"] == 1


def test_a_user_without_an_inbox_has_an_empty_summary(alices: Api, alice: Any) -> None:
    Inbox.objects.filter(user=alice.pk).delete()
    assert alices.get(SUMMARY).json()["total"] == 0
    assert Inbox.objects.filter(user=alice.pk).exists()


def changes(api: Api, since: Any, epoch: str | None = None) -> dict[str, Any]:
    if epoch is None:
        epoch = api.get(SUMMARY).json()["epoch"]
    answer = api.get(f"notifications/changes/?epoch={epoch}&since={since}")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def test_the_last_page_says_what_changed(alices: Api, alice: Any) -> None:
    one, two = send(alice), send(alice)
    inbox.delete(alice.pk, ids=[one])
    found = changes(alices, 0)
    assert [(row["id"], row["version"]) for row in found["changes"]] == [(two, 2), (one, 3)]
    assert found["changes"][1] == {"id": one, "version": 3, "deleted": True}
    assert (found["version"], found["more"], found["cursor"]) == (3, False, None)
    assert found["reset"] is False
    last = changes(alices, 2)
    same_shape(last, golden("rest_changes_last"))
    assert last["cursor"] is None


def test_nothing_new_is_an_empty_page(alices: Api, alice: Any) -> None:
    send(alice)
    found = changes(alices, 1)
    assert (found["changes"], found["version"], found["more"]) == ([], 1, False)


def test_pages_go_on_by_the_cursor_within_one_version(alices: Api, alice: Any) -> None:
    sent = [send(alice) for _ in range(205)]
    inbox.delete(alice.pk, ids=sent[:1])
    inbox.mark(alice.pk, state="seen", ids=sent)
    first = changes(alices, 0)
    same_shape(first, golden("rest_changes"))
    assert first["more"] is True and len(first["changes"]) == 200
    assert first["version"] == 206  # the mark is not complete
    rest = changes(alices, first["cursor"])
    assert (rest["version"], rest["more"], rest["cursor"]) == (207, False, None)
    found = [row["id"] for page in (first, rest) for row in page["changes"]]
    assert sorted(found) == sent
    again = changes(alices, first["version"])  # or by the version, whichever was kept
    assert {row["version"] for row in again["changes"]} == {207}


def test_a_client_that_follows_the_pages_has_what_the_server_has(alices: Api, alice: Any) -> None:
    sent = [send(alice) for _ in range(210)]
    inbox.mark(alice.pk, state="archived", ids=sent[5:50])
    inbox.delete(alice.pk, ids=sent[100:110])
    mine: dict[int, Any] = {}
    since: Any = 0
    while True:
        page = changes(alices, since)
        for row in page["changes"]:
            mine.pop(row["id"], None)
            if "deleted" not in row:
                mine[row["id"]] = row
        if not page["more"]:
            break
        since = page["cursor"]
    listed = alices.get("notifications/?state=all&limit=200").json()["results"]
    listed += alices.get("notifications/?state=all&limit=200&offset=200").json()["results"]
    assert mine == {row["id"]: row for row in listed}


@pytest.mark.parametrize(
    "query",
    [
        "",
        "epoch={epoch}",
        "since=0",
        "since=0&epoch=",
        "since=0&epoch=other",
        "since=0&epoch=%20",
        "since=0&epoch=ä",
        "since=&epoch={epoch}",
        "since=abc&epoch={epoch}",
        "since=-1&epoch={epoch}",
        "since=1.5.7&epoch={epoch}",
        "since=1.0&epoch={epoch}",
        "since=1.&epoch={epoch}",
        "since=1e1&epoch={epoch}",
        "since=%D9%A1&epoch={epoch}",
        "since=3&epoch={epoch}",
        "since=99999999999999999999&epoch={epoch}",
        "since=9223372036854775807&epoch={epoch}",
        "since=9223372036854775807.9223372036854775807&epoch={epoch}",
        "since=0&since=x&epoch={epoch}",
    ],
)
def test_a_cursor_that_does_not_fit_is_a_reset_and_never_an_error(
    alices: Api, alice: Any, query: str
) -> None:
    send(alice), send(alice)
    epoch = alices.get(SUMMARY).json()["epoch"]
    answer = alices.get("notifications/changes/?" + query.replace("{epoch}", epoch))
    assert answer.status_code == 200
    found = answer.json()
    same_shape(found, golden("rest_changes_reset"))
    assert found["reset"] is True and found["changes"] == [] and found["more"] is False
    assert (found["epoch"], found["version"]) == (epoch, 2)
    assert 0 <= found["retry_after"] <= 60


def test_a_purged_cursor_and_an_old_epoch_are_resets(alices: Api, alice: Any) -> None:
    one = send(alice)
    send(alice)
    inbox.delete(alice.pk, ids=[one])
    inbox.prune(at=timezone.now() + timedelta(days=40))
    assert changes(alices, 2)["reset"] is True
    assert changes(alices, 3)["reset"] is False
    old = alices.get(SUMMARY).json()["epoch"]
    inbox.new_epoch()
    assert changes(alices, 3, old)["reset"] is True


def test_a_broadcast_and_an_expiry_are_done_first(
    alices: Api, alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    until = timezone.now() + timedelta(seconds=30)
    one = send(alice, expires_at=until)
    two = send(EVERYONE)
    monkeypatch.setattr(timezone, "now", lambda: until)
    found = changes(alices, 0)
    rows = {row["id"]: row for row in found["changes"]}
    assert rows[one]["expired_at"] is not None and two in rows
    assert found["version"] == 3


@pytest.mark.parametrize("rows", [1, 60])
def test_changes_cost_the_same_however_many(
    alices: Api, alice: Any, make_user: Any, rows: int, django_assert_num_queries: Any
) -> None:
    for number in range(rows):
        send(alice, author=make_user(f"author{number}"))
    epoch = alices.get(SUMMARY).json()["epoch"]
    with django_assert_num_queries(3):  # token, page, authors
        changes(alices, 0, epoch)
