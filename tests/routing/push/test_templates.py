"""What a push says where a template was sent; finding deliveries by what their event is about."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test.utils import CaptureQueriesContext

from notifications import EVERYONE, errors
from notifications.models import Event, Template
from routing.push.backends.dummy import DummyBackend
from routing.push.direct import recipient, send_message
from routing.push.models import Delivery, Device
from tests.routing.push.conftest import Hand

pytestmark = pytest.mark.django_db


def said() -> dict[str, tuple[str, str, str]]:
    """Title, body and url of each push, by token."""
    return {
        entry.token: (entry.said["title"], entry.said.get("body", ""), entry.said.get("url", ""))
        for entry in DummyBackend.journal
    }


@pytest.fixture
def comment(db: None) -> Template:
    Template.objects.create(
        slug="comment", language="de", title="{{ who }} schrieb", message="Lang: {{ text }}"
    )
    Template.objects.create(
        slug="comment",
        language="fr",
        title="{{ who }} a écrit",
        push_title="{{ who }} !",
        push_body="<{{ text }}>",
    )
    return Template.objects.create(
        slug="comment",
        title="{{ who }} wrote",
        message="Long: {{ text }}",
        url="/posts/1/",
        push_body="{{ text }}",
    )


SAID = {"who": "Bob & Eve", "text": "Nice"}


@pytest.mark.parametrize("everyone", [False, True])
def test_a_push_says_what_the_template_says_in_the_devices_language(
    phone_of: Any, send: Any, hand: Hand, make_user: Any, comment: Any, everyone: bool
) -> None:
    users = [make_user(name) for name in ("anna", "jean", "alice")]
    for user, locale in zip(users, ("de_AT", "fr-FR", ""), strict=True):
        phone_of(user, f"ok-{user.username}", locale=locale)
    send(EVERYONE if everyone else users, template="comment", context=SAID)
    hand.broadcasts()
    hand.work()
    assert said() == {
        "ok-anna": ("Bob & Eve schrieb", "Lang: Nice", "/posts/1/"),
        "ok-jean": ("Bob & Eve !", "<Nice>", "/posts/1/"),
        "ok-alice": ("Bob & Eve wrote", "Nice", "/posts/1/"),
    }


def test_the_device_that_registered_last_says_the_language(
    phone_of: Any, send: Any, hand: Hand, alice: Any, comment: Any
) -> None:
    phone_of(alice, "ok-old", locale="fr")
    phone_of(alice, "ok-new", locale="de")
    phone_of(alice, "ok-none")
    gone = phone_of(alice, "ok-gone", locale="fr")
    Device.objects.filter(pk=gone.pk).update(active=False)
    send(alice, template="comment", context=SAID)
    hand.work()
    assert {words[0] for words in said().values()} == {"Bob & Eve schrieb"}


def test_the_setting_counts_more_than_the_device(
    phone_of: Any, send: Any, hand: Hand, make_user: Any, hub: Callable[..., None], comment: Any
) -> None:
    hub(USER_LANGUAGE="last_name")
    anna = make_user("anna", last_name="de")
    phone_of(anna, "ok-1", locale="fr")
    send(anna, template="comment", context=SAID)
    hand.work()
    assert said()["ok-1"][0] == "Bob & Eve schrieb"


def test_what_the_sender_gives_as_push_counts_most(
    phone_of: Any, send: Any, hand: Hand, alice: Any, comment: Any
) -> None:
    phone_of(alice, "ok-1")
    send(alice, template="comment", context=SAID, push={"title": "Now", "body": "!"})
    hand.work()
    assert said()["ok-1"][:2] == ("Now", "!")


def test_a_template_that_is_gone_leaves_the_notifications_words(
    phone_of: Any, send: Any, hand: Hand, alice: Any, comment: Any
) -> None:
    phone_of(alice, "ok-1", locale="fr")
    send(alice, template="comment", context=SAID)
    Template.objects.all().delete()
    hand.work()
    assert said()["ok-1"][:2] == ("Bob & Eve a écrit", "Long: Nice")


def test_without_templates_the_worker_asks_for_none(
    phone_of: Any, send: Any, hand: Hand, alice: Any, comment: Any
) -> None:
    phone_of(alice, "ok-1")
    send(alice, title="Plain")
    with CaptureQueriesContext(connection) as queries:
        hand.work()
    assert said()["ok-1"][0] == "Plain"
    assert queries.captured_queries
    assert not [query for query in queries.captured_queries if "hub_template" in query["sql"]]


def test_deliveries_are_found_by_what_their_event_is_about(
    phone_of: Any, send: Any, hand: Hand, alice: Any, bob: Any, comment: Any
) -> None:
    group, other = Group.objects.create(name="a"), Group.objects.create(name="b")
    phone_of(alice, "ok-1")
    phone_of(bob, "invalid-1")
    rows = Delivery.objects
    event = send(alice, template="comment", context=SAID, tag="t", related_objects=[group, alice])
    assert not rows.was_sent("comment", group), "it waits"
    hand.work()
    mine = set(rows.filter(event=event))
    assert set(rows.tagged("t")) == set(rows.from_template("comment")) == mine
    assert set(rows.related_to(group)) == set(rows.related_to(Group.objects.all())) == mine
    assert set(rows.related_to([alice, other])) == mine
    assert not rows.related_to(other).exists() and not rows.tagged("u").exists()
    assert rows.was_sent("comment", group) and rows.was_sent("comment", group, alice)
    assert not rows.was_sent("comment", other)
    assert not rows.was_sent("other", group)


@pytest.mark.parametrize("how", ["worker", "immediately", "unrecorded"])
@pytest.mark.django_db(transaction=True)
def test_a_direct_push_of_a_template_tells_each_device_in_its_users_language(
    phone_of: Any, hand: Hand, make_user: Any, comment: Any, how: str
) -> None:
    users = [make_user(name) for name in ("anna", "jean", "alice")]
    for user, locale in zip(users, ("de", "fr", ""), strict=True):
        phone_of(user, f"ok-{user.username}", locale=locale)
    options = {"worker": {}, "immediately": {"send_immediately": True}}
    found = Device.objects.order_by("pk").send_message(
        template="comment", context=SAID, **options.get(how, {"persist": False})
    )
    hand.work()
    assert not found.failed
    assert said() == {
        "ok-anna": ("Bob & Eve schrieb", "Lang: Nice", "/posts/1/"),
        "ok-jean": ("Bob & Eve !", "<Nice>", "/posts/1/"),
        "ok-alice": ("Bob & Eve wrote", "Nice", "/posts/1/"),
    }
    assert Event.objects.from_template("comment").exists() is (how != "unrecorded")


def test_a_direct_push_to_a_topic_says_the_templates_own_words(
    phones: None, hand: Hand, comment: Any
) -> None:
    send_message(
        recipient("phones", kind="topic", recipient="news"), template="comment", context=SAID
    )
    hand.work()
    assert said()["news"] == ("Bob & Eve wrote", "Nice", "/posts/1/")


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"template": "none"}, errors.UnknownTemplate),
        ({"context": {}}, errors.InvalidField),
        ({"template": "comment", "context": {"who": "x" * 201}}, errors.TemplateFailed),
        ({"template": "comment", "context": {"who": object()}}, errors.InvalidField),
    ],
)
def test_a_mistake_in_a_direct_push_is_named_before_anything_is_sent(
    phone_of: Any, alice: Any, comment: Any, wrong: Any, error: Any
) -> None:
    with pytest.raises(error):
        phone_of(alice).send_message(**wrong)
    assert not Delivery.objects.exists() and not Event.objects.exists()


def test_a_direct_push_of_a_template_may_be_sent_once_only(
    phone_of: Any, hand: Hand, alice: Any, comment: Any
) -> None:
    Template.objects.filter(pk=comment.pk).update(allow_duplicates=False)
    phone = phone_of(alice)
    given = {"template": "comment", "context": SAID, "related_objects": [alice]}
    assert phone.send_message(**given).waiting
    with pytest.raises(errors.TemplateRefused):
        phone.send_message(**given)
    hand.work()
    assert len(said()) == Delivery.objects.count() == 1
    assert Delivery.objects.was_sent("comment", alice)
