"""A user's filter: what they choose is what later events do, and critical types stay on."""

from typing import Any

import pytest

from notifications import EVERYONE, event_types, filters, inbox, send_notification
from notifications.errors import CriticalType, InvalidField, UnknownEventType
from notifications.models import EventType, Filter

pytestmark = pytest.mark.django_db(transaction=True)

ON = {"inbox": True, "live": True, "push": True}


@pytest.fixture
def alarm(settings: Any) -> EventType:
    """A critical event type."""
    settings.EVENT_TYPES = [
        *settings.EVENT_TYPES,
        {"name": "alarm", "title": "Alarm", "critical": True},
    ]
    event_types.sync()
    return EventType.objects.get(name="alarm")


def chosen(user: Any) -> dict[str, dict[str, bool]]:
    return {choice.type.name: dict(choice.channels) for choice in filters.read(user.pk)}


def titles(user: Any) -> list[str]:
    return [row["event"]["title"] for row in inbox.page(user.pk).results]


def test_everything_is_on_until_the_user_chooses(alice: Any) -> None:
    assert chosen(alice) == {
        "become_friends_request": ON,
        "post_comment": ON,
        "post_like": ON,
    }
    assert not Filter.objects.exists()


def test_it_is_read_by_two_queries(alice: Any, django_assert_num_queries: Any) -> None:
    filters.replace_types_enabled(alice.pk, types=[])
    with django_assert_num_queries(2):
        filters.read(alice.pk)


def test_a_type_decides_where_its_user_has_not(alice: Any, settings: Any) -> None:
    settings.EVENT_TYPES = [{"name": "digest", "title": "Digest", "push": False}]
    event_types.sync()
    assert chosen(alice) == {"digest": {"inbox": True, "live": True, "push": False}}
    filters.set_channels(alice.pk, types={"digest": {"push": True}})
    assert chosen(alice) == {"digest": ON}


def test_the_named_types_are_on_and_all_others_off(alice: Any, bob: Any) -> None:
    like = EventType.objects.get(name="post_like")
    filters.replace_types_enabled(alice.pk, types=["post_comment", like.pk])
    assert {name for name, channels in chosen(alice).items() if channels["inbox"]} == {
        "post_comment",
        "post_like",
    }
    filters.replace_types_enabled(alice.pk, types=[])
    assert not any(channels["inbox"] for channels in chosen(alice).values())
    assert all(channels == ON for channels in chosen(bob).values())


def test_replacing_leaves_live_and_push(alice: Any) -> None:
    filters.set_channels(alice.pk, types={"post_like": {"live": False, "push": False}})
    filters.replace_types_enabled(alice.pk, types=["post_comment"])
    filters.replace_types_enabled(alice.pk, types=["post_like"])
    assert chosen(alice)["post_like"] == {"inbox": True, "live": False, "push": False}


def test_only_the_named_channels_change(alice: Any) -> None:
    filters.set_channels(alice.pk, types={"post_like": {"push": False}, "post_comment": {}})
    filters.set_channels(alice.pk, types={"post_like": {"live": False}})
    assert chosen(alice) == {
        "become_friends_request": ON,
        "post_comment": ON,
        "post_like": {"inbox": True, "live": False, "push": False},
    }


def test_a_muted_type_reaches_neither_inbox_nor_list(alice: Any, bob: Any) -> None:
    filters.replace_types_enabled(alice.pk, types=["post_comment"])
    send_notification("post_like", users=[alice, bob], title="like")
    send_notification("post_like", users=EVERYONE, title="like of all")
    send_notification("post_comment", users=[alice, bob], title="comment")
    assert titles(alice) == ["comment"]
    assert titles(bob) == ["comment", "like of all", "like"]
    assert inbox.summary(alice.pk).version == 1


def test_what_is_in_the_inbox_stays(alice: Any) -> None:
    send_notification("post_like", users=alice, title="before")
    filters.replace_types_enabled(alice.pk, types=[])
    assert titles(alice) == ["before"]


def test_with_live_off_it_arrives_silently(alice: Any) -> None:
    filters.set_channels(alice.pk, types={"post_like": {"live": False}})
    send_notification("post_like", users=alice)
    [row] = inbox.page(alice.pk).results
    assert row["silent"] is True


def test_a_critical_type_stays_on_when_unnamed(alice: Any, alarm: EventType) -> None:
    filters.replace_types_enabled(alice.pk, types=[])
    assert chosen(alice)["alarm"] == ON
    send_notification("alarm", users=alice, title="fire")
    assert titles(alice) == ["fire"]


@pytest.mark.parametrize("channel", ["inbox", "live", "push"])
def test_a_critical_type_cannot_be_switched_off(alice: Any, alarm: EventType, channel: str) -> None:
    with pytest.raises(CriticalType):
        filters.set_channels(
            alice.pk, types={"post_like": {"inbox": False}, "alarm": {channel: False}}
        )
    assert all(channels == ON for channels in chosen(alice).values())
    filters.set_channels(alice.pk, types={"alarm": {channel: True}})


def test_a_type_that_becomes_critical_is_on_again(alice: Any, settings: Any) -> None:
    filters.replace_types_enabled(alice.pk, types=[])
    settings.EVENT_TYPES = [{"name": "post_like", "title": "Likes", "critical": True}]
    event_types.sync()
    assert chosen(alice) == {"post_like": ON}


@pytest.mark.parametrize("types", [["nothing"], [2**70], [0], ["post_like", "nothing"]])
def test_an_unknown_type_changes_nothing(alice: Any, types: list[Any]) -> None:
    with pytest.raises(UnknownEventType):
        filters.replace_types_enabled(alice.pk, types=types)
    assert not Filter.objects.exists()


def test_a_type_that_is_no_longer_declared_is_unknown(alice: Any, settings: Any) -> None:
    settings.EVENT_TYPES = [{"name": "post_like", "title": "Likes"}]
    event_types.sync()
    with pytest.raises(UnknownEventType):
        filters.set_channels(alice.pk, types={"post_comment": {"inbox": False}})
    assert list(chosen(alice)) == ["post_like"]


def test_naming_a_type_twice_is_refused_also_by_name_and_id(alice: Any) -> None:
    like = EventType.objects.get(name="post_like")
    for types in (["post_like", "post_like"], ["post_like", like.pk]):
        with pytest.raises(InvalidField):
            filters.replace_types_enabled(alice.pk, types=types)
    assert not Filter.objects.exists()


def test_a_channel_that_does_not_exist_is_refused(alice: Any) -> None:
    with pytest.raises(InvalidField):
        filters.set_channels(alice.pk, types={"post_like": {"inbox": False, "fax": True}})
    assert not Filter.objects.exists()
