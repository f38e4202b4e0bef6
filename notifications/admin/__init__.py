"""The domain in Django's admin, one module per kind of thing (docs/admin.md)."""

from notifications.admin import events, inboxes, state

__all__ = ["events", "inboxes", "state"]
