"""Browsers: the service worker they are pushed to, and the end of a session in one of them.

The worker must come from the page's own origin, and best from its root:

    path("service-worker.js", service_worker, name="hub-service-worker")

The words it shows where a push brings none, and its pictures, stand in the path:

    path("service-worker.js", service_worker, {"title": "Example", "icon": "/static/icon.png"})
"""

import hashlib
import json
from functools import cache
from importlib import resources
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.middleware.csrf import get_token
from django.urls import reverse
from django.utils.cache import get_conditional_response
from django.utils.http import quote_etag
from django.views.decorators.http import require_safe

from routing.push import devices
from routing.push.models import Device

#: A worker may do what its own answer allows it, not what the page's does. Pictures of
#: notifications come from wherever their senders keep them.
POLICY = "default-src 'none'; script-src 'self'; connect-src 'self'; img-src https: http: data:"

#: Which device the browser of a session is, in that session.
IN_SESSION = "hub_push_device"


@cache
def _script() -> str:
    file = resources.files("notifications") / "static" / "notifications" / "service-worker.js"
    return file.read_text("utf-8")


@require_safe
def service_worker(
    request: HttpRequest, *, title: str = "", icon: str = "", badge: str = "", home: str = ""
) -> HttpResponseBase:
    """The script with what it must know of this project; with `?csrf` the caller's CSRF token.

    Workers see no document, and not every browser lets them read cookies. Pages of other origins
    cannot read the answer, as with every form that holds the token.

    `title` is shown where a push brings none, `icon` and `badge` (Android's status bar) are URLs of
    pictures, `home` is what a click opens that names nothing; left out: the root.
    """
    if "csrf" in request.GET:
        found = JsonResponse({"token": get_token(request)})
        found.headers["Cache-Control"] = "no-store"
        found.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        return found
    known = {
        "api": reverse("hub-summary").removesuffix("notifications/summary/"),
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


def remember(request: Any, device: Device) -> None:
    """Notes that the browser of this session is this device."""
    session = getattr(request, "session", None)
    if session is not None and device.backend == "webpush" and session.get(IN_SESSION) != device.pk:
        session[IN_SESSION] = device.pk


def signed_out(request: Any, user: Any) -> None:
    """Whoever uses this browser next must not see what is pushed to the one before; pushes go on
    when that one is back. Django's signal comes before the session is flushed."""
    session = getattr(request, "session", None)
    device_id = session.get(IN_SESSION) if session is not None else None
    if not isinstance(device_id, int):
        return
    found = Device.objects.filter(pk=device_id, user=user.pk, active=True).first()
    if found is not None:
        devices.change(found, active=False)
