"""Credentials in the database are of no use to whoever has the database alone."""

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from routing.push import credentials
from routing.push.backends.checks import check_push_settings
from routing.push.credentials import NoCredentialKey, Unreadable

pytestmark = pytest.mark.embedded  # no database: once is enough

FIRST, SECOND = Fernet.generate_key().decode(), Fernet.generate_key().decode()
VALUE = {"private_key": "MIGHAgEAMBMGByqGSM49", "port": 443, "nested": {"a": ["ü"]}}


def keys(*found: object) -> AbstractContextManager[None]:
    return override_settings(HUB={"CREDENTIAL_KEYS": list(found)})


@pytest.fixture(autouse=True)
def one_key() -> Iterator[None]:
    with keys(FIRST):
        yield


def test_what_is_stored_comes_back_and_shows_nothing() -> None:
    stored = credentials.seal(VALUE, row="application:7")
    assert credentials.unseal(stored, row="application:7") == VALUE
    assert stored.startswith("v1:")
    assert "MIGHAgEAMBMGByqGSM49" not in stored
    assert stored != credentials.seal(VALUE, row="application:7")


def test_a_text_that_was_copied_into_another_row_is_refused() -> None:
    stored = credentials.seal(VALUE, row="application:7")
    with pytest.raises(Unreadable, match="another row"):
        credentials.unseal(stored, row="application:8")


def test_keys_change_without_a_gap() -> None:
    old = credentials.seal(VALUE, row="application:7")
    with keys(SECOND, FIRST):
        assert credentials.unseal(old, row="application:7") == VALUE
        assert not credentials.is_current(old)
        new = credentials.rotate(old, row="application:7")
        assert credentials.is_current(new)
        assert credentials.rotate(new, row="application:7") == new
    with keys(SECOND):
        assert credentials.unseal(new, row="application:7") == VALUE
        with pytest.raises(Unreadable, match="a key that is not set"):
            credentials.unseal(old, row="application:7")


def test_rotating_does_not_launder_a_text_of_another_row() -> None:
    stored = credentials.seal(VALUE, row="application:7")
    with keys(SECOND, FIRST), pytest.raises(Unreadable):
        credentials.rotate(stored, row="application:8")


@pytest.mark.parametrize("damage", ["", "v1", "v1:x:y", "v2:{id}:{token}", "v1:{id}:{token}x"])
def test_a_damaged_text_is_an_error_that_quotes_nothing(damage: str) -> None:
    _, key_id, token = credentials.seal(VALUE, row="application:7").split(":")
    stored = damage.format(id=key_id, token=token[:-8])
    with pytest.raises(Unreadable) as caught:
        credentials.unseal(stored, row="application:7")
    assert token[:20] not in str(caught.value)
    assert FIRST not in str(caught.value)


def test_without_a_key_nothing_is_stored() -> None:
    with keys(), pytest.raises(NoCredentialKey):
        credentials.seal(VALUE, row="application:7")


@pytest.mark.parametrize("key", ["password", "", 5, None])
def test_a_key_that_hides_nothing_stops_the_start(key: object) -> None:
    with keys(FIRST, key):
        assert [error.id for error in check_push_settings()] == ["hub.E040"]
        with pytest.raises(ImproperlyConfigured) as caught:
            credentials.seal(VALUE, row="application:7")
    assert str(key or "-") not in str(caught.value).replace("CREDENTIAL_KEYS", "").split("must")[0]


def test_the_key_itself_is_not_in_what_is_stored() -> None:
    stored = credentials.seal(VALUE, row="application:7")
    assert FIRST not in stored
    assert json.dumps(VALUE) not in stored
