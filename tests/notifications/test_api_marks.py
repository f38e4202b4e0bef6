"""Marking and deleting over HTTP: what is changed, what is answered, what is refused."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from notifications import inbox, send_notification
from tests.notifications.conftest import Api, error_of, golden, same_shape

pytestmark = pytest.mark.django_db(transaction=True)

BIG = [0, -1, 2**53, 2**63, 2**64, 10**40]


@pytest.fixture
def sent(alice: Any, bob: Any) -> list[int]:
    """Three of Alice's: two likes and a comment. Bob has the first too."""
    first = send_notification("post_like", users=[alice, bob])
    second = send_notification("post_comment", users=alice, title="comment")
    third = send_notification("post_like", users=alice)
    return [first.pk, second.pk, third.pk]


def state_of(user: Any) -> dict[int, Any]:
    return {row["id"]: row for row in inbox.page(user.pk, state="all").results}


def test_a_batch_is_marked_as_read(alices: Api, alice: Any, sent: list[int]) -> None:
    answer = alices.patch("notifications/", sent[:2])
    assert answer.json() == {"changed": 2, "version": 4}
    same_shape(answer.json(), golden("rest_mark"))
    rows = state_of(alice)
    assert rows[sent[0]]["read_at"] and rows[sent[1]]["seen_at"]
    assert rows[sent[2]]["read_at"] is None
    assert inbox.summary(alice.pk).unread == 1


def test_a_repeated_id_counts_once_and_a_repeated_mark_takes_no_number(
    alices: Api, sent: list[int]
) -> None:
    assert alices.patch("notifications/", [sent[0]] * 5).json() == {"changed": 1, "version": 4}
    assert alices.patch("notifications/", [sent[0]]).json() == {"changed": 0, "version": 4}
    assert alices.patch("notifications/", []).json() == {"changed": 0, "version": 4}


def test_ids_of_others_and_of_nobody_are_ignored(
    alices: Api, bob: Any, sent: list[int], app_of: Callable[[Any], Api]
) -> None:
    bobs = send_notification("post_like", users=bob).pk
    answer = alices.patch("notifications/", [bobs, *BIG, sent[0]])
    assert answer.json() == {"changed": 1, "version": 4}
    assert inbox.summary(bob.pk).unread == 2


def test_a_thousand_ids_are_allowed_and_not_one_more(alices: Api) -> None:
    assert alices.patch("notifications/", list(range(1, 1001))).status_code == 200
    for body in (list(range(1, 1002)), [7] * 1001):
        found = error_of(alices.patch("notifications/", body), 400)
        assert found["code"] == "invalid"


@pytest.mark.parametrize(
    "body",
    [
        *("{}", "null", "7", '"1"', "true", '["x"]', "[true]", "[1.0]", '["1"]', "[null]"),
        *("[[1]]", '{"ids": [1]}', "[1, 2, 3.5]", "[{}]", ""),
    ],
)
def test_anything_but_a_list_of_integers_is_refused(
    alices: Api, alice: Any, sent: list[int], body: str
) -> None:
    found = error_of(alices.patch("notifications/", body or b""), 400)
    assert found["code"] == "invalid"
    assert inbox.summary(alice.pk).version == 3


@pytest.mark.parametrize("state", ["seen", "read", "archived"])
def test_each_state_is_set_by_ids(alices: Api, alice: Any, sent: list[int], state: str) -> None:
    answer = alices.post("notifications/mark/", {"state": state, "ids": sent[:2]})
    assert answer.json() == {"changed": 2, "version": 4}
    rows = state_of(alice)
    assert rows[sent[0]][f"{state}_at"] is not None
    assert rows[sent[2]][f"{state}_at"] is None


