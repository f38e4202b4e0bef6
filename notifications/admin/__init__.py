"""The domain in Django's admin, one module per kind of thing (docs/admin.md)."""

from notifications.admin import announcements, events, inboxes, keys, state

__all__ = ["announcements", "events", "inboxes", "keys", "state"]
