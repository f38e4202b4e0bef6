"""Whom a send addresses: users, ids, iterables, querysets or EVERYONE, as chunks of ids."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from itertools import chain, islice
from typing import Any, Final

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import connections, models
from django.db.models import QuerySet
from django.db.models.query import ModelIterable

from notifications.errors import InvalidAudience, NoAudience

CHUNK = 500  # user ids in one Audience row, and inboxes locked by one statement


class Everyone(Enum):
    EVERYONE = "everyone"

    def __repr__(self) -> str:
        return "EVERYONE"


EVERYONE: Final = Everyone.EVERYONE


def key_field() -> "models.Field[Any, Any]":
    """The user model's key, or where that is a link to a parent, the parent's key."""
    return _key_of(settings.AUTH_USER_MODEL)


@cache  # asked for every id of an audience, several times; looking the model up costs 5 µs
def _key_of(user_model: str) -> "models.Field[Any, Any]":
    key: Any = get_user_model()._meta.pk
    while key.remote_field is not None:
        key = key.target_field
    found: models.Field[Any, Any] = key
    return found


def user_key(value: Any, *, using: str) -> Any:
    """The key that a user or an id stands for; None where no user can have it.

    Raises `InvalidAudience` for what is neither a saved user nor an id.
    """
    if isinstance(value, models.Model):
        if not isinstance(value, get_user_model()):
            raise InvalidAudience(f"users: a {type(value).__name__} is not a user")
        value = value.pk
    if value is None or isinstance(value, bool | float):
        raise InvalidAudience("users: holds something that is neither a saved user nor an id")
    try:
        found = key_field().to_python(value)
    except (ValidationError, ValueError, TypeError, OverflowError):
        kind = type(value).__name__
        raise InvalidAudience(f"users: a {kind} is not a user or a user's id") from None
    if isinstance(key_field(), models.IntegerField) and found not in _possible(using):
        return None  # no row can have it: an unknown user, left out like any other
    return found


def _possible(using: str) -> range:
    """The integers that the user model's key can have; empty where it is none."""
    key = key_field()
    if not isinstance(key, models.IntegerField):
        return range(0)
    lowest, highest = connections[using].ops.integer_field_range(key.get_internal_type())
    bounds = (-(2**63) if lowest is None else lowest, 2**63 - 1 if highest is None else highest)
    return range(bounds[0], bounds[1] + 1)


def stored_key(key: Any) -> Any:
    """A user's key as JSON holds it in an Audience row: an integer, or text."""
    return key if isinstance(key, int) else str(key)


def stored_keys(keys: Sequence[Any]) -> list[Any]:
    """`stored_key` of each; of plain integers, thousands at a time, there is nothing to do."""
    if set(map(type, keys)) <= {int}:
        return list(keys)
    return [stored_key(key) for key in keys]


@dataclass(slots=True)
class Addressed:
    """The audience of one send. Its ids are read once, in chunks, and never held whole."""

    everyone: bool
    #: The first ids, at most `CHUNK` of them, sorted; all there are when `rest` is None.
    first: list[Any] = field(default_factory=list)
    rest: Iterator[list[Any]] | None = None

    @property
    def small(self) -> bool:
        return not self.everyone and self.rest is None

    def chunks(self) -> Iterator[list[Any]]:
        if self.first:
            yield self.first
        if self.rest is not None:
            yield from self.rest

    def fingerprint(self) -> str:
        """What an idempotency key compares. A large audience is not walked for it: two calls
        that differ only in the ids of more than 500 recipients count as the same call."""
        if self.everyone:
            return "everyone"
        if self.rest is not None:
            return "many"
        return hashlib.sha256(repr([str(key) for key in self.first]).encode()).hexdigest()


def address(users: Any, *, using: str) -> Addressed:
    """Reads whom `users` means. Raises `NoAudience` for None, `InvalidAudience` for nonsense."""
    if users is EVERYONE:
        return Addressed(everyone=True)
    if users is None:
        raise NoAudience("users: say whom the event concerns; EVERYONE means everybody")
    keys = _keys(users, using)
    head = list(islice(keys, CHUNK + 1))
    first = sorted(set(head[:CHUNK]))
    if len(head) <= CHUNK:
        return Addressed(everyone=False, first=first)
    return Addressed(everyone=False, first=first, rest=_chunked(chain(head[CHUNK:], keys)))


def _keys(users: Any, using: str) -> Iterator[Any]:
    if isinstance(users, models.Model | str | int | bytes) or not isinstance(users, Iterable):
        users = [users]
    elif isinstance(users, QuerySet):
        if users._iterable_class is ModelIterable and issubclass(users.model, get_user_model()):
            users = users.values_list("pk", flat=True)
        users = users.iterator(chunk_size=CHUNK * 4)
    plain = _possible(using)
    for value in users:
        # nearly always an id as it is: large audiences are read at a million ids a second
        key = value if type(value) is int and value in plain else user_key(value, using=using)
        if key is not None:
            yield key


def _chunked(keys: Iterator[Any]) -> Iterator[list[Any]]:
    while chunk := list(islice(keys, CHUNK)):
        yield sorted(set(chunk))
