"""Where no view answers, the API still does in its one shape."""

import pytest
from django.contrib.sessions.middleware import SessionMiddleware
from django.test import Client

FOREIGN = {"Host": "evil.example"}


def test_a_foreign_host_is_a_400_with_a_code(client: Client) -> None:
    answer = client.get("/api/notifications/", headers=FOREIGN)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")


def test_a_fault_before_the_view_is_a_500_with_a_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SessionMiddleware, "process_request", lambda *_: 1 / 0)
    answer = Client(raise_request_exception=False).get("/api/notifications/")
    assert (answer.status_code, answer.json()["code"]) == (500, "server_error")


def test_pages_keep_their_own(client: Client) -> None:
    answer = client.get("/login/", headers=FOREIGN)
    assert answer.status_code == 400
    assert answer["Content-Type"].startswith("text/html")
