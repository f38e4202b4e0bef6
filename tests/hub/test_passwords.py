"""Passwords at the log-in pages: wrong ones are counted, by address and by name."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from notifications.api import throttles

pytestmark = pytest.mark.django_db


@pytest.fixture
def rate(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Sets the rates. The clock stands still."""
    monkeypatch.setattr(throttles, "time", lambda: 1_000_000_030.0)
    cache.clear()

    def set_to(text: str) -> None:
        settings.HUB = {**settings.HUB, "THROTTLES": text}

    yield set_to
    cache.clear()


def log_in(name: str, password: str, *, path: str = "/login/", address: str = "10.0.0.1") -> Any:
    form = {"username": name, "password": password, "next": "/"}
    return Client(REMOTE_ADDR=address).post(path, form)


@pytest.mark.parametrize("path", ["/login/", "/admin/login/"])
def test_one_address_is_told_to_wait(
    path: str, make_user: Callable[..., Any], password: str, rate: Any
) -> None:
    make_user("root", is_staff=True)
    rate("login=3/min")
    for number in range(3):
        assert log_in(f"name{number}", "wrong", path=path).status_code == 200
    answer = log_in("root", password, path=path)
    assert (answer.status_code, answer["Retry-After"]) == (429, "50")
    assert b"Come back in 50 seconds" in answer.content
    assert Client().get(path).status_code == 200, "the page itself is there"
    assert log_in("root", password, path=path, address="10.0.0.2").status_code == 302


def test_one_name_is_from_however_many_addresses(alice: Any, password: str, rate: Any) -> None:
    rate("login=3/min")
    for number in range(3):
        log_in("ALICE" if number else "alice", "wrong", address=f"10.0.1.{number}")
    assert log_in("alice", password, address="10.0.1.9").status_code == 429


def test_an_address_that_waits_uses_up_no_names_tries(alice: Any, password: str, rate: Any) -> None:
    rate("login=3/min")
    for _ in range(3):
        log_in("mallory", "wrong")
    for _ in range(10):
        assert log_in("alice", "wrong").status_code == 429
    assert log_in("alice", password, address="10.0.0.2").status_code == 302


def test_right_passwords_do_not_count(alice: Any, password: str, rate: Any) -> None:
    rate("login=3/min")
    for _ in range(10):
        assert log_in("alice", password).status_code == 302


def test_the_doors_count_together(make_user: Callable[..., Any], password: str, rate: Any) -> None:
    make_user("root", is_staff=True)
    rate("login=2/min")
    log_in("root", "wrong")
    log_in("root", "wrong", path="/admin/login/")
    assert log_in("root", password).status_code == 429


def test_somebody_logged_in_may_not_try_anothers_password(
    alice: Any, bob: Any, password: str, rate: Any
) -> None:
    rate("login=2/min")
    client = Client()
    client.force_login(alice)
    form = {"username": "bob", "password": "wrong"}
    assert [client.post("/login/", form).status_code for _ in range(3)] == [200, 200, 429]
