"""The roads in the admin: each registers its own tables, and here is what stands beside both."""

from django.contrib import admin

from notifications.admin.base import OfUsers
from routing.presence import Presence
from routing.push import admin as push_admin

__all__ = ["PresenceAdmin", "push_admin"]


@admin.register(Presence)
class PresenceAdmin(OfUsers):
    """Who is connected until when, and what they have acknowledged."""

    list_display = ["user", "acked", "until"]
    ordering = ["-pk"]
