"""The book of deliveries in the admin."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest

from routing.push import deliveries
from routing.push.admin.base import Acts, Large, id_of, log, people, trace_link
from routing.push.models import Delivery

State = Delivery.State
#: What may be tried again.
ENDED = (State.ERROR, State.EXPIRED, State.CANCELLED, State.SKIPPED)

LOOKED_AT = 10_000  # failed deliveries of which the filter lists the errors
LISTED = 20  # errors in the filter
MOST = 10_000  # deliveries changed by one action, and named in the history


class ErrorFilter(admin.SimpleListFilter):
    """The most frequent errors among the newest failed deliveries, in the provider's words."""

    title = "error"
    parameter_name = "error"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        # sorted by key: no index knows the errors, and the newest say what is wrong now
        newest = Delivery.objects.order_by("-pk").values_list("error", flat=True)[:LOOKED_AT]
        counts: dict[str, int] = {}
        for error in newest:
            if error:
                counts[error] = counts.get(error, 0) + 1
        often = sorted(counts, key=lambda error: (-counts[error], error))[:LISTED]
        return [(error, error) for error in often]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(error=self.value()) if self.value() else queryset


@admin.register(Delivery)
class DeliveryAdmin(Acts, Large):
    list_display = (
        "id", "traced", "user", "device_shown", "backend", "application", "state", "attempts",
        "status", "error", "due", "sent_at",
    )  # fmt: skip
    list_filter = ("state", "backend", "application", "direct", ErrorFilter)
    list_select_related = ("application", "user")
    actions = ("retry", "cancel")
    hidden: ClassVar = {"event", "user", "device", "claim"}

    @admin.display(description="event", ordering="event_id")
    def traced(self, row: Delivery) -> str:
        return trace_link(row.event_id, row.user_id)

    @admin.display(description="device")
    def device_shown(self, row: Delivery) -> str:
        return str(row.device_id) if row.device_id is not None else (row.recipient or "deleted")

    def get_search_results(
        self, request: HttpRequest, queryset: Any, search_term: str
    ) -> tuple[Any, bool]:
        text = search_term.strip()
        if not text:
            return queryset, False
        found = Q(user__in=people(text))
        if (number := id_of(text)) is not None:
            found |= Q(event=number)
        return queryset.filter(found), False

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        names = [field.name for field in Delivery._meta.fields if field.name not in self.hidden]
        return ["traced", "user_id", "device_id", *names]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.get_fields(request, obj)

    @admin.action(description="Try again", permissions=["act"])
    def retry(self, request: HttpRequest, queryset: Any) -> None:
        rows = list(queryset.filter(state__in=ENDED).order_by("-pk")[:MOST])
        number = deliveries.retry(Delivery.objects.filter(pk__in=[row.pk for row in rows]))
        log(request, rows, "Made due again.")
        self.message_user(request, f"{number} are due again.")

    @admin.action(description="Cancel", permissions=["act"])
    def cancel(self, request: HttpRequest, queryset: Any) -> None:
        rows = list(queryset.waiting().order_by("-pk")[:MOST])
        number = deliveries.cancel(Delivery.objects.filter(pk__in=[row.pk for row in rows]))
        log(request, rows, "Cancelled.")
        self.message_user(request, f"{number} cancelled.")