@pytest.mark.parametrize(("done", "undone"), [("read", "unread"), ("archived", "unarchived")])
def test_and_taken_back(alices: Api, alice: Any, sent: list[int], done: str, undone: str) -> None:
    alices.post("notifications/mark/", {"state": done, "ids": sent})
    answer = alices.post("notifications/mark/", {"state": undone, "ids": sent[:1]})
    assert answer.json() == {"changed": 1, "version": 5}
    assert state_of(alice)[sent[0]][f"{done}_at"] is None
    assert inbox.summary(alice.pk).unread == 1


def test_up_to_reaches_what_had_arrived(alices: Api, alice: Any, sent: list[int]) -> None:
    answer = alices.post("notifications/mark/", {"state": "seen", "up_to": 2})
    assert answer.json() == {"changed": 2, "version": 4}
    assert inbox.summary(alice.pk).unseen == 1
    nothing = alices.post("notifications/mark/", {"state": "seen", "up_to": 0})
    assert nothing.json() == {"changed": 0, "version": 4}


@pytest.mark.parametrize("up_to", [99, 2**53, 2**63, 10**40])
def test_up_to_above_the_version_is_taken_as_the_version(
    alices: Api, sent: list[int], up_to: int
) -> None:
    from notifications.signals import Marked, inbox_changed

    told: list[Any] = []

    def receive(change: Any, **_: Any) -> None:
        told.append(change)

    inbox_changed.connect(receive)
    try:
        answer = alices.post("notifications/mark/", {"state": "read", "up_to": up_to})
    finally:
        inbox_changed.disconnect(receive)
    assert answer.json() == {"changed": 3, "version": 4}
    [change] = told
    assert isinstance(change, Marked) and change.up_to == 3


def test_type_narrows_up_to(alices: Api, alice: Any, sent: list[int]) -> None:
    body = golden("rest_request_mark")
    answer = alices.post("notifications/mark/", body)
    assert answer.json() == {"changed": 1, "version": 4}
    assert state_of(alice)[sent[1]]["seen_at"] is not None


def test_the_examples_are_accepted(alices: Api, sent: list[int]) -> None:
    for name in ("rest_request_mark", "rest_request_mark_by_ids"):
        assert alices.post("notifications/mark/", golden(name)).status_code == 200
    assert alices.patch("notifications/", golden("rest_request_mark_ids")).status_code == 200


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "invalid"),
        ([], "invalid"),
        ("[1]", "invalid"),
        ("null", "invalid"),
        ({"state": "read"}, "invalid"),
        ({"ids": [1]}, "invalid"),
        ({"state": "read", "ids": [1], "up_to": 1}, "invalid"),
        ({"state": "read", "ids": [1], "type": "post_like"}, "invalid"),
        ({"state": "read", "ids": None}, "invalid"),
        ({"state": "read", "ids": None, "up_to": 1}, "invalid"),
        ({"state": "read", "ids": [True]}, "invalid"),
        ({"state": "read", "ids": [1.0]}, "invalid"),
        ({"state": "read", "ids": ["1"]}, "invalid"),
        ({"state": "read", "ids": "1"}, "invalid"),
        ({"state": "read", "ids": {"1": 1}}, "invalid"),
        ({"state": "read", "ids": list(range(1001))}, "invalid"),
        ({"state": "read", "up_to": -1}, "invalid"),
        ({"state": "read", "up_to": 1.0}, "invalid"),
        ({"state": "read", "up_to": True}, "invalid"),
        ({"state": "read", "up_to": "1"}, "invalid"),
        ({"state": "read", "up_to": 1, "type": 7}, "invalid"),
        ({"state": "read", "up_to": 1, "type": None}, "invalid"),
        ({"state": "read", "up_to": 1, "type": "nothing"}, "unknown_event_type"),
        ({"state": "read", "up_to": 1, "type": ""}, "unknown_event_type"),
        ({"state": "read", "up_to": 1, "ID": 1}, "invalid"),
        ({"state": "expired", "ids": [1]}, "invalid"),
        ({"state": "deleted", "ids": [1]}, "invalid"),
        ({"state": None, "ids": [1]}, "invalid"),
        ({"state": ["read"], "ids": [1]}, "invalid"),
        ({"state": {"read": 1}, "ids": [1]}, "invalid"),
        ({"state": 1, "ids": [1]}, "invalid"),
        ({"state": "READ", "ids": [1]}, "invalid"),
    ],
)
def test_a_mark_that_means_nothing_is_refused_whole(
    alices: Api, alice: Any, sent: list[int], body: Any, code: str
) -> None:
    assert error_of(alices.post("notifications/mark/", body), 400)["code"] == code
    assert inbox.summary(alice.pk).version == 3


