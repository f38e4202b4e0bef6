"""Backends are found by name, and nothing of a vendor is imported before."""

import subprocess
import sys
import types

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from routing.push.backends import answers, registry
from routing.push.backends.base import PushBackend
from routing.push.backends.checks import check_push_settings
from routing.push.backends.dummy import DummyBackend
from routing.push.outcomes import Verdict

pytestmark = pytest.mark.embedded  # no database: once is enough


class Pager(PushBackend):
    name = "pager"


def test_the_hubs_own_are_there_under_their_names() -> None:
    assert registry.names() == sorted(registry.OWN)
    for name in registry.names():
        found = registry.load(name)
        assert issubclass(found, PushBackend)
        assert found.name == name
        assert found.limits.max_payload > 0


def test_one_line_of_the_settings_adds_or_replaces_one() -> None:
    path = f"{__name__}.Pager"
    with override_settings(HUB={"BACKENDS": {"pager": path, "dummy": path}}):
        assert registry.load("pager") is Pager
        assert registry.load("dummy") is Pager
        assert "webpush" in registry.names()
    assert registry.load("dummy") is DummyBackend


def test_a_name_that_is_nobodys() -> None:
    with pytest.raises(registry.UnknownBackend, match="webpush"):
        registry.load("pigeon")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("routing.nowhere.Backend", "does not exist"),
        ("nowhere.Backend", "does not exist"),
        ("routing.push.outcomes.Outcome", "no subclass of PushBackend"),
        ("routing.push.outcomes.Nothing", "no subclass of PushBackend"),
        ("Backend", "dotted path"),
        (5, "dotted path"),
    ],
)
def test_a_path_that_leads_to_no_backend(path: object, said: str) -> None:
    with override_settings(HUB={"BACKENDS": {"mine": path}}):
        with pytest.raises(ImproperlyConfigured, match=said):
            registry.load("mine")
        wrong = [] if isinstance(path, str) and "." in path else ["hub.E043"]
        assert [error.id for error in check_push_settings()] == wrong


def test_a_missing_library_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httptools", None)
    for module in ("webpush", "wire"):
        monkeypatch.delitem(sys.modules, f"routing.push.backends.{module}", raising=False)
    with pytest.raises(ImproperlyConfigured, match="'webpush' needs httptools"):
        registry.load("webpush")


def test_libraries_are_imported_when_a_backend_is_used_and_not_before() -> None:
    script = """
import sys, django
django.setup()
from routing.push import credentials, redaction, vapid
from routing.push.backends import checks, guard, registry
libraries = {"aiohttp", "aiohappyeyeballs", "cryptography.fernet", "httptools", "jwt"}
assert not libraries & sys.modules.keys(), libraries & sys.modules.keys()
registry.load("webpush")
assert "httptools" in sys.modules and "aiohttp" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_names_of_hosts_must_be_in_lower_case() -> None:
    with override_settings(HUB={"WEBPUSH_HOSTS": ["FCM.googleapis.com"]}):
        assert [error.id for error in check_push_settings()] == ["hub.E042"]


# What all tables share

AT = 1_800_000_000.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        (" 7 ", 7.0),
        ("0", 1.0),
        ("999999", 3600.0),
        ("9" * 400, 3600.0),
        ("Fri, 15 Jan 2027 08:01:00 GMT", 60.0),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 1.0),
        ("Sat, 15 Jan 2028 07:00:00 GMT", 3600.0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("Fri, 99 Jan 2027 08:01:00 GMT", None),
    ],
)
def test_retry_after_as_seconds_and_as_a_date(text: str, seconds: float | None) -> None:
    assert answers.retry_after({"Retry-After": text}, at=AT) == seconds


def test_an_answer_that_no_table_knows() -> None:
    known = types.MappingProxyType({400: answers.GONE})
    assert answers.rule_for(400, known) is answers.GONE
    assert answers.rule_for(206, known).verdict is Verdict.SENT
    assert answers.rule_for(599, known).verdict is Verdict.RETRY
    for status in (300, 304, 402, 499):
        assert answers.rule_for(status, known).verdict is Verdict.REFUSED
        assert answers.rule_for(status, known).alert
