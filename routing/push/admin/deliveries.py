"""The book of deliveries in the admin."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from routing.push import deliveries
from routing.push.admin.base import ModelAdmin
from routing.push.models import Delivery


@admin.register(Delivery)
class DeliveryAdmin(ModelAdmin):
    list_display = (
        "id", "event_id", "user_id", "device_id", "backend", "application", "state", "attempts",
        "error", "due", "sent_at",
    )  # fmt: skip
    list_filter = ("state", "backend", "application")
    list_select_related = ("application",)
    search_fields = ("=event__id", "=user__id")
    search_help_text = "The id of an event or of a user."
    show_full_result_count = False
    actions = ("retry", "cancel")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Delivery | None = None) -> bool:
        # Read-only, but for the actions.
        return obj is None and super().has_change_permission(request, obj)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        hidden = {"event", "user", "device", "claim"}
        names = [field.name for field in Delivery._meta.fields if field.name not in hidden]
        return ["event_id", "user_id", "device_id", *names]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.get_fields(request, obj)

    @admin.action(description="Try again", permissions=["change"])
    def retry(self, request: HttpRequest, queryset: Any) -> None:
        self.message_user(request, f"{deliveries.retry(queryset)} are due again.")

    @admin.action(description="Cancel", permissions=["change"])
    def cancel(self, request: HttpRequest, queryset: Any) -> None:
        self.message_user(request, f"{deliveries.cancel(queryset)} cancelled.")
