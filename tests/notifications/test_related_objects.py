"""Links from events to any object: made, replaced, searched by object, queryset and list."""

from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.contrib.sessions.models import Session
from django.utils import timezone

from notifications import errors, send_notification
from notifications.models import Event, EventType, RelatedObject, Template

pytestmark = pytest.mark.django_db(transaction=True)


def send(*linked: Any, **more: Any) -> Event:
    return send_notification("post_like", users=[], related_objects=linked, **more)


def found(target: Any) -> set[int]:
    return set(Event.objects.related_to(target).values_list("pk", flat=True))


@pytest.fixture
def groups(db: None) -> list[Group]:
    return [Group.objects.create(name=f"group {number}") for number in range(4)]


def test_events_are_found_by_object_by_queryset_and_by_list(groups: Any, alice: Any) -> None:
    first, second = send(groups[0]), send(groups[1], alice)
    other = send(alice)
    send()
    assert found(groups[0]) == {first.pk}
    assert found(alice) == {second.pk, other.pk}
    assert found(Group.objects.filter(name__startswith="group")) == {first.pk, second.pk}
    assert found(Group.objects.order_by("pk")[:1]) == {first.pk}
    assert found(Group.objects.none()) == set()
    assert found([groups[0], alice]) == {first.pk, second.pk, other.pk}
    assert found([]) == set()
    assert found(groups[3]) == set()


def test_a_queryset_becomes_part_of_the_query(groups: Any, django_assert_num_queries: Any) -> None:
    send(*groups)
    found(groups[0])  # content types are remembered
    with django_assert_num_queries(1):
        assert len(found(Group.objects.all())) == 1


def test_the_same_key_of_another_model_is_another_object(groups: Any, alice: Any) -> None:
    same = Group.objects.create(pk=alice.pk + 1000, name="same")
    alice = type(alice).objects.create(pk=same.pk, username="same")
    event = send(same)
    assert found(same) == {event.pk}
    assert found(alice) == set()


def test_keys_may_be_text(db: None) -> None:
    session = Session.objects.create(session_key="k" * 32, expire_date=timezone.now())
    event = send(session)
    assert found(session) == found(Session.objects.all()) == {event.pk}


def test_links_are_added_and_replaced(groups: Any, alice: Any) -> None:
    event = send(groups[0])
    kept = RelatedObject.objects.get()
    assert kept.created_at <= timezone.now()
    event.link(groups[0], groups[1], alice)
    assert set(event.linked(Group)) == {groups[0], groups[1]}
    assert list(event.linked(type(alice))) == [alice]
    event.replace_links(groups[0], groups[2], model=Group)
    assert set(event.linked(Group)) == {groups[0], groups[2]}
    assert list(event.linked(type(alice))) == [alice]
    assert RelatedObject.objects.filter(pk=kept.pk).exists(), "what stays is not made anew"
    event.replace_links(groups[3])
    assert set(event.linked(Group)) == {groups[3]}
    assert not event.linked(type(alice)).exists()
    event.replace_links()
    assert not RelatedObject.objects.exists()


@pytest.mark.parametrize("wrong", [Group(name="unsaved"), "text", None, 7])
def test_what_has_no_key_is_refused(groups: Any, wrong: Any) -> None:
    event = send()
    for call in (lambda: event.link(wrong), lambda: event.replace_links(wrong)):
        with pytest.raises(errors.InvalidField):
            call()
    with pytest.raises(errors.InvalidField):
        found([wrong])


def test_replacing_one_models_links_takes_that_models_objects(groups: Any, alice: Any) -> None:
    event = send(alice)
    with pytest.raises(errors.InvalidField, match="Group"):
        event.replace_links(alice, model=Group)
    assert list(event.linked(type(alice))) == [alice]


def test_was_sent_asks_for_the_template_and_all_objects(groups: Any) -> None:
    Template.objects.create(slug="overdue", title="Pay")
    send(groups[0], groups[1], template="overdue")
    send(groups[2])
    rows = Event.objects.all()
    assert rows.was_sent("overdue")
    assert rows.was_sent("overdue", groups[0])
    assert rows.was_sent("overdue", groups[0], groups[1])
    assert not rows.was_sent("overdue", groups[0], groups[2])
    assert not rows.was_sent("overdue", groups[2])
    assert not rows.was_sent("other", groups[0])
    assert rows.was_sent("overdue", Group.objects.all())


def test_tags_and_templates_are_conditions_like_others(alice: Any) -> None:
    Template.objects.create(slug="hello", title="Hello")
    first = send(alice, tag="a", template="hello")
    send(alice, tag="b")
    kind = EventType.objects.get(name="post_like")
    assert list(Event.objects.tagged("a").related_to(alice)) == [first]
    assert list(Event.objects.from_template("hello").filter(type=kind)) == [first]
