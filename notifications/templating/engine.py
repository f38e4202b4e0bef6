"""Renders one text: Django's template language without HTML escaping, and without what is unsafe.

The texts are plain: inbox and push show them as they are, and the browser escapes what it shows.
A context is JSON, so that a template reaches no model, no method that does anything, no secret.
"""

from collections.abc import Mapping
from copy import deepcopy
from functools import cache, lru_cache
from typing import Any

from django.conf import settings
from django.template import Context, Engine, Template, TemplateSyntaxError
from django.utils import timezone, translation

MAX_SOURCE = 10_000  # characters of one text before it is rendered
KEPT = 1_000  # compiled texts in memory


class RenderingError(ValueError):
    """A text that cannot be compiled or rendered; the message says why in a sentence."""


class _Engine(Engine):
    default_builtins = ["notifications.templating.tags"]


class _Unknown(str):
    """What Django puts where a variable does not exist; it asks for a name to fill in."""

    __slots__ = ()

    def __contains__(self, part: object) -> bool:
        return True

    def __mod__(self, variable: Any) -> str:
        raise RenderingError(f"there is no variable {str(variable)!r} in the context")


class _StrictContext(Context):
    """Remembers what was asked for in vain: `if` and `for` say nothing of it."""

    def __init__(self, values: Any, **options: Any) -> None:
        self.missing: set[str] = set()
        super().__init__(values, **options)

    def __getitem__(self, key: Any) -> Any:
        try:
            return super().__getitem__(key)
        except KeyError:
            self.missing.add(str(key))
            raise


@cache
def _engine(strict: bool) -> Engine:
    invalid = _Unknown("unknown") if strict else ""
    return _Engine(loaders=[], autoescape=False, string_if_invalid=invalid)


@lru_cache(maxsize=KEPT)
def _compiled(source: str, strict: bool) -> Template:
    return _engine(strict).from_string(source)


def check(source: str) -> None:
    """Raises `RenderingError` for wrong syntax, and for tags and filters that are not allowed."""
    if len(source) > MAX_SOURCE:
        raise RenderingError(f"it has {len(source)} characters; {MAX_SOURCE} are allowed")
    try:
        _compiled(source, False)
    except TemplateSyntaxError as error:
        raise RenderingError(str(error)) from None
    except RecursionError:
        raise RenderingError("it is nested too deeply") from None


def render(source: str, context: Mapping[str, Any], *, language: str, strict: bool) -> str:
    """`source` with its gaps filled; `language` (empty: `LANGUAGE_CODE`) is how dates and numbers
    are written, times are those of `TIME_ZONE`.

    With `strict` a variable that `context` lacks is an error, otherwise it is empty text.
    Raises `RenderingError`.
    """
    check(source)
    kind = _StrictContext if strict else Context
    # a copy: {{ list.pop }} is a call, and must not reach the next language's context
    values = kind(deepcopy(dict(context)), autoescape=False)
    try:
        with (
            translation.override(language or settings.LANGUAGE_CODE),
            timezone.override(timezone.get_default_timezone()),
        ):
            text = str(_compiled(source, strict).render(values))
    except RenderingError:
        raise
    except Exception as error:
        # tags and filters raise what they like: a missing argument, an address that is not there
        raise RenderingError(f"{type(error).__name__}: {error}") from error
    if isinstance(values, _StrictContext) and values.missing:
        names = ", ".join(repr(name) for name in sorted(values.missing))
        raise RenderingError(f"there is no variable {names} in the context")
    return text
