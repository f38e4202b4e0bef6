"""Event types, events and what still has to be fanned out, in the admin."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from notifications.admin.base import LookOnly, ModelAdmin, NoDeletion, TabularInline
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
class EventAdmin(LookOnly, ModelAdmin):
    """Deleting one withdraws it from every inbox first, as a change that clients hear of."""

    list_display = ["id", "type", "title", "author", "priority", "timestamp", "expires_at"]
    list_filter = ["type", "priority", "timestamp"]
    list_select_related = ["type", "author"]
    search_fields = ["=id", "title", "tag"]
    inlines = [RelatedObjectInline]


@admin.register(Audience)
class AudienceAdmin(LookOnly, ModelAdmin):
    """What still has to be fanned out. Parked rows have failed often and wait for somebody."""

    list_display = ["id", "event", "everyone", "users", "state", "due", "attempts", "last_error"]
    list_filter = ["state", "lane", "plan_only", "everyone"]
    list_select_related = ["event"]
    search_fields = ["=event__id", "last_error"]
    actions = ["try_again"]

    @admin.display(description="users")
    def users(self, row: Audience) -> int:
        return len(row.user_ids)

    @admin.action(description="Let the worker try again")
    def try_again(self, request: HttpRequest, rows: QuerySet[Audience]) -> None:
        number = rows.parked().update(  # type: ignore[attr-defined]
            state=Audience.State.WAITING, attempts=0, due=timezone.now()
        )
        self.message_user(request, f"{number} waiting again")
