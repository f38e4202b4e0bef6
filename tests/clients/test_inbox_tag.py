"""`{% notification_inbox %}` and `{% push_switch %}` put the components into a page."""

import json
import re
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.contrib.staticfiles import finders
from django.template import Context, Template, TemplateSyntaxError
from django.utils import translation

from notifications.templatetags import inbox_texts
from tests.clients.npm import CLIENT

pytestmark = pytest.mark.embedded


def shown(rf: Any, user: Any, arguments: str = "", **context: str) -> str:
    request = rf.get("/")
    request.user = user
    page = Template("{% load notification_hub %}{% notification_inbox " + arguments + " %}")
    return page.render(Context({"request": request, **context}))


def test_the_component_and_its_script(rf: Any, alice: Any) -> None:
    page = shown(rf, alice)
    assert f'<notification-inbox layout="popover" user="{alice.pk}"' in page
    assert 'api-url="/api/"' in page
    assert '<script type="module" src="/static/notifications/inbox.js"></script>' in page
    assert finders.find("notifications/inbox.js")


def test_nothing_for_whoever_is_not_signed_in(rf: Any) -> None:
    assert shown(rf, AnonymousUser()).strip() == ""


def test_arguments_become_attributes(rf: Any, alice: Any) -> None:
    page = shown(rf, alice, 'layout="inline" base_url="/hub/" theme="dark" script=False')
    assert 'layout="inline"' in page
    assert 'base-url="/hub/"' in page
    assert "api-url" not in page
    assert "<script" not in page


def test_a_nonce_for_pages_that_want_one(rf: Any, alice: Any) -> None:
    assert 'nonce="abc"' in shown(rf, alice, 'nonce="abc"')


def test_what_a_page_gives_is_escaped(rf: Any, alice: Any) -> None:
    page = shown(rf, alice, "theme=theme", theme='"><script>alert(1)</script>')
    assert "<script>alert" not in page


def test_a_layout_that_does_not_exist_is_an_error(rf: Any, alice: Any) -> None:
    with pytest.raises(TemplateSyntaxError, match="popover, inline"):
        shown(rf, alice, 'layout="sidebar"')


def test_the_csrf_token_is_found_wherever_django_keeps_it(
    rf: Any, alice: Any, settings: Any
) -> None:
    assert "csrf-" not in shown(rf, alice)
    settings.CSRF_COOKIE_NAME = "other"
    assert 'csrf-cookie="other"' in shown(rf, alice)
    settings.CSRF_COOKIE_HTTPONLY = True
    assert re.search(r'csrf-token="\w{64}"', shown(rf, alice))


def test_texts_are_translated_by_django(rf: Any, alice: Any) -> None:
    with translation.override("de"):
        page = shown(rf, alice)
    assert 'lang="de"' in page
    found = re.search(r'texts="([^"]*)"', page)
    assert found is not None, "Django's own catalogue knows a few of the words"
    assert json.loads(found[1].replace("&quot;", '"'))["delete"] == "Löschen"
    assert "texts=" not in shown(rf, alice)


def test_the_push_switch_and_its_script(rf: Any, alice: Any) -> None:
    page = switch(rf, alice, 'device_name="Till 3"')
    assert '<push-switch worker-url="/service-worker.js"' in page
    assert f'user="{alice.pk}" api-url="/api/"' in page
    assert 'device-name="Till 3"' in page
    assert '<script type="module" src="/static/notifications/push-switch.js"></script>' in page
    assert finders.find("notifications/push-switch.js")
    assert "<script" not in switch(rf, alice, "script=False")
    assert switch(rf, AnonymousUser()).strip() == ""


def test_each_component_is_given_its_own_texts(rf: Any, alice: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(inbox_texts, "gettext", str.upper)
    assert "PUSH_TURN_ON" not in shown(rf, alice).upper()
    assert "TURN ON NOTIFICATIONS ON THIS DEVICE" in switch(rf, alice)
    assert "ARCHIVED" not in switch(rf, alice)


def switch(rf: Any, user: Any, arguments: str = "") -> str:
    request = rf.get("/")
    request.user = user
    page = Template("{% load notification_hub %}{% push_switch " + arguments + " %}")
    return page.render(Context({"request": request}))


def test_texts_are_those_of_the_script() -> None:
    source = (CLIENT / "src" / "texts.js").read_text()
    body = source.split("export const TEXTS = {")[1].split("\n};")[0]
    assert dict(re.findall(r"^  (\w+): '(.*)',$", body, re.M)) == inbox_texts.TEXTS


def test_the_static_files_are_the_sources() -> None:
    for source in (CLIENT / "src").glob("*.js"):
        found = finders.find(f"notifications/{source.name}")
        assert found is not None
        with open(found) as copy:
            assert copy.read() == source.read_text(), "run `make static-js`"
