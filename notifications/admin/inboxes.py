"""Inboxes and what stands in them, in the admin."""

from collections import defaultdict
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from notifications import inbox
from notifications.admin.base import (
    Large,
    NoDeletion,
    OfUsers,
    trace_link,
)
from notifications.models import Filter, Inbox, Notification


@admin.register(Notification)
class NotificationAdmin(Large):
    """Deleting leaves a tombstone, and takes the notification off the user's screens."""

    list_display = [
        "event_id",
        "user",
        "type",
        "traced",
        "arrived",
        "arrived_at",
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
    readonly_fields = ["traced"]

    @admin.display(description="what became of it")
    def traced(self, row: Notification) -> str:
        return trace_link(row.event_id, row.user_id)

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
class InboxAdmin(NoDeletion, OfUsers):
    list_display = ["user", "version", "unread", "unseen", "total", "floor", "next_expiry"]
    list_filter = ["pushable"]
    ordering = ["-pk"]


@admin.register(Filter)
class FilterAdmin(OfUsers):
    """Deleting one gives the choice back to the event type."""

    list_display = ["user", "type", "channel", "enabled", "changed_at"]
    list_filter = ["type", "channel", "enabled"]
    list_select_related = ("user", "type")
    search_help_text = "A user's name, e-mail address or id, or an event type's name."
    ordering = ["-pk"]

    def search_of(self, text: str) -> Q:
        return super().search_of(text) | Q(type__name=text)
