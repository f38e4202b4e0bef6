"""Which users old rows belong to: their keys as the user model has them, if they are there."""

from collections.abc import Iterable
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError

from notifications.audiences import user_key
from notifications.errors import InvalidAudience

NO_USER = "it belongs to no user"
USER_GONE = "its user is not there"


def key_of(value: Any, *, using: str) -> Any:
    """An old column's value as a user's key; None where no user can have it."""
    if value is None:
        return None
    try:
        return user_key(value, using=using)
    except (InvalidAudience, ValidationError):
        return None


def existing(values: Iterable[Any], *, using: str) -> dict[Any, Any]:
    """The keys of the users who are there, by the old columns' values."""
    keys = {value: key_of(value, using=using) for value in values}
    wanted = {key for key in keys.values() if key is not None}
    rows = get_user_model()._default_manager.using(using).filter(pk__in=wanted)
    there = set(rows.values_list("pk", flat=True))
    return {value: key for value, key in keys.items() if key in there}
