"""Templates that are sent once only for the same related objects, also by two senders at once."""

import hashlib
import json
from collections.abc import Iterable

from django.db.models import Count

from notifications.errors import TemplateRefused
from notifications.models import Event, IdempotencyKey, RelatedObject

SCOPE = "template"  # of the keys: neither server code's nor a caller's of REST


def claim(event: Event, links: Iterable[tuple[int, str]], *, using: str) -> None:
    """Makes this event the one of its template for these objects, in the transaction that stores
    it, before its links are. Raises `TemplateRefused` where there is another one.

    Whoever does the same at the same time waits for the key's row. When retention has removed
    that, the links still tell.
    """
    wanted = sorted(links)
    named = json.dumps([event.template, wanted]).encode()
    key = hashlib.sha256(named).hexdigest()
    rows = IdempotencyKey.objects.using(using)
    rows.bulk_create(
        [IdempotencyKey(scope=SCOPE, key=key, event_id=event.pk)], ignore_conflicts=True
    )
    first = rows.get(scope=SCOPE, key=key).event_id == event.pk
    earlier = Event.objects.using(using).from_template(event.template)
    earlier = earlier.annotate(links=Count("related_objects")).filter(links=len(wanted))
    for content_type, object_id in wanted:
        linked = RelatedObject.objects.using(using).filter(
            content_type=content_type, object_id=object_id
        )
        earlier = earlier.filter(pk__in=linked.values("event_id"))
    if not first or earlier.exclude(pk=event.pk).exists():
        raise TemplateRefused(
            f"The template {event.template!r} was sent already for the same related objects."
        )
