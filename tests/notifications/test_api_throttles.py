"""How often one may ask, and what is said to whoever asks too often."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.cache import cache
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured

from notifications.api import throttles
from tests.notifications.conftest import Api, error_of

pytestmark = pytest.mark.django_db

DEFAULTS = {
    "user": (600, 60),
    "token": (30, 60),
    "login": (30, 60),
    "send": (120, 60),
    "key": (3000, 60),
    "anonymous": (30, 3600),
}
WRONG = {"username": "alice", "password": "wrong"}


@pytest.fixture
def rate(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Sets the rates. The clock stands still, so that no window ends in the middle of a test."""
    monkeypatch.setattr(throttles, "time", lambda: 1_000_000_030.0)
    cache.clear()

    def set_to(text: str) -> None:
        settings.HUB = {**settings.HUB, "THROTTLES": text}

    yield set_to
    cache.clear()


def test_a_user_who_asks_too_often_is_told_when_to_come_back(
    alices: Api, app_of: Callable[[Any], Api], bob: Any, rate: Any
) -> None:
    rate("user=3/min")
    for _ in range(3):
        assert alices.get("event-types/").status_code == 200
    answer = alices.get("notifications/")
    assert error_of(answer, 429)["code"] == "throttled"
    assert int(answer["Retry-After"]) == 50  # the window began at :20
    assert app_of(bob).get("event-types/").status_code == 200


def test_after_that_time_they_are_let_in(
    alices: Api, rate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rate("user=1/min")
    alices.get("event-types/")
    wait = int(alices.get("event-types/")["Retry-After"])
    monkeypatch.setattr(throttles, "time", lambda: 1_000_000_030.0 + wait)
    assert alices.get("event-types/").status_code == 200


def test_all_devices_of_a_user_count_together(
    alice: Any, alices: Api, browser_of: Callable[[Any], Api], rate: Any
) -> None:
    rate("user=2/min")
    alices.get("event-types/")
    browser = browser_of(alice)
    browser.get("event-types/")
    error_of(browser.get("event-types/"), 429)


def test_passwords_are_throttled_by_address(anybody: Api, rate: Any) -> None:
    rate("token=3/min")
    for number in range(3):
        error_of(anybody.post("auth/token/", WRONG | {"username": f"n{number}"}), 401)
    answer = anybody.post("auth/token/", WRONG)
    assert error_of(answer, 429)["code"] == "throttled"
    assert "Retry-After" in answer


def test_what_a_client_says_of_its_address_does_not_count(anybody: Api, rate: Any) -> None:
    rate("token=2/min")
    answers = [
        anybody.post("auth/token/", WRONG, **{"X-Forwarded-For": f"10.0.0.{n}"}).status_code
        for n in range(3)
    ]
    assert answers == [401, 401, 429]


@pytest.mark.parametrize("name", ["alice", "ALICE", "\uff41lice"])
def test_passwords_are_throttled_by_name_from_however_many_addresses(
    alice: Any, anybody: Api, rate: Any, name: str, password: str
) -> None:
    rate("token=3/min")
    statuses = []
    for number in range(4):
        anybody.client.defaults["REMOTE_ADDR"] = f"10.0.0.{number}"
        body = WRONG | {"username": name if number % 2 else "alice"}
        statuses.append(anybody.post("auth/token/", body).status_code)
    assert statuses == [401, 401, 401, 429]
    anybody.client.defaults["REMOTE_ADDR"] = "10.0.0.9"
    right = {"username": "alice", "password": password}
    assert anybody.post("auth/token/", right).status_code == 429
    error_of(anybody.post("auth/token/", WRONG | {"username": "bob"}), 401)


def test_sending_has_a_rate_of_its_own(
    alice: Any, alices: Api, rate: Any, django_user_model: Any
) -> None:
    django_user_model.objects.update(is_superuser=True)
    rate("send=1/min")
    body = {"type": "post_like", "users": []}
    assert alices.post("events/", body).status_code == 201
    error_of(alices.post("events/", body), 429)
    assert alices.get("event-types/").status_code == 200


def test_off_switches_all_of_them_off(alices: Api, anybody: Api, rate: Any) -> None:
    rate("off")
    assert {alices.get("event-types/").status_code for _ in range(700)} == {200}


def test_on_means_the_defaults(anybody: Api, rate: Any) -> None:
    rate("on")
    assert throttles.rates("on") == DEFAULTS
    for _ in range(throttles.DEFAULTS["token"].requests):
        error_of(anybody.post("auth/token/", WRONG), 401)
    error_of(anybody.post("auth/token/", WRONG), 429)


def test_what_is_not_named_keeps_its_default() -> None:
    wanted = {**DEFAULTS, "token": (1, 1), "send": (5, 3600)}
    assert throttles.rates("send=5/h, token = 1/s") == wanted


@pytest.mark.parametrize(
    "text", ["", "of", "user", "user=5", "user=0/min", "user=-1/min", "user=1/week", "other=1/s"]
)
def test_a_rate_that_cannot_be_read_stops_the_start(settings: Any, text: str) -> None:
    with pytest.raises(ImproperlyConfigured):
        throttles.rates(text)
    settings.HUB = {**settings.HUB, "THROTTLES": text}
    assert "hub.E006" in [message.id for message in run_checks()]


def test_a_broken_cache_throttles_nobody(
    alices: Api, anybody: Api, rate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise ConnectionError("no cache")

    rate("user=1/min,token=1/min")
    monkeypatch.setattr(throttles, "cache", type("Broken", (), {"add": broken, "incr": broken})())
    for _ in range(3):
        assert alices.get("event-types/").status_code == 200
        error_of(anybody.post("auth/token/", WRONG), 401)


def test_no_name_stands_in_the_cache(anybody: Api, rate: Any) -> None:
    rate("token=5/min")
    anybody.post("auth/token/", WRONG)
    anybody.post("auth/token/", WRONG | {"username": "a b " * 200})
    assert "alice" not in str(list(cache._cache))  # type: ignore[attr-defined]
