"""What a template may use of Django's template language: a list of what is allowed.

Templates are written by staff in the admin. What reads files or other templates (`include`,
`extends`, `load`, `debug`), needs a request, makes HTML or can ask for any amount of memory
(`ljust`, `stringformat`, `lorem`) is not on it, and neither is what Django may add one day.
"""

from datetime import datetime
from typing import Any

from django import template
from django.template import defaultfilters, defaulttags
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

TAGS = """
    comment cycle filter firstof for if ifchanged now regroup resetcycle templatetag url verbatim
    widthratio with
"""
FILTERS = """
    add addslashes capfirst cut date default default_if_none dictsort dictsortreversed divisibleby
    filesizeformat first floatformat get_digit iriencode join last length lower make_list
    pluralize slice slugify striptags time timesince timeuntil title truncatechars truncatewords
    upper urlencode wordcount yesno
"""

register = template.Library()
register.tags.update({name: defaulttags.register.tags[name] for name in TAGS.split()})
register.filters.update({name: defaultfilters.register.filters[name] for name in FILTERS.split()})


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
