"""What the admin pages of all the hub's tables share: they look things up, at a bounded cost.

Nothing here writes a notification or an inbox: what has a state is changed by the functions of
`notifications.inbox`, which number the change and tell it to clients.
"""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.http import HttpRequest

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
