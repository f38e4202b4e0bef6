"""The domain in Django's admin: to look things up, and to end what has to end.

Nothing here writes a notification or an inbox: what has a state is changed by the functions of
`notifications.inbox`, which number the change and tell it to clients.
"""

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from notifications import inbox
from notifications.models import (
    Audience,
    Event,
    EventType,
    Filter,
    HubState,
    IdempotencyKey,
    Inbox,
    Notification,
    RelatedObject,
    Token,
)

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
    TabularInline = admin.TabularInline[Any, Any]
else:
    # Django's own classes take no parameters
    ModelAdmin = admin.ModelAdmin
    TabularInline = admin.TabularInline

BY_USER = f"user__{get_user_model().USERNAME_FIELD}"


class LookOnly:
    """Rows that are shown and not written; not even a superuser is offered a form."""

    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class NoDeletion:
    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


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


@admin.register(Notification)
class NotificationAdmin(LookOnly, ModelAdmin):
    """Deleting leaves a tombstone, and takes the notification off the user's screens."""

    list_display = [
        "event_id",
        "user",
        "type",
        "arrived",
        "version",
        "seen_at",
        "read_at",
        "archived_at",
        "expired_at",
        "deleted_at",
    ]
    list_filter = [
        "event__type",
        ("read_at", admin.EmptyFieldListFilter),
        ("archived_at", admin.EmptyFieldListFilter),
        ("expired_at", admin.EmptyFieldListFilter),
        ("deleted_at", admin.EmptyFieldListFilter),
    ]
    list_select_related = ["user", "event__type"]
    search_fields = [f"={BY_USER}", "=event__id"]
    ordering = ["-id"]

    @admin.display(ordering="event__type")
    def type(self, row: Notification) -> str:
        return row.event.type.name

    def delete_model(self, request: HttpRequest, obj: Notification) -> None:
        inbox.delete(obj.user_id, ids=[obj.event_id])

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Notification]) -> None:
        by_user: dict[Any, list[int]] = defaultdict(list)
        for user_id, event_id in queryset.values_list("user_id", "event_id"):
            by_user[user_id].append(event_id)
        for user_id, ids in sorted(by_user.items()):
            inbox.delete(user_id, ids=ids)


@admin.register(Inbox)
class InboxAdmin(LookOnly, NoDeletion, ModelAdmin):
    list_display = ["user", "version", "unread", "unseen", "total", "floor", "next_expiry"]
    list_filter = ["pushable"]
    list_select_related = ["user"]
    search_fields = [f"={BY_USER}"]
    ordering = ["pk"]


@admin.register(Filter)
class FilterAdmin(LookOnly, ModelAdmin):
    """Deleting one gives the choice back to the event type."""

    list_display = ["user", "type", "channel", "enabled", "changed_at"]
    list_filter = ["type", "channel", "enabled"]
    list_select_related = ["user", "type"]
    search_fields = [f"={BY_USER}"]
    ordering = ["-pk"]


@admin.register(IdempotencyKey)
class IdempotencyKeyAdmin(LookOnly, NoDeletion, ModelAdmin):
    list_display = ["scope", "key", "event_id", "made_at"]
    search_fields = ["=key", "=event_id"]
    ordering = ["-pk"]


@admin.register(HubState)
class HubStateAdmin(LookOnly, NoDeletion, ModelAdmin):
    """A new epoch is begun by `manage.py new_epoch`."""

    list_display = ["epoch", "broadcast"]


@admin.register(Token)
class TokenAdmin(LookOnly, ModelAdmin):
    """Deleting one ends it, and the sockets signed in by it."""

    list_display = ["id", "user", "name", "created_at", "last_used_at"]
    list_filter = ["created_at"]
    list_select_related = ["user"]
    search_fields = [f"={BY_USER}", "name"]
    exclude = ["digest"]
