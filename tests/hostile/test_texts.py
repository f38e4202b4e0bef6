"""Hostile texts in every field: each is refused in words, or comes back as it went in."""

import json
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest
from django.contrib.admin import site
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone

from notifications import send_notification, tokens
from notifications.models import Audience, EventType, Token
from notifications.testing import settle
from tests.hostile import texts
from tests.processes import ServerProcess
from tests.security.doors import next_frame, socket_to

LATIN = "latin-1"  # what HTTP headers are written in


@pytest.fixture
def app(server: ServerProcess, token: str) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=server.url, headers=headers, timeout=30, trust_env=False) as client:
        yield client


def events_with(text: str) -> Iterator[dict[str, Any]]:
    """One event for each field that may hold it."""
    for key in ("title", "message", "tag", "url"):
        yield {key: text}
    yield {"data": text}
    yield {"data": {text: [text, {text: text}]}}


@pytest.mark.parametrize("kind", ["MARKUP", "CODE", "LETTERS", "URLS"])
def test_what_is_sent_is_read_unchanged_or_refused(
    app: httpx.Client, server: ServerProcess, token: str, kind: str
) -> None:
    stored: dict[int, dict[str, Any]] = {}
    with socket_to(server, token=token) as socket:
        assert next_frame(socket)["action"] == "hello"
        for text in getattr(texts, kind):
            for words in events_with(text):
                body = {"type": "post_like", "users": ["alice"], **words}
                answer = app.post("/api/events/", json=body)
                assert answer.status_code in (201, 400), (words, answer.text)
                if answer.status_code == 201:
                    stored[answer.json()["id"]] = words
        heard: dict[int, Any] = {}
        while len(heard) < len(stored):
            frame = next_frame(socket)
            rows = [frame["notification"]] if frame["action"] == "new" else frame["changes"]
            heard |= {row["id"]: row["event"] for row in rows}
    listed: dict[int, Any] = {}
    path: str | None = "/api/notifications/?limit=200"
    while path:
        page = app.get(path).json()
        listed |= {row["id"]: row["event"] for row in page["results"]}
        path = page["next"]
    assert set(heard) == set(listed) == set(stored)
    for number, words in stored.items():
        for found in (heard[number], listed[number]):
            for key, value in words.items():
                assert found[key] == value, words


def test_urls_that_lead_elsewhere_are_refused(app: httpx.Client) -> None:
    for url in texts.URLS:
        answer = app.post("/api/events/", json={"type": "post_like", "users": [], "url": url})
        if answer.status_code == 201:
            assert url.startswith(("http://", "https://", "/")), url
            assert not url.startswith(("//", "/\\")), url


@pytest.mark.parametrize("kind", ["MARKUP", "CODE", "LETTERS"])
def test_every_other_field_of_the_api(app: httpx.Client, password: str, kind: str) -> None:
    """Names, keys, types, cursors, filters: whatever takes a text takes these without a fault."""
    for text in getattr(texts, kind):
        good = {"type": "post_like", "users": []}
        asked: list[httpx.Response] = [
            app.post("/api/events/", json={**good, "type": text}),
            app.post("/api/events/", json={**good, "users": [text]}),
            app.post("/api/events/", json={**good, "users": text}),
            app.post("/api/events/", json={**good, "priority": text}),
            app.post("/api/events/", json={**good, "expires_at": text}),
            app.post("/api/events/", json={**good, text: text}),
            app.post("/api/notifications/mark/", json={"state": text, "ids": []}),
            app.post("/api/notifications/mark/", json={"state": "read", "up_to": 1, "type": text}),
            app.patch("/api/notifications/filter/", json={"types_enabled": [text]}),
            app.patch("/api/notifications/filter/", json={"types": {text: {"inbox": True}}}),
            app.patch("/api/notifications/filter/", json={"types": {"post_like": {text: True}}}),
            app.patch("/api/notifications/1/", json={text: text}),
        ]
        for name in ("type", "state", "read", "before", "limit", "offset", text or "x"):
            asked.append(app.get("/api/notifications/", params={name: text}))
        for name in ("since", "epoch"):
            asked.append(app.get("/api/notifications/changes/", params={name: text, "since": text}))
        for answer in asked:
            assert answer.status_code in (200, 201, 400, 404), (text, answer.text)
            assert answer.headers["Content-Type"] == "application/json"
            json.loads(answer.text)


