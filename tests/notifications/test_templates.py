"""Templates: what they may say, what is stored for whom, and whose mistake is named when."""

import io
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from notifications import EVERYONE, errors, inbox, send_notification, send_template
from notifications.models import Audience, Event, Notification, Template
from notifications.templating import engine
from notifications.templating.models import AbstractTemplate
from notifications.worker import Worker, duties
from tests.conftest import STACK

pytestmark = pytest.mark.django_db(transaction=True)

SAID = {"who": "Bob", "post": {"id": 7, "title": "Engines & <b>more</b>"}, "count": 1234.5}


def languages_of_names(user_ids: Any, *, using: str) -> Mapping[Any, str]:
    """For `USER_LANGUAGE`: who is called anna_de reads German."""
    from django.contrib.auth import get_user_model

    rows = get_user_model().objects.using(using).filter(pk__in=user_ids)
    return {row.pk: row.username.partition("_")[2] for row in rows}


@pytest.fixture
def hub(settings: Any) -> Callable[..., None]:
    def change(**keys: Any) -> None:
        settings.HUB = {**settings.HUB, **keys}

    change(USER_LANGUAGE=f"{__name__}.languages_of_names")
    return change


@pytest.fixture
def comment(hub: Any) -> Template:
    """A template in three languages."""
    Template.objects.create(
        slug="comment",
        language="de",
        title="{{ who }} schrieb",
        message="{{ post.title }}: {{ count|floatformat:1 }}",
        is_active=True,
    )
    Template.objects.create(slug="comment", language="pt-br", title="{{ who }} comentou")
    return Template.objects.create(
        slug="comment",
        title="{{ who }} wrote",
        message="{{ post.title }}: {{ count|floatformat:1 }}",
        url="/posts/{{ post.id }}/",
    )


def shown(user: Any) -> tuple[str, str, str]:
    """The words of the user's newest notification."""
    event = inbox.page(user.pk).results[0]["event"]
    return event["title"], event["message"], event["url"]


def test_each_reads_their_own_language_and_nothing_is_escaped(comment: Any, make_user: Any) -> None:
    names = ["anna_de", "udo_de-AT", "rui_pt_BR", "jean_fr", "alice"]
    anna, udo, rui, jean, alice = users = [make_user(name) for name in names]
    event = send_notification("post_comment", users=users, template="comment", context=SAID)
    english = ("Bob wrote", "Engines & <b>more</b>: 1234.5", "/posts/7/")
    german = ("Bob schrieb", "Engines & <b>more</b>: 1234,5", "/posts/7/")
    assert shown(anna) == shown(udo) == german
    assert shown(rui) == ("Bob comentou", *english[1:])
    assert shown(jean) == shown(alice) == english
    assert (event.template, event.context) == ("comment", SAID)
    # only what differs is stored once more
    rows = Notification.objects.filter(event=event)
    assert rows.get(user=jean).title is None
    assert rows.get(user=anna).url is None
    assert rows.get(user=rui).message is None


def test_a_worker_renders_from_what_is_stored(comment: Any, make_user: Any) -> None:
    anna, jean = make_user("anna_de"), make_user("jean_fr")
    with transaction.atomic():
        event = send_notification(
            "post_comment", users=[anna, jean], template="comment", context=SAID
        )
        # the sender is killed between commit and fan-out
        transaction.get_connection().run_on_commit.clear()
    assert Audience.objects.filter(event=event).count() == 1
    Audience.objects.update(due=timezone.now())
    Worker(duties()).work_once()
    assert shown(anna)[0] == "Bob schrieb"
    assert shown(jean)[0] == "Bob wrote"


def test_a_large_audience_is_rendered_by_chunks(comment: Any, django_user_model: Any) -> None:
    names = [f"user{n}_{'de' if n % 2 else 'fr'}" for n in range(1_100)]
    django_user_model.objects.bulk_create(django_user_model(username=name) for name in names)
    event = send_notification(
        "post_comment", users=django_user_model.objects.all(), template="comment", context=SAID
    )
    Worker(duties()).work_once()
    rows = Notification.objects.filter(event=event)
    assert rows.filter(user__username__endswith="de", title="Bob schrieb").count() == 550
    assert rows.filter(user__username__endswith="fr", title=None).count() == 550


def test_a_broadcast_is_rendered_where_it_is_taken_in(comment: Any, make_user: Any) -> None:
    anna, jean = make_user("anna_de"), make_user("jean_fr")
    send_notification("post_comment", users=EVERYONE, template="comment", context=SAID)
    assert shown(anna)[0] == "Bob schrieb"
    assert shown(jean)[0] == "Bob wrote"


