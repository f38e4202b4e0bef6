"""What holds pushes back, in the admin: pauses, faults, walks of broadcasts, quiet hours."""

from django.contrib import admin

from notifications.admin.base import OfUsers
from routing.push.admin.base import BoundedPaginator, LookOnly, ModelAdmin, trace_link
from routing.push.models import Fault, Pause, Preference, Walk


@admin.register(Pause)
class PauseAdmin(LookOnly, ModelAdmin):
    """Ended by the action of its application."""

    list_display = ("application", "origin", "kind", "reason", "since", "until")
    list_filter = ("kind", "application")
    list_select_related = ("application",)
    search_fields = ("application__name", "origin", "reason")
    ordering = ("-since",)

    def has_delete_permission(self, request: object, obj: object = None) -> bool:
        return False


@admin.register(Fault)
class FaultAdmin(LookOnly, ModelAdmin):
    """Enough of them pause an application; they go with the first push that is taken."""

    paginator = BoundedPaginator
    list_display = ("application", "origin", "user_id", "reason", "at")
    list_filter = ("application",)
    list_select_related = ("application",)
    search_fields = ("=user_id", "origin", "reason")
    ordering = ("-id",)


@admin.register(Walk)
class WalkAdmin(LookOnly, ModelAdmin):
    """How far the push of a broadcast has come; deleting one ends it there."""

    list_display = ("event_id", "traced", "position", "last", "due", "attempts", "last_error")
    search_fields = ("=event__id", "last_error")
    fields = ("traced", "position", "last", "due", "attempts", "last_error")
    readonly_fields = ("traced",)
    ordering = ("-event_id",)

    @admin.display(description="what became of it")
    def traced(self, row: Walk) -> str:
        return trace_link(row.event_id)


@admin.register(Preference)
class PreferenceAdmin(OfUsers):
    list_display = ("user", "quiet_start", "quiet_end", "time_zone")
    list_filter = ("time_zone",)
    ordering = ("-pk",)
