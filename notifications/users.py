"""Whom a text or a number from outside means: user names and ids become users' keys."""

import uuid
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from django.contrib.auth import get_user_model
from django.db import models, router

from notifications.audiences import EVERYONE, Everyone, key_field
from notifications.errors import InvalidAudience, NoAudience, UnknownUser
from notifications.models import Inbox
from notifications.words import FORBIDDEN

MAX_USERS = 10_000  # ids and names in one request
CHUNK = 500  # names per query
MAX_SHOWN = 5  # names in one error


def named(given: Any) -> list[Any] | Everyone:
    """The audience of a request: `"everyone"`, or a list of ids and names.

    Integers are ids where the user model's ids are integers, UUIDs in text where they are UUIDs;
    any other text is a user name. Answers keys for `send_notification(users=...)`, in which ids
    that no user has are still to be left out.

    Raises `NoAudience`, `InvalidAudience` or `UnknownUser`.
    """
    if given is None:
        raise NoAudience("users is missing: say whom the event concerns.")
    if given == "everyone":
        return EVERYONE
    if not isinstance(given, list):
        raise InvalidAudience('users must be a list of ids and names, or "everyone".')
    if len(given) > MAX_USERS:
        raise InvalidAudience(f"users must have at most {MAX_USERS:,} elements.")
    keys, names = [], []
    for element in given:
        key = _key(element)
        if key is not None:
            keys.append(key)
        elif isinstance(element, str):
            names.append(element)
        else:
            raise InvalidAudience("users must hold only ids and names.")
    return [*keys, *keys_of_names(names)]


def _key(element: Any) -> Any:
    """The id that an element is, or None."""
    field = key_field()
    if isinstance(field, models.IntegerField):
        return element if type(element) is int else None
    if isinstance(field, models.UUIDField) and isinstance(element, str):
        try:
            return uuid.UUID(element)
        except ValueError:
            return None
    return None


def keys_of_names(names: Iterable[str]) -> Iterator[Any]:
    """The keys of the users with these names, a chunk of names at a time.

    Raises `UnknownUser` for a name that no user has.
    """
    waiting = iter(names)
    while chunk := list(islice(waiting, CHUNK)):
        yield from _keys_of_chunk(chunk)


def _keys_of_chunk(names: Sequence[str]) -> list[Any]:
    model = get_user_model()
    wanted = {normal(name) for name in names}
    possible = [name for name in wanted if not FORBIDDEN.search(name)]
    column = model.USERNAME_FIELD
    # on the primary: the event is written there, for users who may have signed up just now
    rows = model._default_manager.using(router.db_for_write(Inbox))
    found = dict(rows.filter(**{f"{column}__in": possible}).values_list(column, "pk"))
    unknown = sorted(repr(name) for name in wanted if name not in found)
    if unknown:
        more = ", ..." if len(unknown) > MAX_SHOWN else ""
        raise UnknownUser(f"There is no user named {', '.join(unknown[:MAX_SHOWN])}{more}.")
    return list(found.values())


def normal(name: str) -> str:
    """A user name as Django stores it: one way to write what looks the same."""
    return str(get_user_model().normalize_username(name))
