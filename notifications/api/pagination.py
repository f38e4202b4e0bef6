"""`limit` and `offset`, and the addresses of the next and the previous page."""

import re
from dataclasses import dataclass
from typing import Any

from rest_framework.request import Request
from rest_framework.utils.urls import remove_query_param, replace_query_param

from notifications.errors import InvalidField

DEFAULT_LIMIT = 20
MAX_LIMIT = 200
BIGGEST = 2**53 - 1

INTEGER = re.compile(r"-?[0-9]+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Which part of a list is wanted."""

    limit: int
    offset: int


def window(request: Request) -> Window:
    """`limit` and `offset` of the query string. Raises `InvalidField`."""
    limit = query_integer(request, "limit", least=1)
    offset = query_integer(request, "offset", least=0)
    return Window(
        limit=DEFAULT_LIMIT if limit is None else min(limit, MAX_LIMIT),
        offset=0 if offset is None else offset,
    )


def query_integer(request: Request, name: str, *, least: int) -> int | None:
    """A parameter of the query string; None if it is left out, at most `BIGGEST`.

    Raises `InvalidField` for what is not an integer, or below `least`.
    """
    text = request.query_params.get(name)
    if text is None:
        return None
    if INTEGER.fullmatch(text) is None:
        raise InvalidField.of(name, "must be an integer")
    # so many digits already are beyond any bound, and Python refuses to read thousands of them
    value = min(int(text[:30]), BIGGEST)
    if value < least:
        raise InvalidField.of(name, f"must be at least {least}")
    return value


def links(request: Request, *, part: Window, more: bool) -> dict[str, str | None]:
    """`next` and `previous` of a list that is paged by `offset`."""
    here = replace_query_param(request.build_absolute_uri(), "limit", str(part.limit))
    following = previous = None
    if more:
        following = replace_query_param(here, "offset", str(part.offset + part.limit))
    if part.offset > part.limit:
        previous = replace_query_param(here, "offset", str(part.offset - part.limit))
    elif part.offset:
        previous = remove_query_param(here, "offset")
    return {"next": following, "previous": previous}


def links_before(
    request: Request, *, part: Window, results: list[dict[str, Any]], more: bool
) -> dict[str, str | None]:
    """The same for a list that is paged by `before`, which only goes on."""
    following = None
    if more and results:
        here = remove_query_param(request.build_absolute_uri(), "offset")
        here = replace_query_param(here, "limit", str(part.limit))
        following = replace_query_param(here, "before", str(results[-1]["id"]))
    return {"next": following, "previous": None}
