"""Whom a request means, for each kind of key that a user model can have."""

import uuid
from typing import Any

import pytest
from django.db import models

from notifications import EVERYONE, users
from notifications.errors import InvalidAudience, NoAudience, UnknownUser

pytestmark = pytest.mark.django_db

ID = uuid.UUID("0b4c9a1e-8f2d-4c7b-9f3e-2a1d5c6b7e8f")


def test_names_and_ids_become_keys(alice: Any, bob: Any) -> None:
    assert set(users.named(["alice", bob.pk])) == {alice.pk, bob.pk}
    assert users.named([]) == []
    assert users.named("everyone") is EVERYONE


def test_a_name_is_found_however_its_letters_are_encoded(make_user: Any) -> None:
    zoe = make_user("Zo\u00eb")
    assert users.named(["Zoe\u0308"]) == [zoe.pk]


def test_capitals_make_another_name(alice: Any) -> None:
    with pytest.raises(UnknownUser):
        users.named(["Alice"])


def test_many_unknown_names_make_a_short_error() -> None:
    with pytest.raises(UnknownUser) as raised:
        users.named([f"nobody{number}" for number in range(2_000)])
    assert len(raised.value.detail) < 200


def test_where_keys_are_uuids_a_uuid_in_text_is_an_id(
    alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users, "key_field", models.UUIDField)
    assert users.named([str(ID), "alice"]) == [ID, alice.pk]
    with pytest.raises(InvalidAudience):
        users.named([7])


def test_where_keys_are_text_every_text_is_a_name(
    alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users, "key_field", models.CharField)
    assert users.named(["alice"]) == [alice.pk]
    with pytest.raises(UnknownUser):
        users.named([str(ID)])


@pytest.mark.parametrize("given", ["alice", 7, {}, True, 1.5, ("alice",), [None], [True], [1.0]])
def test_nonsense_is_no_audience(alice: Any, given: Any) -> None:
    with pytest.raises(InvalidAudience):
        users.named(given)


def test_nobody_named_is_an_error() -> None:
    with pytest.raises(NoAudience):
        users.named(None)
