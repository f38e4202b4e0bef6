"""Bearer tokens: random, stored as a hash, found, noted, ended."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from notifications import tokens
from notifications.errors import InvalidField
from notifications.models import Token

pytestmark = pytest.mark.django_db


def test_a_token_has_256_random_bits_behind_a_prefix_that_scanners_find(alice: Any) -> None:
    texts = {tokens.make(alice) for _ in range(20)}
    assert len(texts) == 20
    for text in texts:
        assert text.startswith("hub_")
        assert len(text) == len("hub_") + 43  # 32 bytes in base64url


def test_only_the_hash_is_stored(alice: Any) -> None:
    text = tokens.make(alice, name="phone")
    stored = " ".join(str(value) for row in Token.objects.values() for value in row.values())
    assert text not in stored
    assert text.removeprefix("hub_") not in stored


def test_a_token_is_found_with_its_user(alice: Any, django_assert_num_queries: Any) -> None:
    text = tokens.make(alice, name="phone")
    assert tokens.find(text).user == alice  # type: ignore[union-attr]
    with django_assert_num_queries(1):
        found = tokens.find(text)
        assert found is not None and found.user == alice and found.name == "phone"


def test_what_is_found_is_what_the_orm_gives(alice: Any) -> None:
    alice.last_login = timezone.now()
    alice.save()
    text = tokens.make(alice, name="phone")
    tokens.find(text)
    found = tokens.find(text)
    token = Token.objects.select_related("user").get()
    assert found is not None and found == token
    for mine, its in ((found, token), (found.user, token.user)):
        fields = [field.attname for field in its._meta.concrete_fields]
        assert [getattr(mine, name) for name in fields] == [getattr(its, name) for name in fields]
        assert not mine.get_deferred_fields()
        assert not mine._state.adding and mine._state.db == its._state.db
    found.user.first_name = "Alice"
    found.user.save()
    token.user.refresh_from_db()
    assert token.user.first_name == "Alice"


@pytest.mark.parametrize(
    "text", ["", "hub_", "hub_" + "x" * 43, "x" * 47, "hub_é", "hub_\0", "hub_" + "x" * 5000]
)
def test_what_is_no_token_is_not_found(alice: Any, text: str) -> None:
    tokens.make(alice)
    assert tokens.find(text) is None


def test_a_token_of_an_inactive_user_is_not_live(alice: Any) -> None:
    text = tokens.make(alice)
    alice.is_active = False
    alice.save()
    assert tokens.find(text) is None


def test_its_use_is_noted_at_most_once_a_minute(
    alice: Any, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    at = timezone.now()
    text = tokens.make(alice)
    assert Token.objects.get().last_used_at is None
    monkeypatch.setattr(timezone, "now", lambda: at)
    tokens.find(text)
    assert Token.objects.get().last_used_at == at
    monkeypatch.setattr(timezone, "now", lambda: at + timedelta(seconds=59))
    with django_assert_num_queries(1):
        tokens.find(text)
    assert Token.objects.get().last_used_at == at
    monkeypatch.setattr(timezone, "now", lambda: at + timedelta(seconds=60))
    tokens.find(text)
    assert Token.objects.get().last_used_at == at + timedelta(seconds=60)


def test_a_revoked_token_is_over(alice: Any) -> None:
    text, other = tokens.make(alice), tokens.make(alice)
    token = tokens.find(text)
    assert token is not None
    assert tokens.revoke(alice, token_id=token.pk)
    assert tokens.find(text) is None
    assert tokens.find(other) is not None
    assert not tokens.revoke(alice, token_id=token.pk)


@pytest.mark.parametrize("token_id", [0, -1, 2**63, 2**70])
def test_an_impossible_id_is_nobodys_token(alice: Any, token_id: int) -> None:
    assert not tokens.revoke(alice, token_id=token_id)


def test_nobody_ends_the_token_of_somebody_else(alice: Any, bob: Any) -> None:
    tokens.make(alice)
    assert not tokens.revoke(bob, token_id=Token.objects.get().pk)
    assert Token.objects.exists()


def test_above_the_limit_the_users_oldest_token_goes(alice: Any, bob: Any, settings: Any) -> None:
    settings.HUB = {**settings.HUB, "TOKENS_PER_USER": 2}
    bobs = tokens.make(bob)
    first, second, third = (tokens.make(alice) for _ in range(3))
    assert tokens.find(first) is None
    assert tokens.find(second) and tokens.find(third) and tokens.find(bobs)


@pytest.mark.parametrize("name", ["x" * 101, "two\nlines", "nul\0"])
def test_a_name_that_cannot_be_shown_is_refused(alice: Any, name: str) -> None:
    with pytest.raises(InvalidField):
        tokens.make(alice, name=name)
    assert not Token.objects.exists()


def test_the_tokens_of_a_deleted_user_go_with_them(alice: Any) -> None:
    text = tokens.make(alice)
    alice.delete()
    assert tokens.find(text) is None
