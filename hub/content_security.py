"""Says in every answer what its page may load, so that a text that became HTML could do nothing.

Django brings such a middleware from 6.0 on; this one exists because the hub also runs on 5.2.
"""

from collections.abc import Awaitable, Callable

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponseBase

HEADER = "Content-Security-Policy"

STRICT = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "connect-src": "'self'",
    "manifest-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}

#: A page that others wrote, which shows the API's schema, has some style within itself.
RELAXED = {
    "/api/docs/": {"style-src": "'self' 'unsafe-inline'", "font-src": "'self' data:"},
}


def policy(request: HttpRequest) -> str:
    rules = dict(STRICT)
    for prefix, more in RELAXED.items():
        if request.path_info.startswith(prefix):
            rules |= more
    rules["connect-src"] += _sockets(request)
    return "; ".join(f"{name} {sources}" for name, sources in rules.items())


def _sockets(request: HttpRequest) -> str:
    """Older browsers do not count a WebSocket of the same host as 'self'."""
    try:
        host = request.get_host()
    except DisallowedHost:
        return ""
    return f" ws://{host} wss://{host}"


class ContentSecurityMiddleware:
    """Adds the policy, unless a view has set its own."""

    sync_capable = True
    async_capable = True

    def __init__(
        self, get_response: Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]
    ) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        answer = self.get_response(request)
        if isinstance(answer, HttpResponseBase):
            return self.guarded(request, answer)
        return self.later(request, answer)

    async def later(
        self, request: HttpRequest, answer: Awaitable[HttpResponseBase]
    ) -> HttpResponseBase:
        return self.guarded(request, await answer)

    def guarded(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        # Django's own error pages for developers have their style within themselves.
        if settings.DEBUG and response.status_code in (404, 500):
            return response
        response.headers.setdefault(HEADER, policy(request))
        return response
