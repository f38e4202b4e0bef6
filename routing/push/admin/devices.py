"""Devices in the admin: a token shows as its short hash."""

import re
from collections import Counter
from typing import Any

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponseRedirect
from django.utils.html import format_html

from routing.push import devices, direct
from routing.push.admin.base import BoundedPaginator, ModelAdmin, log, people, trace_link
from routing.push.models import Device
from routing.push.results import Result, Results

SHORT = 12  # characters of a hash that are shown
MOST_ALONE = 20  # devices that are sent to with a line for each
MOST_TOGETHER = 500  # devices that one request sends to
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
    search_help_text = (
        "A name; a user's name, e-mail address or id; a whole token, or its short hash."
    )
    actions = ("send_test", "send_test_in_bulk", "activate", "deactivate")
    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
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
        found = Q(name__icontains=text) | Q(user__in=people(text))
        if HASH.fullmatch(text):
            found |= Q(token_hash__startswith=text)
        return queryset.filter(found), False

    def delete_model(self, request: HttpRequest, obj: Device) -> None:
        devices.remove(obj)

    def delete_queryset(self, request: HttpRequest, queryset: "QuerySet[Device]") -> None:
        for row in queryset:
            devices.remove(row)

    @admin.action(description="Enable", permissions=["change"])
    def activate(self, request: HttpRequest, queryset: "QuerySet[Device]") -> None:
        done, elsewhere = [], 0
        for row in queryset:
            try:
                done.append(devices.change(row, active=True))
            except devices.TokenElsewhere:
                elsewhere += 1
        log(request, done, "Enabled.")
        self.message_user(request, f"{len(done)} enabled.")
        if elsewhere:
            text = f"{elsewhere} not: their tokens belong to other devices now."
            self.message_user(request, text, messages.WARNING)

    @admin.action(description="Disable", permissions=["change"])
    def deactivate(self, request: HttpRequest, queryset: "QuerySet[Device]") -> None:
        done = [devices.change(row, active=False) for row in queryset]
        log(request, done, "Disabled.")
        self.message_user(request, f"{len(done)} disabled.")

    @admin.action(description="Send a test message", permissions=["change"])
    def send_test(self, request: HttpRequest, queryset: "QuerySet[Device]") -> None:
        """At once, each on its own, with a line for each."""
        for row in self._chosen(request, queryset, most=MOST_ALONE):
            results = self._send(request, [row])
            for result in results:
                about = f": {result.reason}" if result.reason else ""
                self.message_user(request, f"{row}: {result.state}{about}", _level(result))
            self._lead_on(request, results)

    @admin.action(description="Send a test message in bulk", permissions=["change"])
    def send_test_in_bulk(self, request: HttpRequest, queryset: "QuerySet[Device]") -> None:
        """At once, all in one call, with counts by outcome."""
        chosen = self._chosen(request, queryset, most=MOST_TOGETHER)
        results = self._send(request, chosen)
        if not results:
            return
        kinds = Counter((result.state, result.reason) for result in results)
        parts = [
            f"{number} {state}" + (f" ({reason})" if reason else "")
            for (state, reason), number in kinds.most_common()
        ]
        worst = max(map(_level, results))
        said = "All were sent" if results.sent == len(results) else f"{results.sent} were sent"
        self.message_user(request, f"{said}, of {len(results)}: {'; '.join(parts)}.", worst)
        self._lead_on(request, results)

    def _chosen(
        self, request: HttpRequest, queryset: "QuerySet[Device]", *, most: int
    ) -> list[Device]:
        rows = list(queryset[: most + 1])
        if len(rows) <= most:
            return rows
        text = f"Nothing sent: at most {most} at a time, so that this page comes back."
        self.message_user(request, text, messages.ERROR)
        return []

    def _send(self, request: HttpRequest, rows: list[Device]) -> Results:
        # As a list: of a queryset the inactive ones would be passed over in silence.
        log(request, rows, "Sent a test message.")
        return direct.send_message(rows, "This is a test.", title="Test", send_immediately=True)

    def _lead_on(self, request: HttpRequest, results: Results) -> None:
        if results.event is not None and results.waiting:
            text = "What is still waiting is sent by the worker: {}"
            self.message_user(request, format_html(text, trace_link(results.event.pk)))


def _level(result: Result) -> int:
    if result.is_failed:
        return messages.ERROR
    return messages.SUCCESS if result.is_sent else messages.WARNING