def test_headers(app: httpx.Client) -> None:
    body = {"type": "post_like", "users": []}
    for text in texts.ALL:
        value = text.encode(LATIN, "replace").strip()
        if any(byte < 0x20 or byte == 0x7F for byte in value):
            continue  # no HTTP any more: test_requests.py
        for name in ("Idempotency-Key", "If-None-Match", "Accept-Language", "Cookie", "Referer"):
            answer = app.post("/api/events/", json=body, headers={name: value})
            assert answer.status_code in (200, 201, 400), (name, text, answer.text)


@pytest.mark.django_db
class TestPages:
    """What Django itself renders: the hub's pages and the admin."""

    @pytest.fixture
    def admin(self, make_user: Any) -> Client:
        client = Client()
        client.force_login(make_user("admin", is_staff=True, is_superuser=True))
        return client

    @pytest.fixture
    def full(self, alice: Any) -> None:
        """Every table holds something hostile."""
        for text in texts.MARKUP:
            send_notification(
                "post_like",
                users=alice,
                author=alice,
                title=text,
                message=text,
                tag=text[:64],
                data={text: text},
                idempotency_key=text,
            )
            tokens.make(alice, name=text)
        settle()
        alice.username = alice.first_name = texts.MARKUP[0]
        alice.save()
        kind = EventType.objects.get(name="post_comment")
        kind.title = kind.description = texts.MARKUP[2]
        kind.save()
        Audience.objects.create(event_id=1, due=timezone.now(), last_error=texts.MARKUP[0])

    def test_the_admin_shows_text_as_text(self, admin: Client, full: None) -> None:
        seen = 0
        for model in site._registry:
            meta = model._meta
            address = f"/admin/{meta.app_label}/{meta.model_name}/"
            paths = [address, f"{address}?q=%3Cscript%3E", f"{address}add/"]
            paths += [f"{address}{row.pk}/change/" for row in model._default_manager.all()[:30]]
            paths += [f"{address}{row.pk}/delete/" for row in model._default_manager.all()[:2]]
            for path in paths:
                answer = admin.get(path, follow=True)
                assert answer.status_code in (200, 403, 404), path
                seen += texts.RUN in answer.content.decode()
                assert_inert(answer.content.decode(), path)
        assert seen > 10, "the texts are on these pages"

    def test_the_hubs_pages_show_text_as_text(self, full: None, alice: Any) -> None:
        client = Client()
        client.force_login(alice)
        for path in ("/", "/logout/", "/login/?next=" + "%22%3E%3Cscript%3E"):
            answer = client.get(path)
            assert answer.status_code == 200
            assert_inert(answer.content.decode(), path)

    @pytest.mark.parametrize("kind", ["MARKUP", "CODE", "LETTERS"])
    def test_what_a_form_gives_back(self, alice: Any, kind: str) -> None:
        client = Client()
        client.force_login(alice)
        for text in getattr(texts, kind):
            form = {"type": text, "title": text, "message": text}
            answer = client.post("/send/", form)
            assert answer.status_code == 400
            assert_inert(answer.content.decode(), text)
            answer = client.post("/login/", {"username": text, "password": text, "next": text})
            assert answer.status_code == 200
            assert_inert(answer.content.decode(), text)

    def test_any_name_may_be_a_users(self, password: str) -> None:
        """A project may allow names that Django's forms refuse."""
        for text in texts.ALL:
            name = text[:150] or "empty"
            if "\x00" in name:
                continue
            user = get_user_model().objects.create_user(name[:149] + "!", password=password)
            client = Client()
            client.force_login(user)
            page = client.get("/")
            assert page.status_code == 200
            assert_inert(page.content.decode(), name)
            user.delete()
        assert not Token.objects.exists()


class Scripts(HTMLParser):
    """Finds what a browser would run, or be led away by."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            text = (value or "").strip().lower()
            if name.startswith("on") or text.startswith("javascript:"):
                self.found.append(f"{tag} {name}={value}")
        given = dict(attrs)
        if tag == "base" or (tag == "meta" and "http-equiv" in given):
            self.found.append(tag)
        if tag == "iframe":
            self.found.append(tag)

    def handle_data(self, data: str) -> None:
        if self.lasttag == "script" and self.cdata_elem and texts.RUN in data:
            self.found.append(data)


def assert_inert(page: str, where: str) -> None:
    parser = Scripts()
    parser.feed(page)
    assert not parser.found, (where, parser.found[:3])
