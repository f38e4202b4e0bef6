"""Service keys: made with what they may, found while they live, revoked; at every door."""

import io
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from notifications import service_keys, tokens
from notifications.errors import InvalidField
from notifications.models import ServiceKey

pytestmark = pytest.mark.django_db

ADMIN = "/admin/hub_notifications/servicekey/"


def made(**options: Any) -> tuple[ServiceKey, str]:
    wanted = {"scopes": ["events:send"], "event_types": ["post_like"], "expires_at": None}
    return service_keys.make("shop", **{**wanted, **options})


def test_its_text_is_random_and_only_its_hash_is_stored() -> None:
    texts = {made()[1] for _ in range(20)}
    assert len(texts) == 20
    for text in texts:
        assert re.fullmatch(r"hubkey_[A-Za-z0-9_-]{43}", text)
    stored = str(list(ServiceKey.objects.values()))
    for text in texts:
        assert text.removeprefix("hubkey_") not in stored
        assert text not in repr(ServiceKey.objects.first())


def test_a_key_is_found_by_its_text_alone(alice: Any) -> None:
    key, text = made()
    assert service_keys.find(text) == key
    assert tokens.find(text) is None, "it is no user's token"
    for other in ("", "hubkey_", "hubkey_" + "x" * 43, tokens.make(alice), text + "x", "é\0"):
        assert service_keys.find(other) is None


def test_it_ends_at_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    at = timezone.now()
    _, text = made(expires_at=at + timedelta(hours=1))
    monkeypatch.setattr(timezone, "now", lambda: at + timedelta(minutes=59))
    assert service_keys.find(text) is not None
    monkeypatch.setattr(timezone, "now", lambda: at + timedelta(hours=1))
    assert service_keys.find(text) is None
    assert not ServiceKey.objects.get().is_live


def test_a_revoked_one_is_over_and_its_row_stays() -> None:
    key, text = made()
    _, other = made()
    assert service_keys.revoke(key.pk)
    assert service_keys.find(text) is None
    assert service_keys.find(other) is not None
    assert not service_keys.revoke(key.pk), "once"
    assert ServiceKey.objects.get(pk=key.pk).revoked_at is not None
    assert not service_keys.revoke(2**70)


def test_its_use_is_noted_at_most_once_a_minute(
    monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    at = timezone.now()
    _, text = made()
    for seconds, queries in ((0, 2), (59, 1), (60, 2)):
        monkeypatch.setattr(timezone, "now", lambda now=at + timedelta(seconds=seconds): now)
        with django_assert_num_queries(queries):
            service_keys.find(text)
    assert ServiceKey.objects.get().last_used_at == at + timedelta(seconds=60)


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("scopes", {"scopes": []}),
        ("scopes", {"scopes": ["everything"]}),
        ("scopes", {"scopes": ["events:everyone"], "event_types": []}),
        ("event_types", {"event_types": []}),
        ("event_types", {"event_types": ["no_such_type"]}),
        ("event_types", {"scopes": ["read"], "event_types": ["post_like"]}),
        ("event_types", {"scopes": ["read"], "event_types": None}),
        ("expires_at", {"expires_at": timezone.now() - timedelta(seconds=1)}),
    ],
)
def test_a_key_that_says_too_little_or_too_much_is_not_made(
    field: str, options: dict[str, Any]
) -> None:
    with pytest.raises(InvalidField) as error:
        made(**options)
    assert set(error.value.fields) == {field}
    assert not ServiceKey.objects.exists()


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "two\nlines"])
def test_a_key_has_a_name_for_people(name: str) -> None:
    with pytest.raises(InvalidField):
        service_keys.make(name, scopes=["read"], expires_at=None)


