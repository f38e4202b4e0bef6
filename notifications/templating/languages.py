"""Which language each user reads: asked for many users at once, never for one after the other.

First what `HUB["USER_LANGUAGE"]` names, then the sources that other apps add (the push road knows
the locale of a user's devices). Who is in none of them gets a template's words for everybody.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import FieldError
from django.utils.module_loading import import_string

from notifications.audiences import key_field
from notifications.conf import conf

#: Takes users' ids and the database alias as `using`; answers a language for those it knows.
Source = Callable[..., Mapping[Any, Any]]

LANGUAGE = re.compile(r"[a-z]{2,3}(-[a-z0-9]{1,8})*")
MAX_LANGUAGE = 35  # characters

_sources: list[Source] = []


def add_source(source: Source) -> None:
    """Asks `source` for the users of whom the setting says nothing; adding it again is nothing."""
    if source not in _sources:
        _sources.append(source)


def of_users(user_ids: Collection[Any], *, using: str) -> dict[Any, str]:
    """The languages of these users, as far as anybody knows, as `normal` writes them.

    One query for the setting and one for each source. Raises what a team's own function raises.
    """
    key = key_field().to_python  # an Audience row holds UUIDs as text
    found: dict[Any, str] = {}
    silent = [key(user_id) for user_id in user_ids]
    for source in _all():
        if not silent:
            break
        answers = source(silent, using=using)
        found.update({key(who): name for who, given in answers.items() if (name := normal(given))})
        silent = [user_id for user_id in silent if user_id not in found]
    return found


def _all() -> Iterator[Source]:
    named = conf().user_language
    if named:
        yield import_string(named) if "." in named else _of_field
    yield from _sources


def _of_field(user_ids: Collection[Any], *, using: str) -> Mapping[Any, Any]:
    rows = get_user_model()._default_manager.using(using).filter(pk__in=user_ids)
    return dict(rows.values_list("pk", conf().user_language))


def problem(named: str) -> str | None:
    """Why `HUB["USER_LANGUAGE"]` cannot be this, in a sentence; None if it can."""
    if not named:
        return None
    if "." in named:
        try:
            found = import_string(named)
        except ImportError as error:
            return f"HUB['USER_LANGUAGE']: {error}"
        return None if callable(found) else f"HUB['USER_LANGUAGE']: {named} is not a function"
    try:
        get_user_model()._default_manager.values_list(named)
    except FieldError as error:
        return f"HUB['USER_LANGUAGE']: {error}"
    return None


def normal(given: Any) -> str:
    """A language or locale as the hub compares them: `de_AT` is `de-at`; nonsense is empty."""
    name = str(given or "").replace("_", "-").lower()
    return name if LANGUAGE.fullmatch(name) and len(name) <= MAX_LANGUAGE else ""


def best(wanted: str, offered: Collection[str]) -> str:
    """The offered language that comes nearest: `pt-br`, else `pt`, else empty."""
    while wanted and wanted not in offered:
        wanted = wanted.rpartition("-")[0]
    return wanted