def test_every_way_of_reading_has_the_same_words(
    comment: Any, make_user: Any, app_of: Callable[..., Any]
) -> None:
    anna = make_user("anna_de")
    event = send_notification("post_comment", users=anna, template="comment", context=SAID)
    api = app_of(anna)
    [listed] = api.get("notifications/").json()["results"]
    assert listed["event"]["title"] == "Bob schrieb"
    assert api.get(f"notifications/{event.pk}/").json() == listed
    epoch = api.get("notifications/summary/").json()["epoch"]
    assert api.get(f"notifications/changes/?since=0&epoch={epoch}").json()["changes"] == [listed]


def test_what_the_template_leaves_empty_is_as_the_sender_gave_it(hub: Any, alice: Any) -> None:
    Template.objects.create(slug="short", title="{{ who }}")
    send_notification(
        "post_like", users=alice, template="short", context={"who": "Bob"}, title="x", url="/a/"
    )
    assert shown(alice) == ("Bob", "", "/a/")


def test_a_context_alone_means_the_types_own_template(hub: Any, alice: Any) -> None:
    Template.objects.create(slug="post_like", title="{{ who }} likes it")
    send_notification("post_like", users=alice, context={"who": "Bob"})
    assert shown(alice)[0] == "Bob likes it"


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"template": "none"}, "unknown_template"),
        ({"template": 7}, "invalid"),
        ({"template": "a\nb"}, "invalid"),
        ({"template": "variant"}, "unknown_template"),
        ({"template": "off"}, "template_refused"),
        ({"context": [1]}, "invalid"),
        ({"context": {"when": timezone.now()}}, "invalid"),
        ({"context": {"who": object()}}, "invalid"),
        ({"context": {1: "x"}}, "invalid"),
        ({"context": {"who": "nul\x00"}}, "invalid"),
        ({"context": {"who": "x" * 17_000}}, "invalid"),
        ({"context": {"who": "x" * 201}}, "template_failed"),
        ({"context": {"who": "Bob", "url": "javascript:alert(1)"}}, "template_failed"),
        ({"template": "strict", "context": {}}, "template_failed"),
        ({"template": "strict", "context": {"who": {}}}, "template_failed"),
        ({"template": "strict_if", "context": {}}, "template_failed"),
        ({"template": "strict_for", "context": {}}, "template_failed"),
        ({"template": "strict_german", "context": {"who": "Bob"}}, "template_failed"),
        ({"template": "broken"}, "template_failed"),
        ({"template": "argument"}, "template_failed"),
        ({"template": "no_address"}, "template_failed"),
    ],
)
def test_a_mistake_is_named_when_it_is_sent(hub: Any, alice: Any, given: Any, code: str) -> None:
    rows: list[dict[str, Any]] = [
        {"slug": "plain", "title": "{{ who }}", "url": "{{ url }}"},
        {"slug": "variant", "language": "de", "title": "x"},
        {"slug": "off", "title": "x", "is_active": False},
        {"slug": "strict", "title": "{{ who.name }}", "is_strict": True},
        {"slug": "strict_if", "title": "{% if who == 1 %}x{% endif %}", "is_strict": True},
        {"slug": "strict_for", "title": "{% for a in who %}x{% endfor %}", "is_strict": True},
        {"slug": "strict_german", "title": "{{ who }}", "is_strict": True},
        {"slug": "strict_german", "language": "de", "title": "{{ wer }}", "is_strict": True},
        {"slug": "broken", "title": "{% if %}"},
        {"slug": "argument", "title": "{{ who|default:nothing }}"},
        {"slug": "no_address", "url": "{% url 'no-such-view' %}"},
    ]
    for row in rows:
        Template.objects.create(**row)
    with pytest.raises(errors.HubError) as raised:
        send_notification("post_like", **{"users": alice, "template": "plain", **given})
    assert raised.value.code == code, raised.value
    assert not Event.objects.exists() and not Audience.objects.exists()


def test_without_strict_a_missing_variable_is_empty(hub: Any, alice: Any) -> None:
    Template.objects.create(slug="loose", title="Hello {{ who }}{{ a.b.c }}!")
    send_notification("post_like", users=alice, template="loose")
    assert shown(alice)[0] == "Hello !"


