"""The dict HUB: what it does not know and what is of the wrong kind stops the start."""

from datetime import timedelta
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured

from notifications.conf import conf

pytestmark = pytest.mark.django_db


def found(settings: Any, **keys: Any) -> list[tuple[str, str]]:
    settings.HUB = {**settings.HUB, **keys}
    return [(str(one.id), one.msg) for one in run_checks() if one.id in ("hub.E001", "hub.E002")]


def test_as_it_comes_nothing_is_wrong(settings: Any) -> None:
    assert found(settings) == []


def test_a_key_that_nobody_reads_stops_the_start(settings: Any) -> None:
    [(code, words)] = found(settings, RETENTIONS=timedelta(days=1))
    assert (code, words) == ("hub.E001", "HUB has no setting 'RETENTIONS'")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("RETENTION", 180),
        ("RETENTION", timedelta(days=-1)),
        ("TOKENS_PER_USER", "50"),
        ("TOKENS_PER_USER", True),
        ("TOKENS_PER_USER", -1),
        ("BASIC_AUTHENTICATION", "yes"),
        ("STAFF_CALLS", 1),
        ("OPEN_REGISTRATION", True),
        ("OPEN_REGISTRATION", -1),
        ("APPLICATIONS", []),
    ],
)
def test_a_value_of_the_wrong_kind_stops_the_start(settings: Any, key: str, value: Any) -> None:
    [(code, words)] = found(settings, **{key: value})
    assert code == "hub.E002" and key in words


def test_a_secret_in_the_wrong_place_is_not_quoted(settings: Any) -> None:
    [(_, words)] = found(settings, CREDENTIAL_KEYS="hunter2-hunter2-hunter2-hunter2")
    assert "hunter2" not in words


def test_settings_are_read_when_they_are_needed(settings: Any) -> None:
    settings.HUB = {**settings.HUB, "TOKENS_PER_USER": 7}
    assert conf().tokens_per_user == 7
    settings.HUB = {**settings.HUB, "TOKENS_PER_USER": "seven"}
    with pytest.raises(ImproperlyConfigured, match="TOKENS_PER_USER"):
        conf()