@pytest.mark.parametrize("rows", [1, 40])
def test_a_mark_costs_the_same_however_many_it_alters(
    alices: Api, alice: Any, rows: int, django_assert_max_num_queries: Any
) -> None:
    sent = [send_notification("post_like", users=alice).pk for _ in range(rows)]
    alices.get("event-types/")
    with django_assert_max_num_queries(8):
        alices.patch("notifications/", sent)
    with django_assert_max_num_queries(8):
        alices.post("notifications/mark/", {"state": "archived", "up_to": rows})


def test_one_notification_in_whatever_state(alices: Api, alice: Any, sent: list[int]) -> None:
    inbox.mark(alice.pk, state="archived", ids=sent[:1])
    answer = alices.get(f"notifications/{sent[0]}/")
    assert answer.json()["id"] == sent[0] and answer.json()["archived_at"]
    same_shape(answer.json(), golden("rest_notification"))


def test_an_expired_one_is_still_there(
    alices: Api, alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    until = timezone.now() + timedelta(seconds=30)
    event = send_notification("post_like", users=alice, expires_at=until)
    monkeypatch.setattr(timezone, "now", lambda: until)
    alices.get("notifications/summary/")
    assert alices.get(f"notifications/{event.pk}/").json()["expired_at"] is not None


@pytest.mark.parametrize("body", [{}, {"read": False, "x": [1]}, b"", None])
def test_patch_marks_as_read_whatever_the_object_says(
    alices: Api, sent: list[int], body: Any
) -> None:
    answer = alices.patch(f"notifications/{sent[0]}/", body)
    assert answer.status_code == 200
    assert answer.json()["read_at"] is not None and answer.json()["version"] == 4
    again = alices.patch(f"notifications/{sent[0]}/", body)
    assert again.json() == answer.json()


@pytest.mark.parametrize("body", ["[]", "null", "1", '"x"', "true"])
def test_patch_of_one_takes_only_an_object(
    alices: Api, alice: Any, sent: list[int], body: str
) -> None:
    found = error_of(alices.patch(f"notifications/{sent[0]}/", body), 400)
    assert found["code"] == "invalid"
    assert inbox.summary(alice.pk).version == 3


def test_one_is_deleted_once(alices: Api, alice: Any, sent: list[int]) -> None:
    answer = alices.delete(f"notifications/{sent[0]}/")
    assert (answer.status_code, answer.content) == (204, b"")
    error_of(alices.delete(f"notifications/{sent[0]}/"), 404)
    error_of(alices.get(f"notifications/{sent[0]}/"), 404)
    error_of(alices.patch(f"notifications/{sent[0]}/", {}), 404)
    assert sent[0] not in state_of(alice)


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_that_of_somebody_else_is_not_found_like_that_of_nobody(
    alices: Api, bob: Any, method: str
) -> None:
    bobs = send_notification("post_like", users=bob).pk
    answers = [
        error_of(alices.ask(method, f"notifications/{wanted}/", None), 404)
        for wanted in [bobs, 999_999, *(number for number in BIG if number >= 0)]
    ]
    assert all(found == answers[0] for found in answers)
    same_shape(answers[0], golden("rest_error_not_found"))
    assert answers[0]["code"] == "not_found"
    [row] = inbox.page(bob.pk).results
    assert row["read_at"] is None