def test_strict_is_satisfied_by_what_is_there(hub: Any, alice: Any) -> None:
    source = (
        "{% if a and not b %}{% for c in list %}{{ forloop.counter }}{{ c.n }}"
        "{% if not forloop.last %},{% endif %}{% endfor %}{% endif %}"
        "{% with d=a %}{{ d|default_if_none:'-' }}{% endwith %}"
    )
    Template.objects.create(slug="strict", title=source, is_strict=True)
    context = {"a": 1, "b": None, "list": [{"n": "x"}, {"n": "y"}]}
    send_notification("post_like", users=alice, template="strict", context=context)
    assert shown(alice)[0] == "1x,2y1"


@pytest.mark.parametrize(
    "source",
    [
        "{% load i18n %}",
        "{% include 'admin/base.html' %}",
        "{% extends 'admin/base.html' %}",
        "{% block a %}{% endblock %}",
        "{% debug %}",
        "{% csrf_token %}",
        "{% lorem 100000000 %}",
        "{% autoescape on %}{% endautoescape %}",
        "{{ a|ljust:'1000000000' }}",
        "{{ a|stringformat:'1000000000d' }}",
        "{{ a|pprint }}",
        "{{ a|addslashes }}",
        "{{ a|linebreaks }}",
        "{{ a._secret }}",
        "{% if %}",
        "{{ a",
        "x" * 10_001,
    ],
)
def test_what_a_template_may_not_say(source: str) -> None:
    if source == "{{ a":
        engine.check(source)  # is plain text to Django
        return
    with pytest.raises(engine.RenderingError):
        engine.check(source)


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in many %}{% for b in many %}{% endfor %}{% endfor %}",
        "{% for a in many %}" * 3 + "x" + "{% endfor %}" * 3,
        "{{ many|join:long }}",
        "{{ 1|floatformat:100000000 }}",
        "{{ 1|floatformat:'-100000000g' }}",
    ],
)
def test_a_text_comes_to_an_end(source: str) -> None:
    context = {"many": list(range(100)), "long": "x" * 1_000}
    with pytest.raises(engine.RenderingError, match=r"at most|more than"):
        engine.render(source, context, language="", strict=False)


def test_filters_that_are_bounded_are_as_djangos_own() -> None:
    numbers = "{{ n|add:1 }} {{ f|floatformat }} {{ f|floatformat:'2g' }}"
    source = numbers + " {{ l|join:', ' }} {{ t|add:t }}"
    context = {"n": 41, "t": "a", "l": ["a", 1], "f": 1234.56}
    said = engine.render(source, context, language="", strict=True)
    assert said == "42 1234.6 1,234.56 a, 1 "


def test_a_call_in_one_language_changes_nothing_in_the_next(hub: Any, make_user: Any) -> None:
    anna = make_user("anna_de")
    Template.objects.create(slug="pop", title="{{ list.pop }}{{ list.pop }}")
    Template.objects.create(slug="pop", language="de", title="{{ list.pop }} {{ list.pop }}")
    send_notification("post_like", users=anna, template="pop", context={"list": [1, 2]})
    assert shown(anna)[0] == "2 1"
    assert Event.objects.get().context == {"list": [1, 2]}


def test_times_are_text_that_moment_reads(hub: Any, make_user: Any, settings: Any) -> None:
    settings.TIME_ZONE = "UTC"
    anna, alice = make_user("anna_de"), make_user("alice")
    source = "{{ when|moment|date:'j F Y, H:i' }}"
    Template.objects.create(slug="when", title=source)
    Template.objects.create(slug="when", language="de", title=source)
    context = {"when": "2026-03-01T12:30:00+01:00"}
    send_notification("post_like", users=[anna, alice], template="when", context=context)
    assert shown(alice)[0] == "1 March 2026, 11:30"
    assert shown(anna)[0] == "1 März 2026, 11:30"


def test_the_callers_language_is_not_the_readers(hub: Any, make_user: Any) -> None:
    from django.utils import translation

    alice = make_user("alice")
    Template.objects.create(slug="number", title="{{ n|floatformat:1 }}")
    with translation.override("de"):
        send_notification("post_like", users=alice, template="number", context={"n": 1.5})
    assert shown(alice)[0] == "1.5"


def test_a_variant_that_is_broken_later_leaves_the_events_words(
    comment: Any, make_user: Any
) -> None:
    anna, rui = make_user("anna_de"), make_user("rui_pt-br")
    with transaction.atomic():
        send_notification("post_comment", users=[anna, rui], template="comment", context=SAID)
        Template.objects.filter(language="de").update(title="{% if %}")
        transaction.get_connection().run_on_commit.clear()
    Audience.objects.update(due=timezone.now())
    Worker(duties()).work_once()
    assert shown(anna)[0] == "Bob wrote"
    assert shown(rui)[0] == "Bob comentou"
    assert not Audience.objects.exists()


