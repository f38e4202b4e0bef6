"""How often somebody may try passwords at the log-in pages: the hub's own, and the admin's."""

import math
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render

from notifications.api.passwords import Tries

View = Callable[..., HttpResponseBase]


def throttled(view: View) -> View:
    """For a log-in view: 429 with a page after too many tries of one address or one name failed.

    Which were right is told by the redirect that follows them.
    """

    @wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **options: Any) -> HttpResponseBase:
        if request.method != "POST":
            return view(request, *args, **options)
        tries = Tries(request, request.POST.get("username", ""))
        wait = tries.take()
        if wait is not None:
            return _too_many(request, wait)
        answer = view(request, *args, **options)
        if 300 <= answer.status_code < 400:
            tries.give_back()
        return answer

    return wrapped


def _too_many(request: HttpRequest, wait: float) -> HttpResponse:
    # a whole number, and never one that is over too early
    seconds = max(math.ceil(wait), 1)
    answer = render(request, "hub/too_many_tries.html", {"seconds": seconds}, status=429)
    answer["Retry-After"] = str(seconds)
    return answer
