"""Event types, events and what still has to be fanned out, in the admin."""

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from notifications import left_out
from notifications.admin import trace
from notifications.admin.base import (
    Acts,
    Large,
    LookOnly,
    ModelAdmin,
    NoDeletion,
    TabularInline,
    id_of,
    log,
    people,
    trace_link,
)
from notifications.models import Audience, Event, EventType, RelatedObject


@admin.register(EventType)
class EventTypeAdmin(LookOnly, NoDeletion, ModelAdmin):
    """Declared in code and copied by `migrate` and `sync_event_types`."""

    list_display = ["name", "title", "critical", "inbox", "live", "push", "priority", "active"]
    list_filter = ["active", "critical", "priority"]
    search_fields = ["name", "title", "description"]


class RelatedObjectInline(LookOnly, NoDeletion, TabularInline):
    model = RelatedObject
    extra = 0

    def get_queryset(self, request: HttpRequest) -> QuerySet[RelatedObject]:
        return super().get_queryset(request).select_related("content_type")


@admin.register(Event)
class EventAdmin(Large):
    """Composed as announcements. Deleting one withdraws it from every inbox first, as a change
    that clients hear of."""

    list_display = [
        "id",
        "type",
        "title",
        "author",
        "priority",
        "timestamp",
        "expires_at",
        "traced",
    ]
    list_filter = ["type", "priority", "timestamp"]
    list_select_related = ["type", "author"]
    search_help_text = "An event's id or tag, or the beginning of its title, or its author."
    inlines = [RelatedObjectInline]
    readonly_fields = ["traced"]

    @admin.display(description="what became of it")
    def traced(self, row: Event) -> str:
        return trace_link(row.pk) if row.pk else ""

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Any]", search_term: str
    ) -> tuple["QuerySet[Any]", bool]:
        text = search_term.strip()
        if not text:
            return queryset, False
        found = Q(tag=text) | Q(title__istartswith=text) | Q(author__in=people(text))
        if (number := id_of(text)) is not None:
            found |= Q(pk=number)
        return queryset.filter(found), False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # An inline asks with its event; those are never added.
        return obj is None and request.user.has_perm("hub_notifications.add_event")

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:hub_notifications_announcement_add"))

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.trace)
        return [
            path("<int:event_id>/trace/", view, name="hub_notifications_event_trace"),
            *super().get_urls(),
        ]

    def trace(self, request: HttpRequest, event_id: int) -> HttpResponse:
        return trace.page(self, request, event_id)


@admin.register(Audience)
class AudienceAdmin(Acts, LookOnly, ModelAdmin):
    """What still has to be fanned out. Parked rows have failed often and wait for somebody."""

    list_display = [
        "id",
        "traced",
        "everyone",
        "users",
        "state",
        "plan_only",
        "due",
        "attempts",
        "last_error",
    ]
    list_filter = ["state", "lane", "plan_only", "everyone"]
    search_fields = ["last_error"]
    search_help_text = "An event's id, or a part of the last error."
    actions = ["try_again", "drop"]
    fields: ClassVar[Any] = [
        "traced",
        "everyone",
        "users",
        "user_ids",
        "plan_only",
        "lane",
        "state",
        "due",
        "attempts",
        "last_error",
    ]
    readonly_fields: ClassVar[Any] = fields
    ordering = ["-id"]

    @admin.display(description="event", ordering="event_id")
    def traced(self, row: Audience) -> str:
        return trace_link(row.event_id)

    @admin.display(description="users")
    def users(self, row: Audience) -> int:
        return len(row.user_ids)

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Any]", search_term: str
    ) -> tuple["QuerySet[Any]", bool]:
        text = search_term.strip()
        found = Q(last_error__icontains=text)
        if (number := id_of(text)) is not None:
            found |= Q(event=number)
        return (queryset.filter(found) if text else queryset), False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # What still waits is not dropped: it would leave out people whom nobody counts.
        parked = obj is None or obj.state == Audience.State.PARKED
        return super().has_delete_permission(request, obj) and parked

    def get_actions(self, request: HttpRequest) -> Any:
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    @admin.action(description="Let the worker try again", permissions=["act"])
    def try_again(self, request: HttpRequest, rows: QuerySet[Audience]) -> None:
        chosen = list(rows.filter(state=Audience.State.PARKED))
        number = Audience.objects.filter(
            pk__in=[row.pk for row in chosen], state=Audience.State.PARKED
        ).update(state=Audience.State.WAITING, attempts=0, due=timezone.now())
        log(request, chosen, "Let the worker try again.")
        self.message_user(request, f"{number} waiting again.")

    @admin.action(description="Drop parked audiences", permissions=["delete"])
    def drop(self, request: HttpRequest, rows: QuerySet[Audience]) -> HttpResponse | None:
        chosen = list(rows.filter(state=Audience.State.PARKED))
        if not chosen:
            self.message_user(request, "None of these is parked.", messages.WARNING)
            return None
        if request.POST.get("confirm") != "yes":
            return trace.confirm_drop(self, request, chosen)
        with transaction.atomic():
            log(request, chosen, "Dropped: its users will not get the event.")
            for row in chosen:
                left_out.dropped(row, using=row._state.db or DEFAULT_DB_ALIAS)
            Audience.objects.filter(
                pk__in=[row.pk for row in chosen], state=Audience.State.PARKED
            ).delete()
        self.message_user(request, f"{len(chosen)} dropped.")
        return None
