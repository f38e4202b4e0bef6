"""Event types and the user's filter over HTTP."""

from collections.abc import Callable
from typing import Any

import pytest

from notifications import event_types
from notifications.models import EventType, Filter
from tests.notifications.conftest import Api, error_of, golden, same_shape

pytestmark = pytest.mark.django_db

PATH = "notifications/filter/"
ON = {"inbox": True, "live": True, "push": True}


@pytest.fixture
def alarm(settings: Any) -> str:
    settings.EVENT_TYPES = [
        *settings.EVENT_TYPES,
        {"name": "alarm", "title": "Alarm", "critical": True},
    ]
    event_types.sync()
    return "alarm"


def enabled(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [row["name"] for row in answer.json()["types_enabled"]]


def test_the_event_types_are_a_plain_list_by_name(alices: Api, alarm: str) -> None:
    found = alices.get("event-types/?limit=1&offset=2").json()
    same_shape(found, golden("rest_event_types"))
    assert [row["name"] for row in found] == [
        "alarm",
        "become_friends_request",
        "post_comment",
        "post_like",
    ]
    assert [row["critical"] for row in found] == [True, False, False, False]


def test_a_type_that_is_no_longer_declared_is_not_there(alices: Api, settings: Any) -> None:
    settings.EVENT_TYPES = settings.EVENT_TYPES[:1]
    event_types.sync()
    assert [row["name"] for row in alices.get("event-types/").json()] == ["post_like"]
    assert enabled(alices.get(PATH)) == ["post_like"]


def test_the_filter_has_every_type_with_its_channels(alices: Api) -> None:
    alices.patch(PATH, {"types": {"post_like": {"inbox": False}}})
    found = alices.get(PATH).json()
    example = golden("rest_filter")
    same_shape(found | {"types": {}}, example | {"types": {}})
    assert found["types"] == {
        "become_friends_request": ON,
        "post_comment": ON,
        "post_like": {"inbox": False, "live": True, "push": True},
    }
    assert [row["name"] for row in found["types_enabled"]] == [
        "become_friends_request",
        "post_comment",
    ]


def test_types_enabled_replaces_and_answers_the_whole(alices: Api) -> None:
    comment = EventType.objects.get(name="post_comment")
    wanted = ["become_friends_request", {"id": comment.pk}]
    answer = alices.patch(PATH, {"types_enabled": wanted})
    assert enabled(answer) == ["become_friends_request", "post_comment"]
    assert answer.json() == alices.get(PATH).json()
    assert enabled(alices.patch(PATH, {"types_enabled": []})) == []


def test_what_was_answered_can_be_given_back(alices: Api) -> None:
    answer = alices.patch(PATH, {"types_enabled": ["post_like"]})
    same = alices.patch(PATH, {"types_enabled": answer.json()["types_enabled"]})
    assert same.json() == answer.json()
    types = alices.get(PATH).json()["types"]
    assert alices.patch(PATH, {"types": types}).json() == answer.json()


def test_types_changes_the_named_channels_only(alices: Api) -> None:
    body = golden("rest_request_filter_types")
    found = alices.patch(PATH, body).json()["types"]
    assert found["post_comment"] == {"inbox": True, "live": True, "push": False}
    assert found["post_like"] == ON
    assert alices.patch(PATH, {"types": {}}).json()["types"] == found
    assert alices.patch(PATH, {"types": {"post_like": {}}}).json()["types"] == found


def test_each_has_their_own(alices: Api, bob: Any, app_of: Callable[[Any], Api]) -> None:
    alices.patch(PATH, {"types_enabled": []})
    assert len(enabled(app_of(bob).get(PATH))) == 3


def test_critical_types_stay_on_even_if_unnamed(alices: Api, alarm: str) -> None:
    assert enabled(alices.patch(PATH, {"types_enabled": []})) == ["alarm"]
    assert alices.patch(PATH, {"types": {"alarm": ON}}).json()["types"]["alarm"] == ON


@pytest.mark.parametrize("channel", ["inbox", "live", "push"])
def test_a_critical_type_cannot_be_switched_off(alices: Api, alarm: str, channel: str) -> None:
    body = {"types": {"post_like": {"push": False}, "alarm": {channel: False}}}
    found = error_of(alices.patch(PATH, body), 400)
    assert found["code"] == "critical_type"
    assert list(found["fields"]) == [f"types.alarm.{channel}"]
    assert not Filter.objects.exists()


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({}, "invalid", None),
        ([], "invalid", None),
        ("null", "invalid", None),
        ('"x"', "invalid", None),
        ({"types_enabled": [], "types": {}}, "invalid", None),
        ({"other": 1}, "invalid", "other"),
        ({"types_enabled": [], "other": 1}, "invalid", "other"),
        ({"types_enabled": None}, "invalid", "types_enabled"),
        ({"types_enabled": "post_like"}, "invalid", "types_enabled"),
        ({"types_enabled": {}}, "invalid", "types_enabled"),
        ({"types_enabled": [7]}, "invalid", "types_enabled.0"),
        ({"types_enabled": [None]}, "invalid", "types_enabled.0"),
        ({"types_enabled": [{}]}, "invalid", "types_enabled.0"),
        ({"types_enabled": [{"id": "1"}]}, "invalid", "types_enabled.0"),
        ({"types_enabled": [{"id": True}]}, "invalid", "types_enabled.0"),
        ({"types_enabled": [{"id": 1.0}]}, "invalid", "types_enabled.0"),
        ({"types_enabled": [{"name": "post_like"}]}, "invalid", "types_enabled.0"),
        ({"types_enabled": [["post_like"]]}, "invalid", "types_enabled.0"),
        ({"types_enabled": ["post_like", "post_like"]}, "invalid", "types_enabled.1"),
        ({"types_enabled": ["post_like", "x"]}, "unknown_event_type", "types_enabled.1"),
        ({"types_enabled": [{"id": 2**70}]}, "unknown_event_type", "types_enabled.0"),
        ({"types_enabled": [{"id": -1}]}, "unknown_event_type", "types_enabled.0"),
        ({"types": None}, "invalid", "types"),
        ({"types": []}, "invalid", "types"),
        ({"types": ["post_like"]}, "invalid", "types"),
        ({"types": {"post_like": True}}, "invalid", "types.post_like"),
        ({"types": {"post_like": []}}, "invalid", "types.post_like"),
        ({"types": {"post_like": {"push": 0}}}, "invalid", "types.post_like.push"),
        ({"types": {"post_like": {"push": "off"}}}, "invalid", "types.post_like.push"),
        ({"types": {"post_like": {"push": None}}}, "invalid", "types.post_like.push"),
        ({"types": {"post_like": {"fax": True}}}, "invalid", "types.post_like.fax"),
        ({"types": {"x": {"push": False}}}, "unknown_event_type", "types.x"),
    ],
)
def test_a_filter_that_means_nothing_changes_nothing(
    alices: Api, body: Any, code: str, field: str | None
) -> None:
    found = error_of(alices.patch(PATH, body), 400)
    assert found["code"] == code
    assert list(found.get("fields", {})) == ([field] if field else [])
    assert not Filter.objects.exists()


def test_it_costs_the_same_however_many_types_there_are(
    alices: Api, settings: Any, django_assert_num_queries: Any
) -> None:
    alices.get("event-types/")
    for number in (3, 60):
        settings.EVENT_TYPES = [{"name": f"t{n}", "title": "T"} for n in range(number)]
        event_types.sync()
        with django_assert_num_queries(2):
            alices.get("event-types/")
        with django_assert_num_queries(3):
            alices.get(PATH)
        with django_assert_num_queries(7):  # of these two are a savepoint
            alices.patch(PATH, {"types_enabled": []})
