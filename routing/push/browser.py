"""Serves the service worker, which must come from the page's own origin, and best from its root.

    path("service-worker.js", service_worker, name="hub-service-worker")

The words it shows where a push brings none, and its pictures, stand in the path:

    path("service-worker.js", service_worker, {"title": "Example", "icon": "/static/icon.png"})
"""

import hashlib
import json
from functools import cache
from importlib import resources

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.cache import get_conditional_response
from django.utils.http import quote_etag
from django.views.decorators.http import require_safe

#: A worker may do what its own answer allows it, not what the page's does. Pictures of
#: notifications come from wherever their senders keep them.
POLICY = "default-src 'none'; script-src 'self'; connect-src 'self'; img-src https: http: data:"


@cache
def _script() -> str:
    file = resources.files("notifications") / "static" / "notifications" / "service-worker.js"
    return file.read_text("utf-8")


@require_safe
def service_worker(
    request: HttpRequest, *, title: str = "", icon: str = "", badge: str = "", home: str = ""
) -> HttpResponseBase:
    """The script with what it must know of this project.

    `title` is shown where a push brings none, `icon` and `badge` (Android's status bar) are URLs of
    pictures, `home` is what a click opens that names nothing; left out: the root.
    """
    known = {
        "api": reverse("hub-summary").removesuffix("notifications/summary/"),
        # Where no script can read it, pages do what needs it.
        "csrfCookie": settings.CSRF_COOKIE_NAME,
        "title": title,
        "icon": icon,
        "badge": badge,
        "home": home,
    }
    given = json.dumps({name: value for name, value in known.items() if value})
    body = f"self.HUB_PUSH = {given};\n{_script()}".encode()
    etag = quote_etag(hashlib.sha256(body).hexdigest()[:32])
    headers = {
        "ETag": etag,
        # Asked for each time, so that a new one is in use by the next page load.
        "Cache-Control": "no-cache",
        # Served from anywhere, it may be in charge of the whole origin.
        "Service-Worker-Allowed": "/",
        "Content-Security-Policy": POLICY,
        "X-Content-Type-Options": "nosniff",
    }
    answer = HttpResponse(body, content_type="text/javascript; charset=utf-8", headers=headers)
    return get_conditional_response(request, etag=etag, response=answer) or answer
