"""GET notifications/: what is listed, how it is narrowed down and paged, and at what cost."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.utils import timezone

from notifications import EVERYONE, inbox, send_notification
from notifications.models import Event
from tests.notifications.conftest import Api, error_of, golden, same_shape

pytestmark = pytest.mark.django_db(transaction=True)


def send(user: Any, title: str = "", **given: Any) -> int:
    given = {"type": "post_like"} | given
    return int(send_notification(given.pop("type"), users=user, title=title, **given).pk)


def ids(answer: Any) -> list[int]:
    assert answer.status_code == 200, answer.content
    return [row["id"] for row in answer.json()["results"]]


def test_the_answer_is_shaped_as_the_example(alices: Api, alice: Any, bob: Any) -> None:
    body = {key: golden("rest_notification")["event"][key] for key in ("title", "message", "url")}
    until = timezone.now() + timedelta(days=1)
    send(alice, type="post_comment", author=bob, data={"post": 1}, expires_at=until, **body)
    send(alice)
    send(alice)
    found = alices.get("notifications/?limit=2").json()
    same_shape(found, golden("rest_list"))
    assert (found["count"], len(found["results"])) == (3, 2)
    one = alices.get("notifications/?offset=2").json()["results"][0]
    same_shape(one, golden("rest_notification"))
    assert one["event"]["author"] == {"id": bob.pk, "name": "bob"}
    assert one["event"]["data"] == {"post": 1}
    assert one["event"]["id"] == one["id"]


def test_it_is_by_id_newest_first(alices: Api, alice: Any) -> None:
    first, second, third = send(alice), send(alice), send(alice)
    inbox.mark(alice.pk, state="read", ids=[first])
    assert ids(alices.get("notifications/")) == [third, second, first]


def test_an_empty_inbox_is_an_empty_list(alices: Api) -> None:
    found = alices.get("notifications/").json()
    assert (found["count"], found["results"], found["version"]) == (0, [], 0)
    assert found["next"] is None and found["previous"] is None


def test_nobody_sees_what_is_somebody_elses(alices: Api, bob: Any) -> None:
    send(bob, "for bob")
    assert ids(alices.get("notifications/?state=all")) == []


def test_the_pages_link_to_each_other_by_absolute_addresses(alices: Api, alice: Any) -> None:
    sent = [send(alice) for _ in range(5)]
    base = "http://testserver/api/notifications/"
    first = alices.get("notifications/?limit=2&type=post_like").json()
    assert first["next"] == f"{base}?limit=2&offset=2&type=post_like"
    assert first["previous"] is None
    second = alices.get(first["next"].removeprefix("http://testserver/api/")).json()
    assert second["previous"] == f"{base}?limit=2&type=post_like"
    third = alices.get(second["next"].removeprefix("http://testserver/api/")).json()
    assert third["next"] is None
    assert third["previous"] == f"{base}?limit=2&offset=2&type=post_like"
    found = [row["id"] for page in (first, second, third) for row in page["results"]]
    assert found == sent[::-1]
    assert {page["count"] for page in (first, second, third)} == {5}


def test_before_pages_go_on_by_before_and_are_not_counted(alices: Api, alice: Any) -> None:
    sent = [send(alice) for _ in range(5)]
    path, found = "notifications/?limit=2&offset=0&before=" + str(2**53 - 1), []
    while path:
        page = alices.get(path).json()
        same_shape(page, golden("rest_list_before"))
        assert page["count"] is None and page["previous"] is None
        found.append([row["id"] for row in page["results"]])
        send(alice)  # new arrivals do not shift the pages
        path = (page["next"] or "").removeprefix("http://testserver/api/")
        assert "offset" not in path
    assert found == [sent[:2:-1], sent[2:0:-1], sent[:1]]


def test_limit_is_20_if_left_out_and_at_most_200(alices: Api, alice: Any) -> None:
    template = Event.objects.get(pk=send(alice))
    for number in range(204):
        Event.objects.create(type=template.type, title=str(number))
    for event in Event.objects.exclude(pk=template.pk):
        inbox.arrive(event, [alice.pk], using="default")
    assert len(ids(alices.get("notifications/"))) == 20
    big = alices.get("notifications/?limit=1000")
    assert len(ids(big)) == 200
    assert big.json()["next"].endswith("?limit=200&offset=200")
    assert len(ids(alices.get(f"notifications/?limit={'9' * 40}"))) == 200
    assert len(ids(alices.get("notifications/?limit=200&offset=200"))) == 5


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=-1", "limit"),
        ("limit=" + "-9" * 1 + "9" * 40, "limit"),
        ("limit=abc", "limit"),
        ("limit=", "limit"),
        ("limit=1.0", "limit"),
        ("limit=+1", "limit"),
        ("limit=1e2", "limit"),
        ("limit=%D9%A1", "limit"),  # a digit, but of another script
        ("limit=5&limit=0", "limit"),
        ("offset=-1", "offset"),
        ("offset=x", "offset"),
        ("offset=", "offset"),
        ("before=0", "before"),
        ("before=-5", "before"),
        ("before=x", "before"),
        ("before=5&offset=1", "offset"),
        ("read=maybe", "read"),
        ("read=True", "read"),
        ("read=1", "read"),
        ("read=", "read"),
        ("read=2026-03-02T08:15:30", "read"),
        ("read=2026-03-02", "read"),
        ("read=2026-13-02T08:15:30Z", "read"),
        ("read=2026-03-02T08:15:30+01:00", "read"),  # + is a blank in a query string
        ("read=0001-01-01T00:00:00%2B14:00", "read"),
        ("state=read", "state"),
        ("state=", "state"),
        ("state=ALL", "state"),
    ],
)
def test_a_parameter_that_means_nothing_is_refused(alices: Api, query: str, field: str) -> None:
    found = error_of(alices.get("notifications/?" + query), 400)
    assert found["code"] == "invalid"
    assert list(found["fields"]) == [field]
    same_shape(found | {"fields": {}}, golden("rest_error_invalid") | {"fields": {}})


def test_the_words_of_an_error_name_the_parameter(alices: Api) -> None:
    assert error_of(alices.get("notifications/?limit=0"), 400) == golden("rest_error_invalid")


def test_of_a_repeated_parameter_the_last_counts(alices: Api, alice: Any) -> None:
    send(alice), send(alice)
    assert len(ids(alices.get("notifications/?limit=0&limit=1"))) == 1


def test_an_unknown_parameter_is_ignored(alices: Api, alice: Any) -> None:
    assert ids(alices.get("notifications/?page=7&read_at=x")) == []


@pytest.mark.parametrize("offset", [3, 10**9, 2**63, 2**80])
def test_beyond_the_end_the_list_is_empty_and_counted(alices: Api, alice: Any, offset: int) -> None:
    send(alice), send(alice)
    found = alices.get(f"notifications/?offset={offset}").json()
    assert (found["count"], found["results"], found["next"]) == (2, [], None)
    assert found["previous"] is not None or offset < 20


@pytest.mark.parametrize("before", [2**53, 2**63, 2**64, 10**40])
def test_before_an_impossible_id_is_everything(alices: Api, alice: Any, before: int) -> None:
    one = send(alice)
    assert ids(alices.get(f"notifications/?before={before}")) == [one]


def test_read_and_not_read(alices: Api, alice: Any) -> None:
    read, unread = send(alice), send(alice)
    inbox.mark(alice.pk, state="read", ids=[read])
    assert ids(alices.get("notifications/?read=true")) == [read]
    assert ids(alices.get("notifications/?read=false")) == [unread]
    assert alices.get("notifications/?read=true").json()["count"] == 1


def test_read_at_a_time_or_after(alices: Api, alice: Any) -> None:
    early, late = send(alice), send(alice)
    send(alice)
    inbox.mark(alice.pk, state="read", ids=[early])
    inbox.mark(alice.pk, state="read", ids=[late])
    at = inbox.get(alice.pk, late)["read_at"]  # type: ignore[index]
    assert ids(alices.get(f"notifications/?read={at}")) == [late]
    moment = datetime.fromisoformat(at)
    later = (moment + timedelta(microseconds=1)).isoformat()
    assert ids(alices.get(f"notifications/?read={quote(later)}")) == []
    elsewhere = moment.astimezone(UTC).replace(tzinfo=None) + timedelta(hours=5)
    same = quote(f"{elsewhere.isoformat()}+05:00")
    assert ids(alices.get(f"notifications/?read={same}")) == [late]
    assert alices.get(f"notifications/?read={same}").json()["count"] == 1


def test_by_state(alices: Api, alice: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    soon = timezone.now() + timedelta(seconds=30)
    plain, seen, archived, expired = send(alice), send(alice), send(alice), send(alice)
    gone = send(alice)
    Event.objects.filter(pk=expired).update(expires_at=soon)
    inbox.mark(alice.pk, state="seen", ids=[seen])
    inbox.mark(alice.pk, state="archived", ids=[archived])
    inbox.delete(alice.pk, ids=[gone])
    end = send(alice, expires_at=soon)
    monkeypatch.setattr(timezone, "now", lambda: soon)
    assert ids(alices.get("notifications/")) == [seen, plain]
    assert ids(alices.get("notifications/?state=unseen")) == [plain]
    assert ids(alices.get("notifications/?state=archived")) == [archived]
    everything = [end, expired, archived, seen, plain]
    assert ids(alices.get("notifications/?state=all")) == everything
    counts = [
        alices.get(f"notifications/?{query}").json()["count"]
        for query in ("", "state=unseen", "state=archived", "state=all")
    ]
    assert counts == [2, 1, 1, 5]


def test_by_type(alices: Api, alice: Any) -> None:
    like, comment = send(alice), send(alice, type="post_comment")
    assert ids(alices.get("notifications/?type=post_comment")) == [comment]
    assert ids(alices.get("notifications/?type=post_like")) == [like]
    assert alices.get("notifications/?type=post_like").json()["count"] == 1


@pytest.mark.parametrize("name", ["post_coment", "", "POST_LIKE", "x" * 500])
def test_a_type_that_is_not_declared_is_refused(alices: Api, name: str) -> None:
    found = error_of(alices.get(f"notifications/?type={name}"), 400)
    assert found["code"] == "unknown_event_type"
    same_shape(found, golden("rest_error_unknown_event_type"))


def test_parameters_narrow_each_other_down(alices: Api, alice: Any) -> None:
    one, two, three = (send(alice, type="post_comment") for _ in range(3))
    other = send(alice)
    inbox.mark(alice.pk, state="read", ids=[one, two, other])
    inbox.mark(alice.pk, state="archived", ids=[two])
    query = "notifications/?type=post_comment&read=true"
    assert ids(alices.get(query)) == [one]
    assert ids(alices.get(query + "&state=archived")) == [two]
    assert ids(alices.get(query + "&state=all")) == [two, one]
    assert ids(alices.get(query + f"&state=all&before={two}")) == [one]
    assert ids(alices.get("notifications/?type=post_comment&state=unseen")) == [three]


def test_a_waiting_broadcast_is_taken_in_first(alices: Api, alice: Any) -> None:
    before = send(alice)
    broadcast = send(EVERYONE, "for all")
    found = alices.get("notifications/")
    assert ids(found) == [broadcast, before]
    assert (found.json()["count"], found.json()["version"]) == (2, 2)


def test_epoch_and_version_are_what_a_client_resumes_from(alices: Api, alice: Any) -> None:
    send(alice)
    page = alices.get("notifications/").json()
    late = send(alice)
    path = f"notifications/changes/?epoch={page['epoch']}&since={page['version']}"
    assert [row["id"] for row in alices.get(path).json()["changes"]] == [late]


def test_what_is_over_is_not_listed(
    alices: Api, alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    until = timezone.now() + timedelta(seconds=30)
    send(alice, expires_at=until)
    monkeypatch.setattr(timezone, "now", lambda: until)
    found = alices.get("notifications/").json()
    assert (found["count"], found["version"]) == (0, 2)


@pytest.mark.parametrize("rows", [1, 30])
@pytest.mark.parametrize("query", ["", "before=9007199254740991", "read=false", "state=all"])
def test_the_list_costs_the_same_however_long_it_is(
    alices: Api,
    alice: Any,
    make_user: Callable[..., Any],
    rows: int,
    query: str,
    django_assert_num_queries: Any,
) -> None:
    for number in range(rows):
        send(alice, author=make_user(f"author{number}"), type="post_comment")
    alices.get("event-types/")  # notes that the token was used
    with django_assert_num_queries(3):  # token, page, authors
        alices.get(f"notifications/?limit=200&{query}")


def test_a_deleted_author_is_null(alices: Api, alice: Any, bob: Any) -> None:
    send(alice, author=bob)
    bob.delete()
    [row] = alices.get("notifications/").json()["results"]
    assert row["event"]["author"] is None


def test_the_author_is_shown_by_the_full_name(alices: Api, alice: Any, bob: Any) -> None:
    bob.first_name, bob.last_name = "Bob", "Müller"
    bob.save()
    send(alice, author=bob)
    answer = alices.get("notifications/")
    assert answer.json()["results"][0]["event"]["author"]["name"] == "Bob Müller"
    assert "Müller".encode() in answer.content  # UTF-8, not escapes
