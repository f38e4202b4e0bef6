"""`{% notification_inbox %}`: the bell or the list of the signed-in user, in any template.
`{% push_switch %}`: the button that turns notifications on and off on their device.

{% load notification_hub %}
{% notification_inbox %}
{% notification_inbox layout="inline" theme="dark" script=False %}
{% push_switch %}
"""

import json
from typing import Any

from django import template
from django.conf import settings
from django.middleware.csrf import get_token
from django.urls import NoReverseMatch, reverse
from django.utils.translation import get_language

from notifications.templatetags.inbox_texts import translated

register = template.Library()

LAYOUTS = ("popover", "inline")


@register.inclusion_tag("notifications/inbox.html", takes_context=True)
def notification_inbox(
    context: template.Context,
    *,
    layout: str = "popover",
    script: bool = True,
    nonce: str = "",
    **attributes: Any,
) -> dict[str, Any]:
    """The component and its script; nothing where nobody is signed in.

    Every other argument becomes an attribute: `base_url="/hub/"` is `base-url="/hub/"`.
    """
    if layout not in LAYOUTS:
        raise template.TemplateSyntaxError(f"layout is one of {', '.join(LAYOUTS)}")
    own = {"layout": layout, "texts": _texts()}
    return _element(context, own, attributes) | {"script": script, "nonce": nonce}


@register.inclusion_tag("notifications/push_switch.html", takes_context=True)
def push_switch(
    context: template.Context, *, script: bool = True, nonce: str = "", **attributes: Any
) -> dict[str, Any]:
    """The button and its script; nothing where nobody is signed in.

    Every other argument becomes an attribute: `device_name="Till 3"` is `device-name="Till 3"`.
    """
    own = {"worker-url": _url("hub-service-worker"), "texts": _texts(push=True)}
    return _element(context, own, attributes) | {"script": script, "nonce": nonce}


def _element(
    context: template.Context, own: dict[str, Any], given: dict[str, Any]
) -> dict[str, Any]:
    """The attributes of one of the elements; None where nobody is signed in."""
    request = context.get("request")
    if request is None:
        raise template.TemplateSyntaxError("the tag needs `request` in the context")
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return {"attributes": None}
    found = own | {"user": user.pk, "api-url": _api(), "lang": get_language(), **_csrf(request)}
    given = {name.replace("_", "-"): value for name, value in given.items()}
    if "base-url" in given:
        found.pop("api-url")
    named = {name: value for name, value in (found | given).items() if value is not None}
    return {"attributes": named}


def _api() -> str | None:
    summary = _url("hub-summary")
    return summary and summary.removesuffix("notifications/summary/")


def _url(name: str) -> str | None:
    try:
        return reverse(name)
    except NoReverseMatch:
        return None


def _csrf(request: Any) -> dict[str, str]:
    """How the script finds the CSRF token; asking for it also makes sure there is a cookie."""
    token = get_token(request)
    if settings.CSRF_USE_SESSIONS or settings.CSRF_COOKIE_HTTPONLY:
        return {"csrf-token": token}
    name = settings.CSRF_COOKIE_NAME
    return {} if name == "csrftoken" else {"csrf-cookie": name}


def _texts(*, push: bool = False) -> str | None:
    texts = translated(push=push)
    return json.dumps(texts, ensure_ascii=False) if texts else None
