"""The hub's own rows in the admin: keys, tokens and its state."""

from django.contrib import admin
from django.db.models import Q

from notifications.admin.base import BoundedPaginator, LookOnly, ModelAdmin, NoDeletion, OfUsers
from notifications.models import HubState, IdempotencyKey, Imported, Token


@admin.register(IdempotencyKey)
class IdempotencyKeyAdmin(LookOnly, NoDeletion, ModelAdmin):
    paginator = BoundedPaginator
    list_display = ["scope", "key", "event_id", "made_at"]
    search_fields = ["=key", "=event_id"]
    ordering = ["-pk"]


@admin.register(Imported)
class ImportedAdmin(LookOnly, ModelAdmin):
    """Deleting one lets `manage.py import_from` import that row again."""

    list_display = ["source", "key", "object_id"]
    search_fields = ["=key", "=object_id"]
    ordering = ["-pk"]


@admin.register(HubState)
class HubStateAdmin(LookOnly, NoDeletion, ModelAdmin):
    """A new epoch is begun by `manage.py new_epoch`."""

    list_display = ["epoch", "broadcast"]


@admin.register(Token)
class TokenAdmin(OfUsers):
    """Deleting one ends it, and the sockets signed in by it."""

    list_display = ["id", "user", "name", "created_at", "last_used_at"]
    list_filter = ["created_at"]
    list_select_related = ["user"]
    search_help_text = "A user's name, e-mail address or id, or the token's name."
    ordering = ["-pk"]
    exclude = ["digest"]

    def search_of(self, text: str) -> Q:
        return super().search_of(text) | Q(name__icontains=text)
