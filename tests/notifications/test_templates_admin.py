"""Templates through the admin's pages: what is refused, what is locked, what the preview shows."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from notifications.models import Template

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/hub_notifications/template/"
FORM = {"slug": "comment", "language": "", "title": "{{ who }} wrote", "is_active": "on"}


@pytest.fixture
def browser_with(addresses: None, make_user: Callable[..., Any]) -> Callable[..., Client]:
    """A browser of somebody of the staff who may do these things with templates."""

    def make(*actions: str, **fields: Any) -> Client:
        user = make_user("editor", is_staff=True, **fields)
        names = [f"{action}_template" for action in actions]
        user.user_permissions.set(Permission.objects.filter(codename__in=names))
        client = Client()
        client.force_login(user)
        return client

    return make


@pytest.fixture
def editor(browser_with: Any) -> Client:
    client: Client = browser_with("view", "add", "change", "delete")
    return client


def text(answer: Any) -> str:
    return str(answer.content.decode())


def test_it_is_written_and_stored(editor: Client) -> None:
    answer = editor.post(f"{LIST}add/", {**FORM, "sample": '{"who": "Bob"}'})
    assert answer.status_code == 302, text(answer)
    row = Template.objects.get()
    assert (row.title, row.sample, row.allow_duplicates) == (
        "{{ who }} wrote",
        {"who": "Bob"},
        False,
    )
    answer = editor.post(f"{LIST}add/", {**FORM, "language": "de_AT", "title": "{{ who }}"})
    assert answer.status_code == 302, text(answer)
    assert Template.objects.get(title="{{ who }}").language == "de-at"
    assert "comment (de-at)" in text(editor.get(f"{LIST}{row.pk + 1}/change/"))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"title": "{% if %}"}, "Unexpected end of expression"),
        ({"message": "{% load i18n %}"}, "Invalid block tag on line 1: &#x27;load&#x27;"),
        ({"url": "{{ a|ljust:9 }}"}, "Invalid filter: &#x27;ljust&#x27;"),
        ({"push_title": "{% debug %}"}, "Invalid block tag"),
        ({"push_body": "x" * 10_001}, "10000"),
        ({"language": "?"}, "Must be a language"),
        ({"language": "de"}, "without a language first"),
        ({"sample": "[1]"}, "Must be a JSON object"),
        ({"sample": "{"}, "valid JSON"),
        ({"slug": ""}, "required"),
    ],
)
def test_a_wrong_one_is_not_stored(editor: Client, wrong: dict[str, str], said: str) -> None:
    answer = editor.post(f"{LIST}add/", {**FORM, **wrong})
    assert answer.status_code == 200
    assert said in text(answer)
    assert not Template.objects.exists()


def test_there_is_one_of_a_slug_and_language(editor: Client) -> None:
    Template.objects.create(slug="comment")
    assert "There is one of this slug" in text(editor.post(f"{LIST}add/", FORM))


def test_a_locked_one_is_neither_changed_nor_deleted(browser_with: Any) -> None:
    row = Template.objects.create(slug="comment", title="Locked", is_locked=True)
    editor = browser_with("view", "change", "delete")
    editor.post(f"{LIST}{row.pk}/change/", FORM)
    assert editor.post(f"{LIST}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": row.pk, "post": "yes"}
    editor.post(LIST, chosen)
    row.refresh_from_db()
    assert (row.title, row.is_locked) == ("Locked", True)


def test_a_superuser_lifts_the_lock(browser_with: Any) -> None:
    row = Template.objects.create(slug="comment", title="Locked", is_locked=True)
    root = browser_with(is_superuser=True)
    assert root.post(f"{LIST}{row.pk}/change/", {**FORM, "is_locked": ""}).status_code == 302
    row.refresh_from_db()
    assert (row.title, row.is_locked) == ("Locked", False)
    root.post(f"{LIST}{row.pk}/change/", {**FORM, "title": "New", "sample": "{}"})
    row.refresh_from_db()
    assert row.title == "New"


def test_the_preview_shows_every_language_with_the_sample(editor: Client) -> None:
    row = Template.objects.create(
        slug="comment",
        title="{{ who }} wrote",
        message="<b>{{ n|floatformat:1 }}</b>",
        push_body="{{ nothing.here }}!",
        sample={"who": "<i>Bob", "n": 1.5},
    )
    german = {"slug": "comment", "language": "de", "is_strict": True}
    Template.objects.create(**german, title="{{ who }} schrieb", message="{{ n|floatformat:1 }}")
    Template.objects.create(slug="comment", language="fr", title="{{ qui }}", is_strict=True)
    page = text(editor.get(f"{LIST}{row.pk}/change/"))
    assert f'href="{LIST}{row.pk}/preview/"' in page
    page = text(editor.get(f"{LIST}{row.pk}/preview/"))
    for words in (
        "&lt;i&gt;Bob wrote",
        "&lt;b&gt;1.5&lt;/b&gt;",
        "&lt;i&gt;Bob schrieb",
        "1,5",
        "there is no variable &#x27;qui&#x27; in the context",
    ):
        assert words in page, words
    assert "<i>Bob" not in page and "<script>" not in page
    page = text(editor.post(f"{LIST}{row.pk}/preview/", {"context": '{"who": "Eve", "n": 2}'}))
    assert "Eve wrote" in page and "Eve schrieb" in page
    for wrong in ("{", "[1]"):
        answer = editor.post(f"{LIST}{row.pk}/preview/", {"context": wrong})
        assert answer.status_code == 200


def test_the_preview_of_a_variant_is_what_its_users_would_see(editor: Client) -> None:
    """Also what it leaves empty, with the sample of the template itself."""
    Template.objects.create(slug="comment", url="/posts/{{ id }}/", sample={"id": 7, "who": "Bob"})
    row = Template.objects.create(slug="comment", language="de", title="{{ who }} schrieb")
    page = text(editor.get(f"{LIST}{row.pk}/preview/"))
    german = page.partition("<h2>de</h2>")[2]
    assert german.count("Bob schrieb") == 2, "the title, and that of a push"
    assert '<span class="quiet">/posts/7/</span>' in german


def test_the_preview_is_for_who_may_look(browser_with: Any) -> None:
    row = Template.objects.create(slug="comment", title="Secret")
    stranger = browser_with()
    assert stranger.get(f"{LIST}{row.pk}/preview/").status_code == 403
    assert Client().get(f"{LIST}{row.pk}/preview/").status_code == 302


def test_a_preview_of_nothing_is_not_found(editor: Client) -> None:
    assert editor.get(f"{LIST}99/preview/").status_code == 404