def test_a_template_that_is_deleted_later_leaves_the_events_words(
    comment: Any, make_user: Any
) -> None:
    anna = make_user("anna_de")
    send_notification("post_comment", users=EVERYONE, template="comment", context=SAID)
    Template.objects.all().delete()
    assert shown(anna)[0] == "Bob wrote"


def no_language(user_ids: Any, *, using: str) -> Any:
    raise RuntimeError("a team's own mistake")


def test_a_fault_in_the_teams_own_function_stops_no_inbox(
    comment: Any, hub: Any, make_user: Any
) -> None:
    hub(USER_LANGUAGE=f"{__name__}.no_language")
    anna = make_user("anna_de")
    send_notification("post_comment", users=anna, template="comment", context=SAID)
    assert shown(anna)[0] == "Bob wrote"
    assert not Audience.objects.exists()


def test_the_language_may_stand_in_a_field(comment: Any, hub: Any, make_user: Any) -> None:
    hub(USER_LANGUAGE="last_name")
    anna = make_user("anna", last_name="de_DE")
    send_notification("post_comment", users=anna, template="comment", context=SAID)
    assert shown(anna)[0] == "Bob schrieb"


@pytest.mark.parametrize(
    ("keys", "word"),
    [
        ({"USER_LANGUAGE": "no_such_field"}, "no_such_field"),
        ({"USER_LANGUAGE": "no.such.function"}, "No module"),
        ({"USER_LANGUAGE": f"{__name__}.STACK"}, "not a function"),
        ({"TEMPLATE_MODEL": "no.Model"}, "no.Model"),
        ({"TEMPLATE_MODEL": "auth.User"}, "AbstractTemplate"),
        ({"TEMPLATE_MODEL": 7}, "TEMPLATE_MODEL"),
    ],
)
def test_a_wrong_setting_stops_the_start(hub: Any, keys: Any, word: str) -> None:
    from notifications.checks import check_settings

    hub(**keys)
    assert any(word in message.msg for message in check_settings())


def test_an_idempotent_repeat_says_the_same_though_the_template_was_edited(
    comment: Any, alice: Any
) -> None:
    given = {"users": alice, "template": "comment", "idempotency_key": "k"}
    first = send_notification("post_comment", **given, context=SAID)
    Template.objects.filter(language="").update(title="Edited")
    again = send_notification("post_comment", **given, context=SAID)
    assert again.repeated and again.pk == first.pk
    with pytest.raises(errors.IdempotencyConflict):
        send_notification("post_comment", **given, context={**SAID, "who": "Eve"})


class TestSendTemplate:
    def test_it_needs_no_type(self, comment: Any, alice: Any) -> None:
        Template.objects.filter(pk=comment.pk).update(event_type="post_comment")
        event = send_template(alice, "comment", SAID, tag="post-7", related_objects=[alice])
        assert event is not None
        assert (event.type.name, event.tag) == ("post_comment", "post-7")
        assert event.related_objects.count() == 1
        assert shown(alice)[0] == "Bob wrote"

    def test_the_slug_may_be_the_types_name(self, hub: Any, alice: Any) -> None:
        template = Template.objects.create(slug="post_like", title="Hello")
        event = template.send(alice)
        assert event is not None and event.type.name == "post_like"

    def test_nothing_is_sent_of_an_inactive_one(self, hub: Any, alice: Any) -> None:
        Template.objects.create(slug="post_like", title="Hello", is_active=False)
        assert send_template(alice, "post_like") is None
        assert not Event.objects.exists()

    def test_an_unknown_one_is_an_error(self, hub: Any, alice: Any) -> None:
        with pytest.raises(errors.UnknownTemplate):
            send_template(alice, "none")
        Template.objects.create(slug="orphan", title="Hello")
        with pytest.raises(errors.UnknownEventType):
            send_template(alice, "orphan")

    def test_an_inactive_variant_is_not_used(self, comment: Any, make_user: Any) -> None:
        Template.objects.filter(language="de").update(is_active=False)
        anna = make_user("anna_de")
        send_template(anna, "comment", SAID, type="post_comment")
        assert shown(anna)[0] == "Bob wrote"