class TestCommand:
    def run(self, *arguments: str) -> str:
        output = io.StringIO()
        call_command("service_keys", *arguments, stdout=output)
        return output.getvalue()

    def test_make_prints_the_key_alone(self) -> None:
        arguments = ("make", "shop", "--scope", "events:send", "--type", "post_like")
        text = self.run(*arguments)
        key = service_keys.find(text.strip())
        assert key is not None and text.count("\n") == 1
        assert (key.scopes, key.event_types) == (["events:send"], ["post_like"])
        assert key.expires_at is not None
        left = key.expires_at - timezone.now()
        assert timedelta(days=364) < left <= timedelta(days=365)

    def test_what_it_may_and_when_it_ends_can_be_said(self) -> None:
        scopes = ("--scope", "events:send", "--scope", "read", "--every-type", "--no-expiry")
        key = service_keys.find(self.run("make", "shop", *scopes).strip())
        assert key is not None and key.event_types is None and key.expires_at is None
        assert service_keys.may_send(key, "a type to come")
        days = ("make", "shop", "--scope", "read", "--days", "7")
        key = service_keys.find(self.run(*days).strip())
        assert key is not None and key.expires_at is not None
        assert key.expires_at - timezone.now() <= timedelta(days=7)

    def test_list_says_everything_but_the_key(self) -> None:
        key, text = made()
        service_keys.revoke(made()[0].pk)
        made(expires_at=timezone.now() + timedelta(days=1))
        listed = self.run("list")
        assert [line.split("\t")[4].split()[0] for line in listed.splitlines()] == [
            "expires",
            "revoked",
            "never",
        ]
        assert f"{key.pk}\tshop\tevents:send\tpost_like\t" in listed
        assert "last used never" in listed
        assert text not in listed and key.digest not in listed

    def test_revoke(self) -> None:
        key, text = made()
        assert self.run("revoke", str(key.pk)) == "1 key revoked\n"
        assert service_keys.find(text) is None
        with pytest.raises(CommandError, match="no live key"):
            self.run("revoke", str(key.pk))

    @pytest.mark.parametrize(
        "arguments",
        [
            (),
            ("make",),
            ("make", "shop"),
            ("make", "shop", "--scope", "all"),
            ("make", "shop", "--scope", "events:send"),
            ("make", "shop", "--scope", "events:send", "--type", "no_such_type"),
            ("make", "shop", "--scope", "read", "--days", "0"),
            ("make", "shop", "--scope", "read", "--days", "99999999999"),
            ("make", "shop", "--scope", "read", "--days", "1", "--no-expiry"),
            ("revoke", "x"),
        ],
    )
    def test_what_it_cannot_do_it_says(self, arguments: tuple[str, ...]) -> None:
        with pytest.raises(CommandError):
            self.run(*arguments)
        assert not ServiceKey.objects.exists()


class TestAdmin:
    FORM = {"name": "shop", "scopes": ["events:send"], "types": ["post_like"], "days": "30"}

    @pytest.fixture
    def browser(self, addresses: None, make_user: Callable[..., Any]) -> Client:
        client = Client()
        client.force_login(make_user("root", is_staff=True, is_superuser=True))
        return client

    def test_a_key_is_shown_once(self, browser: Client) -> None:
        answer = browser.post(ADMIN + "add/", self.FORM)
        [text] = re.findall(r"hubkey_[\w-]+", answer.content.decode())
        key = service_keys.find(text)
        assert key is not None and key.event_types == ["post_like"]
        assert "no-store" in answer["Cache-Control"]
        assert key.digest not in answer.content.decode()
        # neither a cookie nor the session, the log of the admin or another page has it
        kept = f"{browser.cookies} {dict(browser.session)} {list(LogEntry.objects.values())}"
        for path in (ADMIN, f"{ADMIN}{key.pk}/change/", "/admin/"):
            kept += browser.get(path).content.decode()
        assert text not in kept and key.digest not in kept

    @pytest.mark.parametrize(
        "wrong",
        [
            {"name": ""},
            {"scopes": []},
            {"scopes": ["root"]},
            {"types": []},
            {"types": ["no_such_type"]},
            {"scopes": ["read"]},
            {"days": "0"},
            {"days": "99999999999"},
        ],
    )
    def test_a_wrong_form_is_shown_again(self, browser: Client, wrong: dict[str, Any]) -> None:
        answer = browser.post(ADMIN + "add/", {**self.FORM, **wrong})
        assert answer.status_code == 200
        assert b"errorlist" in answer.content and b"hubkey_" not in answer.content
        assert not ServiceKey.objects.exists()

    def test_it_can_be_revoked_and_not_changed(self, browser: Client) -> None:
        key, text = made()
        assert browser.post(f"{ADMIN}{key.pk}/change/", self.FORM).status_code == 403
        browser.post(ADMIN, {"action": "revoke", "_selected_action": [key.pk]})
        assert service_keys.find(text) is None
        assert ServiceKey.objects.get().revoked_at is not None

    def test_staff_without_the_permission_make_none(
        self, addresses: None, make_user: Callable[..., Any]
    ) -> None:
        client = Client()
        client.force_login(make_user("clerk", is_staff=True))
        assert client.post(ADMIN + "add/", self.FORM).status_code == 403
        assert not ServiceKey.objects.exists()
