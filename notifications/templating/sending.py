"""send_template(): a send that names a template only, and may turn out not to be wanted."""

from collections.abc import Mapping
from typing import Any

from notifications.errors import TemplateRefused
from notifications.models import Event
from notifications.sending import send_notification
from notifications.templating.wording import find


def send_template(
    users: Any,
    slug: str,
    context: Mapping[str, Any] | None = None,
    *,
    type: str | None = None,
    **more: Any,
) -> Event | None:
    """Sends the template `slug` to `users`, with `more` as `send_notification` takes it.

    The event type is `type`, else the template's, else the one that is named as the slug is.
    Returns the event; None where the template may not be sent: it is inactive, its `can_send`
    says no, or duplicates are not allowed and it was sent for the same related objects.
    Raises what `send_notification` raises otherwise, e.g. `UnknownTemplate`.
    """
    wording = find(slug)
    named = type or wording.base.event_type or wording.base.slug
    try:
        return send_notification(named, users=users, template=wording, context=context, **more)
    except TemplateRefused:
        return None
