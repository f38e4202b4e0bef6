"""`{% notification_inbox %}`: the bell or the list of the signed-in user, in any template.

{% load notification_hub %}
{% notification_inbox %}
{% notification_inbox layout="inline" theme="dark" script=False %}
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
    request = context.get("request")
    if request is None:
        raise template.TemplateSyntaxError("notification_inbox needs `request` in the context")
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return {"attributes": None}
    found = {
        "layout": layout,
        "user": user.pk,
        "api-url": _api(),
        "texts": _texts(),
        "lang": get_language(),
        **_csrf(request),
    }
    given = {name.replace("_", "-"): value for name, value in attributes.items()}
    if "base-url" in given:
        found.pop("api-url")
    attributes = {name: value for name, value in (found | given).items() if value is not None}
    return {"attributes": attributes, "script": script, "nonce": nonce}


def _api() -> str | None:
    try:
        summary = reverse("hub-summary")
    except NoReverseMatch:
        return None
    return summary.removesuffix("notifications/summary/")


def _csrf(request: Any) -> dict[str, str]:
    """How the script finds the CSRF token; asking for it also makes sure there is a cookie."""
    token = get_token(request)
    if settings.CSRF_USE_SESSIONS or settings.CSRF_COOKIE_HTTPONLY:
        return {"csrf-token": token}
    name = settings.CSRF_COOKIE_NAME
    return {} if name == "csrftoken" else {"csrf-cookie": name}


def _texts() -> str | None:
    texts = translated()
    return json.dumps(texts, ensure_ascii=False) if texts else None
