"""What a template may use of Django's template language: a list of what is allowed.

Templates are written by staff in the admin. What reads files or other templates (`include`,
`extends`, `load`, `debug`), needs a request, or makes HTML is not on it, and neither is what Django
may add one day. What is there costs a bounded time and memory, whatever the text says: loops end,
and no filter makes a short text a long one (`ljust`, `stringformat`, `addslashes` in a row).
"""

from datetime import datetime
from typing import Any

from django import template
from django.template import defaultfilters, defaulttags
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from notifications.templating.engine import RenderingError

MAX_TURNS = 1_000  # of all loops of one text together
MAX_JOINED = 10_000  # characters
MAX_DECIMALS = 30

TAGS = """
    comment cycle filter firstof if ifchanged now regroup resetcycle templatetag url verbatim
    widthratio with
"""
FILTERS = """
    capfirst cut date default default_if_none dictsort dictsortreversed divisibleby filesizeformat
    first get_digit iriencode last length lower make_list pluralize slice slugify striptags time
    timesince timeuntil title truncatechars truncatewords upper urlencode wordcount yesno
"""

register = template.Library()
register.tags.update({name: defaulttags.register.tags[name] for name in TAGS.split()})
register.filters.update({name: defaultfilters.register.filters[name] for name in FILTERS.split()})


class _Turn(template.Node):
    """Stands first in the body of a loop."""

    def render(self, context: Any) -> str:
        context.turns = getattr(context, "turns", 0) + 1
        if context.turns > MAX_TURNS:
            raise RenderingError(f"its loops have more than {MAX_TURNS} turns")
        return ""


@register.tag("for")
def loop(parser: Any, token: Any) -> template.Node:
    """Django's own loop, of so many turns."""
    node: Any = defaulttags.do_for(parser, token)
    node.nodelist_loop.insert(0, _Turn())
    found: template.Node = node
    return found


@register.filter
def add(value: Any, more: Any) -> Any:
    """The sum of two numbers; Django's own also doubles texts and lists."""
    try:
        return int(value) + int(more)
    except (TypeError, ValueError):
        return ""


@register.filter
def join(values: Any, between: Any) -> str:
    """Django's own, of so many characters."""
    texts, separator = [str(value) for value in values], str(between)
    if sum(map(len, texts)) + len(separator) * len(texts) > MAX_JOINED:
        raise RenderingError(f"join makes more than {MAX_JOINED} characters")
    return separator.join(texts)


@register.filter(is_safe=True)
def floatformat(value: Any, decimals: Any = -1) -> Any:
    """Django's own, of so many decimals."""
    try:
        wanted = abs(int(str(decimals).rstrip("gu") or -1))
    except ValueError:
        wanted = 0  # nonsense, which Django's own answers
    if wanted > MAX_DECIMALS:
        raise RenderingError(f"floatformat gives at most {MAX_DECIMALS} decimals")
    return defaultfilters.floatformat(value, decimals)


@register.filter
def moment(value: Any) -> Any:
    """ISO 8601 text as a time for the filters `date`, `time`, `timesince` and `timeuntil`.

    A context is JSON, which has no times. What is no such text stays as it is.
    """
    try:
        found = parse_datetime(value) or parse_date(value)
    except (TypeError, ValueError):
        return value
    if isinstance(found, datetime) and timezone.is_aware(found):
        return timezone.localtime(found)
    return value if found is None else found
