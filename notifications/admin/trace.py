"""One page per event: its way, for everybody and for one user (docs/admin.md)."""

from collections.abc import Sequence
from typing import Any

from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db import router
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from notifications import tracing
from notifications.admin.base import people
from notifications.models import Audience, Event

#: Who may be told what an event became for somebody.
OF_PEOPLE = "hub_notifications.view_notification"
MOST_STORIES = 5  # users of one search text whose stories are told


def page(model_admin: Any, request: HttpRequest, event_id: int) -> HttpResponse:
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    using = router.db_for_read(Event)
    rows = Event.objects.using(using).select_related("type", "author")
    event = rows.filter(pk=event_id).first() if event_id < 2**63 else None
    if event is None:
        raise Http404("There is no such event.")
    tellers = [one for one in tracing.tellers if request.user.has_perm(one.permission)]
    sections = tracing.of_event(event, using=using)
    for teller in tellers:
        sections += teller.of_event(event, using=using)
    text = request.GET.get("user", "").strip()
    of_people = request.user.has_perm(OF_PEOPLE)
    context = {
        **model_admin.admin_site.each_context(request),
        "title": f"What became of event {event.pk}",
        "opts": model_admin.opts,
        "event": event,
        "sections": sections,
        "untold": len(tellers) < len(tracing.tellers),
        "of_people": of_people,
        "text": text,
        "stories": stories(event, text, tellers, using) if text and of_people else [],
    }
    return TemplateResponse(request, "notifications/admin/trace.html", context)


def stories(
    event: Event, text: str, tellers: Sequence[tracing.Teller], using: str
) -> list[tracing.Story]:
    """What became of it for the users whom the text means."""
    model = get_user_model()
    found = model._default_manager.using(using).in_bulk(people(text)[:MOST_STORIES])
    told = []
    for user in found.values():
        story, notification = tracing.of_user(event, user, using=using)
        for teller in tellers:
            story.happenings += teller.of_user(event, user, notification, using=using)
        if story.happenings and story.verdict == tracing.NOT_ADDRESSED:
            story.verdict = "Pushed to directly, without a place in the inbox."
        # what has no time stays where it was told
        story.happenings.sort(key=lambda one: (one.at is None, one.at or event.timestamp))
        told.append(story)
    return told


def confirm_drop(model_admin: Any, request: HttpRequest, chosen: list[Audience]) -> HttpResponse:
    context = {
        **model_admin.admin_site.each_context(request),
        "title": "Drop parked audiences?",
        "opts": model_admin.opts,
        "chosen": chosen,
        "users": sum(len(row.user_ids) for row in chosen),
        "checkbox": ACTION_CHECKBOX_NAME,
    }
    return TemplateResponse(request, "notifications/admin/drop.html", context)
