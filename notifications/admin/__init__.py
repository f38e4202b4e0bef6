"""The domain in Django's admin, one module per kind of thing (docs/admin.md)."""

from notifications.admin import announcements, events, inboxes, keys, state, templates

__all__ = ["announcements", "events", "inboxes", "keys", "state", "templates"]
