"""POST events/: who may send, to whom, what, and that a repeat sends nothing twice."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.utils import timezone

from notifications import event_types, inbox
from notifications.models import Audience, Event, IdempotencyKey, Notification
from notifications.worker import fan_out_due
from tests.notifications.conftest import Api, error_of, golden, same_shape

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def sender(make_user: Callable[..., Any]) -> Any:
    """A user who may send."""
    user = make_user("sender")
    user.user_permissions.add(Permission.objects.get(codename="add_event"))
    return user


@pytest.fixture
def senders(sender: Any, app_of: Callable[[Any], Api]) -> Api:
    return app_of(sender)


def nothing_is_stored() -> bool:
    return not any(
        model.objects.exists() for model in (Event, Audience, Notification, IdempotencyKey)
    )


def told(answer: Any) -> set[Any]:
    """Whose inbox has the event that was answered."""
    assert answer.status_code in (200, 201), answer.content
    rows = Notification.objects.filter(event=answer.json()["id"])
    return set(rows.values_list("user_id", flat=True))


def test_an_event_is_committed_and_in_the_inbox(senders: Api, sender: Any, alice: Any) -> None:
    body = golden("rest_request_event") | {
        "users": ["alice"],
        "expires_at": (timezone.now() + timedelta(days=1)).isoformat(),
    }
    answer = senders.post("events/", body)
    assert answer.status_code == 201
    same_shape(answer.json(), golden("rest_event"))
    [row] = inbox.page(alice.pk).results
    event = row["event"]
    assert event["id"] == answer.json()["id"]
    assert event["author"] == {"id": sender.pk, "name": "sender"}
    assert event["type"]["name"] == "post_comment"
    for key in ("title", "message", "data", "url", "tag", "priority"):
        assert event[key] == body[key]
    assert event["expires_at"] is not None


def test_without_the_permission_it_is_403(alices: Api) -> None:
    found = error_of(alices.post("events/", {"type": "post_like", "users": []}), 403)
    assert found["code"] == "permission_denied"
    assert nothing_is_stored()


def test_the_permission_is_asked_before_the_body_is_looked_at(alices: Api) -> None:
    error_of(alices.post("events/", "{"), 403)


def test_a_superuser_may_and_an_inactive_one_is_nobody(
    make_user: Callable[..., Any], app_of: Callable[[Any], Api]
) -> None:
    root = make_user("root", is_superuser=True)
    api = app_of(root)
    assert api.post("events/", {"type": "post_like", "users": []}).status_code == 201
    root.is_active = False
    root.save()
    error_of(api.post("events/", {"type": "post_like", "users": []}), 401)


def test_users_are_ids_and_names(senders: Api, alice: Any, bob: Any, charlie: Any) -> None:
    answer = senders.post("events/", {"type": "post_like", "users": ["alice", bob.pk]})
    assert told(answer) == {alice.pk, bob.pk}


def test_text_of_digits_is_a_name(senders: Api, alice: Any, make_user: Callable[..., Any]) -> None:
    named = make_user(str(alice.pk))
    answer = senders.post("events/", {"type": "post_like", "users": [str(alice.pk)]})
    assert told(answer) == {named.pk}


def test_duplicates_count_once(senders: Api, alice: Any) -> None:
    users = ["alice", alice.pk, "alice", alice.pk]
    answer = senders.post("events/", {"type": "post_like", "users": users})
    assert told(answer) == {alice.pk}
    assert inbox.summary(alice.pk).total == 1


def test_unknown_ids_and_inactive_users_are_left_out(senders: Api, alice: Any, bob: Any) -> None:
    bob.is_active = False
    bob.save()
    users = [alice.pk, 999_999, 0, -1, 2**31, 2**63, 10**40, bob.pk, "bob"]
    answer = senders.post("events/", {"type": "post_like", "users": users})
    assert told(answer) == {alice.pk}


def test_nobody_is_told_of_an_empty_list(senders: Api) -> None:
    answer = senders.post("events/", {"type": "post_like", "users": []})
    assert answer.status_code == 201 and told(answer) == set()
    assert Event.objects.count() == 1


def test_everyone(senders: Api, alice: Any, bob: Any) -> None:
    answer = senders.post("events/", {"type": "post_like", "users": "everyone"})
    assert answer.status_code == 201
    for user in (alice, bob):
        [row] = inbox.page(user.pk).results
        assert row["id"] == answer.json()["id"]


def test_somebody_may_be_called_everyone(senders: Api, make_user: Callable[..., Any]) -> None:
    named = make_user("everyone")
    answer = senders.post("events/", {"type": "post_like", "users": ["everyone"]})
    assert told(answer) == {named.pk}


def test_ten_thousand_are_allowed_and_left_to_the_worker(senders: Api, alice: Any) -> None:
    users = [alice.pk, *range(10**6, 10**6 + 9_999)]
    answer = senders.post("events/", {"type": "post_like", "users": users})
    assert answer.status_code == 201
    while fan_out_due():
        pass
    assert told(answer) == {alice.pk}
    found = error_of(senders.post("events/", {"type": "post_like", "users": [*users, 1]}), 400)
    assert found["code"] == "invalid_audience"


def test_names_are_looked_up_in_few_queries(
    senders: Api, make_user: Callable[..., Any], django_assert_max_num_queries: Any
) -> None:
    names = [make_user(f"user{number}").username for number in range(120)]
    senders.get("event-types/")
    with django_assert_max_num_queries(22):
        answer = senders.post("events/", {"type": "post_like", "users": names})
    assert len(told(answer)) == 120


def test_left_out_words_are_empty(senders: Api, alice: Any) -> None:
    senders.post("events/", {"type": "become_friends_request", "users": ["alice"]})
    [row] = inbox.page(alice.pk).results
    event = row["event"]
    assert [event[key] for key in ("title", "message", "url", "tag")] == [""] * 4
    assert event["data"] is None and event["expires_at"] is None
    assert event["priority"] == "high"  # the type's


def test_null_leaves_priority_and_expiry_to_the_type(senders: Api, settings: Any) -> None:
    settings.EVENT_TYPES = [
        {"name": "news", "title": "News", "priority": "low", "lifetime": timedelta(hours=1)}
    ]
    event_types.sync()
    body = {"type": "news", "users": [], "priority": None, "expires_at": None, "data": None}
    senders.post("events/", body)
    event = Event.objects.get()
    assert event.priority == "low"
    assert event.expires_at == event.timestamp + timedelta(hours=1)


def test_text_is_stored_as_it_was_given(senders: Api, alice: Any) -> None:
    body = {
        "type": "post_like",
        "users": ["alice"],
        "title": "  <b>blanks</b> \U0001f600 ",
        "message": " one\r\ntwo\rthree\n ",
        "tag": " t ",
        "data": {" k ": [1, 2.5, None, True, {"deep": "\u2028"}]},
    }
    senders.post("events/", body)
    [row] = inbox.page(alice.pk).results
    assert row["event"]["title"] == body["title"]
    assert row["event"]["message"] == " one\ntwo\nthree\n "
    assert row["event"]["tag"] == " t "
    assert row["event"]["data"] == body["data"]


@pytest.mark.parametrize("data", ["text", 7, 0, False, [], {}, 1.5, [[]], ""])
def test_data_is_any_json(senders: Api, data: Any) -> None:
    answer = senders.post("events/", {"type": "post_like", "users": [], "data": data})
    assert answer.status_code == 201
    assert Event.objects.get().data == data


def test_an_expiry_that_has_passed_is_allowed_and_tells_nobody(senders: Api, alice: Any) -> None:
    body = {"type": "post_like", "users": ["alice"], "expires_at": "2001-01-01T00:00:00+02:00"}
    answer = senders.post("events/", body)
    assert answer.status_code == 201 and told(answer) == set()


LONG = {"title": 201, "message": 4001, "tag": 65, "url": 2001}


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"type": None}, "invalid", "type"),
        ({"type": 7}, "invalid", "type"),
        ({"type": "nothing"}, "unknown_event_type", "type"),
        ({"type": ""}, "unknown_event_type", "type"),
        ({"users": None}, "no_audience", "users"),
        ({"users": "alice"}, "invalid_audience", "users"),
        ({"users": "EVERYONE"}, "invalid_audience", "users"),
        ({"users": ""}, "invalid_audience", "users"),
        ({"users": 7}, "invalid_audience", "users"),
        ({"users": {}}, "invalid_audience", "users"),
        ({"users": {"alice": 1}}, "invalid_audience", "users"),
        ({"users": True}, "invalid_audience", "users"),
        ({"users": [None]}, "invalid_audience", "users"),
        ({"users": [True]}, "invalid_audience", "users"),
        ({"users": [1.0]}, "invalid_audience", "users"),
        ({"users": [["alice"]]}, "invalid_audience", "users"),
        ({"users": [{"id": 1}]}, "invalid_audience", "users"),
        ({"users": ["alice", "nobody"]}, "unknown_user", "users"),
        ({"users": [""]}, "unknown_user", "users"),
        ({"users": ["x" * 500]}, "unknown_user", "users"),
        ({"title": 7}, "invalid", "title"),
        ({"title": None}, "invalid", "title"),
        ({"message": ["x"]}, "invalid", "message"),
        ({"title": "two\nlines"}, "invalid", "title"),
        ({"title": "two\rlines"}, "invalid", "title"),
        ({"tag": "two\nlines"}, "invalid", "tag"),
        ({"url": "/a\nb"}, "invalid", "url"),
        ({"url": "javascript:alert(1)"}, "invalid", "url"),
        ({"url": "//evil.example"}, "invalid", "url"),
        ({"url": "ftp://example.com/"}, "invalid", "url"),
        ({"url": "posts/1"}, "invalid", "url"),
        ({"priority": "urgent"}, "invalid", "priority"),
        ({"priority": 1}, "invalid", "priority"),
        ({"priority": ["low"]}, "invalid", "priority"),
        ({"expires_at": "2030-01-01T00:00:00"}, "invalid", "expires_at"),
        ({"expires_at": "tomorrow"}, "invalid", "expires_at"),
        ({"expires_at": "2030-99-01T00:00:00Z"}, "invalid", "expires_at"),
        ({"expires_at": ""}, "invalid", "expires_at"),
        ({"expires_at": 1893456000}, "invalid", "expires_at"),
        ({"expires_at": ["2030-01-01T00:00:00Z"]}, "invalid", "expires_at"),
        ({"expires_at": "9999-12-31T23:59:59-12:00"}, "invalid", "expires_at"),
        ({"data": {"k": "x" * 16_400}}, "invalid_data", "data"),
        ({"push": {}}, "invalid", "push"),
        ({"author": 1}, "invalid", "author"),
        ({"Title": "x"}, "invalid", "Title"),
        *(({key: "/" + "x" * (size - 1)}, "invalid", key) for key, size in LONG.items()),
    ],
)
def test_a_bad_event_is_refused_whole(
    senders: Api, alice: Any, change: dict[str, Any], code: str, field: str
) -> None:
    body = {"type": "post_like", "users": ["alice"]} | change
    found = error_of(senders.post("events/", body, Idempotency_Key="k"), 400)
    assert found["code"] == code
    assert list(found["fields"]) == [field]
    assert nothing_is_stored()


@pytest.mark.parametrize("missing", ["type", "users"])
def test_what_is_required_is_required(senders: Api, missing: str) -> None:
    body = {"type": "post_like", "users": []}
    del body[missing]
    found = error_of(senders.post("events/", body), 400)
    assert found["code"] == {"type": "invalid", "users": "no_audience"}[missing]
    assert list(found["fields"]) == [missing]


@pytest.mark.parametrize("body", ["[]", "null", "7", '"x"', '["type"]', b""])
def test_only_an_object_is_an_event(senders: Api, body: Any) -> None:
    assert error_of(senders.post("events/", body), 400)["code"] in {"invalid", "no_audience"}
    assert nothing_is_stored()


@pytest.mark.parametrize("key", ["title", "message", "url", "tag"])
def test_the_longest_words_are_stored(senders: Api, key: str) -> None:
    text = "/" + "x" * (LONG[key] - 2)
    assert senders.post("events/", {"type": "post_like", "users": [], key: text}).status_code == 201
    assert getattr(Event.objects.get(), key) == text


def test_data_is_checked_against_the_types_schema(senders: Api, settings: Any) -> None:
    schema = {"type": "object", "properties": {"post": {"type": "integer"}}, "required": ["post"]}
    settings.EVENT_TYPES = [{"name": "post_comment", "title": "C", "schema": schema}]
    event_types.sync()
    body = {"type": "post_comment", "users": []}
    for data in ({"post": "x"}, {}, None, [], "x"):
        found = error_of(senders.post("events/", body | {"data": data}), 400)
        assert found["code"] == "invalid_data"
        same_shape(found, golden("rest_error_invalid_data"))
    assert nothing_is_stored()
    assert senders.post("events/", body | {"data": {"post": 1}}).status_code == 201


def test_data_of_many_levels_or_endless_numbers_is_refused(senders: Api) -> None:
    for data in ("[" * 200 + "]" * 200, "1e400", "-1e400", "[1e999]"):
        body = f'{{"type": "post_like", "users": [], "data": {data}}}'
        assert error_of(senders.post("events/", body), 400)["code"] == "invalid_data"
    assert nothing_is_stored()


def test_a_repeat_answers_200_with_the_same_event(senders: Api, alice: Any) -> None:
    body = {"type": "post_like", "users": ["alice"], "title": "Hello"}
    first = senders.post("events/", body, Idempotency_Key="k1")
    again = senders.post("events/", body, Idempotency_Key="k1")
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert Event.objects.count() == 1 and inbox.summary(alice.pk).total == 1
    other = senders.post("events/", body, Idempotency_Key="k2")
    assert other.status_code == 201 and other.json() != first.json()


def test_other_content_under_the_same_key_is_409(senders: Api, alice: Any, bob: Any) -> None:
    body = {"type": "post_like", "users": ["alice"]}
    senders.post("events/", body, Idempotency_Key="k")
    for change in ({"title": "x"}, {"users": ["bob"]}, {"type": "post_comment"}, {"data": 1}):
        found = error_of(senders.post("events/", body | change, Idempotency_Key="k"), 409)
        assert found["code"] == "idempotency_conflict"
        same_shape(found, golden("rest_error_idempotency_conflict"))
    assert Event.objects.count() == 1


def test_keys_belong_to_the_token_or_to_the_sessions_user(
    sender: Any, app_of: Callable[[Any], Api], browser_of: Callable[[Any], Api]
) -> None:
    body = {"type": "post_like", "users": []}
    clients = [app_of(sender), app_of(sender), browser_of(sender)]
    answers = [client.post("events/", body, Idempotency_Key="k") for client in clients]
    assert [answer.status_code for answer in answers] == [201, 201, 201]
    same_user = browser_of(sender).post("events/", body, Idempotency_Key="k")
    assert same_user.status_code == 200
    assert same_user.json() == answers[2].json()
    scopes = set(IdempotencyKey.objects.values_list("scope", flat=True))
    assert f"user:{sender.pk}" in scopes
    assert len([scope for scope in scopes if scope.startswith("token:")]) == 2


@pytest.mark.parametrize("key", ["", "x" * 201, "a\0b", "a\nb"])
def test_a_key_that_is_no_key_is_refused(senders: Api, key: str) -> None:
    answer = senders.post("events/", {"type": "post_like", "users": []}, Idempotency_Key=key)
    found = error_of(answer, 400)
    assert found["code"] == "invalid" and list(found["fields"]) == ["Idempotency-Key"]
    assert nothing_is_stored()


def test_a_key_has_up_to_200_characters(senders: Api) -> None:
    for key in ("x", "x" * 200, "käse"):
        body = {"type": "post_like", "users": []}
        assert senders.post("events/", body, Idempotency_Key=key).status_code == 201
        assert senders.post("events/", body, Idempotency_Key=key).status_code == 200


def test_a_body_for_one_name_costs_a_bounded_number_of_queries(
    senders: Api, alice: Any, django_assert_max_num_queries: Any
) -> None:
    senders.get("event-types/")
    body = {"type": "post_like", "users": ["alice"]}
    senders.post("events/", body)
    with django_assert_max_num_queries(16):
        senders.post("events/", body)
