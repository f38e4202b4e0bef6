"""A wrong value in the environment stops the start with a sentence that names it."""

import os
import stat
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from hub.env import env_bool, env_int, env_list, env_text, kept_secret

NAME = "HUB_TEST_SOMETHING"


@pytest.mark.parametrize(
    ("raw", "value"), [("1", True), (" On ", True), ("no", False), ("", False), ("OFF", False)]
)
def test_switches(monkeypatch: pytest.MonkeyPatch, raw: str, value: bool) -> None:
    monkeypatch.setenv(NAME, raw)
    assert env_bool(NAME) is value


def test_a_switch_that_is_neither_on_nor_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "maybe")
    with pytest.raises(ImproperlyConfigured, match=f"{NAME} must be one of .* 'maybe'"):
        env_bool(NAME)


@pytest.mark.parametrize(
    ("raw", "why"), [("ten", "whole number"), ("1.5", "whole"), ("-1", "least 0")]
)
def test_a_number_that_is_none(monkeypatch: pytest.MonkeyPatch, raw: str, why: str) -> None:
    monkeypatch.setenv(NAME, raw)
    with pytest.raises(ImproperlyConfigured, match=f"{NAME} must be .*{why}"):
        env_int(NAME, 5)


@pytest.mark.parametrize("raw", ["", "  "])
def test_an_empty_number_is_the_default(monkeypatch: pytest.MonkeyPatch, raw: str) -> None:
    monkeypatch.setenv(NAME, raw)
    assert env_int(NAME, 5) == 5


def test_lists_and_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, " a, ,b ")
    assert env_list(NAME, []) == ["a", "b"]
    assert env_text(NAME) == "a, ,b"
    monkeypatch.delenv(NAME)
    assert env_list(NAME, ["default"]) == ["default"]
    assert (env_bool(NAME), env_int(NAME, 5), env_text(NAME, "x")) == (False, 5, "x")


def test_a_kept_secret_is_made_once_and_is_the_owners(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "secret"
    secret = kept_secret(path)
    assert len(secret) >= 50
    assert kept_secret(path) == secret
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