class TestOnceOnly:
    @pytest.fixture
    def overdue(self, hub: Any) -> Template:
        return Template.objects.create(
            slug="overdue", title="Pay", event_type="post_like", allow_duplicates=False
        )

    def test_a_second_one_for_the_same_objects_is_not_sent(
        self, overdue: Any, alice: Any, bob: Any
    ) -> None:
        assert send_template(alice, "overdue", related_objects=[alice, bob])
        assert send_template(alice, "overdue", related_objects=[bob, alice]) is None
        assert send_template(alice, "overdue", related_objects=[bob])
        assert send_template(alice, "overdue")
        assert send_template(alice, "overdue"), "there is nothing it could be the same for"
        with pytest.raises(errors.TemplateRefused):
            send_notification(
                "post_like", users=alice, template="overdue", related_objects=[alice, bob]
            )
        assert Event.objects.count() == 4
        assert Event.objects.was_sent("overdue", alice, bob)
        assert not Event.objects.was_sent("overdue", overdue)

    def test_a_repeat_under_the_same_key_is_the_first_one(self, overdue: Any, alice: Any) -> None:
        given = {"related_objects": [alice], "idempotency_key": "k"}
        first = send_template(alice, "overdue", **given)
        again = send_template(alice, "overdue", **given)
        assert first and again and again.pk == first.pk and again.repeated

    def test_it_holds_when_retention_has_removed_the_key(self, overdue: Any, alice: Any) -> None:
        from notifications.models import IdempotencyKey

        assert send_template(alice, "overdue", related_objects=[alice])
        IdempotencyKey.objects.all().delete()
        assert send_template(alice, "overdue", related_objects=[alice]) is None

    def test_of_many_at_once_one_is_sent(self, overdue: Any, alice: Any) -> None:
        import threading

        from django.db import connections

        start, found = threading.Barrier(6), []

        def send() -> None:
            try:
                start.wait(10)
                found.append(send_template(alice, "overdue", related_objects=[alice]))
            finally:
                connections.close_all()

        threads = [threading.Thread(target=send) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert len(found) == 6
        assert len([event for event in found if event is not None]) == 1
        assert Event.objects.count() == 1
        assert inbox.summary(alice.pk).total == 1


def statements(work: Callable[[], Any]) -> int:
    with CaptureQueriesContext(connection) as queries:
        work()
    return len(queries)


def test_what_a_template_costs(comment: Any, alice: Any, hub: Any) -> None:
    """One query for it, and one for the languages where it has several."""
    Template.objects.create(slug="plain", title="Hello")
    send_notification("post_like", users=alice)
    bare = statements(lambda: send_notification("post_like", users=alice))
    plain = statements(lambda: send_notification("post_like", users=alice, template="plain"))
    assert plain == bare + 1
    hub(USER_LANGUAGE="last_name")
    several = statements(
        lambda: send_notification("post_like", users=alice, template="comment", context=SAID)
    )
    # the setting's query and the devices', in a transaction of their own
    assert several <= bare + 5
    if STACK == "production":
        assert bare == 2


def run(*arguments: str) -> str:
    output = io.StringIO()
    call_command("send_notification", *arguments, stdout=output)
    return output.getvalue()


def test_the_command_sends_a_template(comment: Any, make_user: Any) -> None:
    anna = make_user("anna_de")
    to = ["post_comment", "--user=anna_de", "--template=comment"]
    printed = run(*to, f"--context={json.dumps(SAID)}")
    assert shown(anna)[0] == "Bob schrieb"
    assert printed == f"{Event.objects.get().pk}\n"
    for wrong, word in [
        (["post_like", "--user=anna_de", "--template=none"], "unknown_template"),
        ([*to, "--context={"], "--context is not JSON"),
        ([*to, "--context=[1]"], "context must be an object"),
    ]:
        with pytest.raises(CommandError, match=word):
            run(*wrong)


def test_a_team_may_change_every_step(hub: Any, alice: Any, monkeypatch: Any) -> None:
    """What a child of the abstract model overrides is asked."""
    assert AbstractTemplate._meta.abstract
    monkeypatch.setattr(
        Template,
        "get_source",
        lambda self, field: getattr(self, field).replace("$who", "{{ who }}"),
    )
    monkeypatch.setattr(
        Template, "can_send", lambda self, users, context, related: context["who"] != "Eve"
    )
    Template.objects.create(slug="post_like", title="$who")
    assert send_template(alice, "post_like", {"who": "Bob"})
    assert shown(alice)[0] == "Bob"
    assert send_template(alice, "post_like", {"who": "Eve"}) is None
