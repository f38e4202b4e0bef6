"""Devices in the admin: a token shows as its short hash."""

import re
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponseRedirect

from routing.push import devices, direct
from routing.push.admin.base import ModelAdmin
from routing.push.models import Device

SHORT = 12  # characters of a hash that are shown
HASH = re.compile(r"[0-9a-f]{12,64}", re.ASCII)


@admin.register(Device)
class DeviceAdmin(ModelAdmin):
    list_display = (
        "id", "user", "backend", "application", "token_shown", "name", "type", "active", "reason",
        "suspended_for", "last_used_at", "created_at",
    )  # fmt: skip
    list_filter = ("backend", "application", "active", "type", "reason")
    list_select_related = ("user", "application")
    search_fields = ("name",)
    search_help_text = "A name, a user name, a whole token, or its short hash."
    actions = ("activate", "deactivate", "send_test")
    fields = readonly_fields = (
        "user", "backend", "application", "environment", "token_shown", "origin", "name", "type",
        "client_id", "app_version", "os_version", "locale", "time_zone", "active", "live", "reason",
        "created_at", "registered_at", "last_used_at", "deactivated_at", "suspended_until",
        "suspended_for",
    )  # fmt: skip

    @admin.display(description="token")
    def token_shown(self, row: Device) -> str:
        return row.short_hash

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Device | None = None) -> bool:
        return super().has_change_permission(request, obj)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """The search comes by POST, and what it is sent on to names a token by its hash: a token
        must not stand in a URL, and so in links, histories and logs."""
        given = request.POST.get("search")
        text = (request.GET.get("q", "") if given is None else given).strip()
        if self.has_view_or_change_permission(request) and (text or given is not None):
            hashed = devices.hash_of(text)
            is_token = Device.objects.filter(token_hash=hashed).exists()
            if is_token or given is not None:
                wanted = request.GET.copy()
                wanted.pop("p", None)  # the page of another search
                wanted["q"] = hashed[:SHORT] if is_token else text
                return HttpResponseRedirect(f"{request.path}?{wanted.urlencode()}")
        return super().changelist_view(request, extra_context)

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Device]", search_term: str
    ) -> tuple["QuerySet[Device]", bool]:
        text = search_term.strip()
        if not text:
            return queryset, False
        name = f"user__{get_user_model().USERNAME_FIELD}__icontains"
        found = Q(name__icontains=text) | Q(**{name: text})
        if HASH.fullmatch(text):
            found |= Q(token_hash__startswith=text)
        return queryset.filter(found), False

    def delete_model(self, request: HttpRequest, obj: Device) -> None:
        devices.remove(obj)

    def delete_queryset(self, request: HttpRequest, queryset: "QuerySet[Device]") -> None:
        for row in queryset:
            devices.remove(row)

    @admin.action(description="Activate", permissions=["change"])
    def activate(self, request: HttpRequest, queryset: "QuerySet[Device]") -> None:
        done, elsewhere = 0, 0
        for row in queryset:
            try:
                devices.change(row, active=True)
                done += 1
            except devices.TokenElsewhere:
                elsewhere += 1
        self.message_user(request, f"{done} activated.")
        if elsewhere:
            text = f"{elsewhere} not: their tokens belong to other devices now."
            self.message_user(request, text, messages.WARNING)

    @admin.action(description="Deactivate", permissions=["change"])
    def deactivate(self, request: HttpRequest, queryset: "QuerySet[Device]") -> None:
        for row in queryset:
            devices.change(row, active=False)
        self.message_user(request, f"{len(queryset)} deactivated.")

    @admin.action(description="Send a test message", permissions=["change"])
    def send_test(self, request: HttpRequest, queryset: "QuerySet[Device]") -> None:
        results = direct.send_message(queryset, "This is a test.", title="Test")
        if results.event is None:
            reasons = sorted({result.reason for result in results}) or ["no active device"]
            self.message_user(request, f"Nothing sent: {', '.join(reasons)}", messages.ERROR)
            return
        self.message_user(request, f"{results.waiting} planned, as event {results.event.pk}.")
