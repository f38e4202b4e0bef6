"""Puts the domain in place: tables filled after migrate, inboxes made with their users."""

from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.db import connections, router
from django.db.models.signals import post_migrate, post_save, pre_delete


class NotificationsConfig(AppConfig):
    name = "notifications"
    # Not "notifications": other packages' tables and migration records bear that label.
    label = "hub_notifications"
    verbose_name = "Notifications"

    def ready(self) -> None:
        from notifications import checks, event_types  # noqa: F401 - registers the checks

        event_types.discover()
        post_migrate.connect(_after_migrate, sender=self, dispatch_uid="hub_after_migrate")
        post_save.connect(
            _make_inbox, sender=settings.AUTH_USER_MODEL, dispatch_uid="hub_make_inbox"
        )
        pre_delete.connect(_withdraw, sender="hub_notifications.Event", dispatch_uid="hub_withdraw")


def _after_migrate(*, using: str, **_: Any) -> None:
    """The hub's one state row, the declared event types, an inbox for whoever has none."""
    from django.contrib.auth import get_user_model

    from notifications import event_types, inbox
    from notifications.models import EventType, HubState, Inbox

    if not router.allow_migrate_model(using, EventType):
        return
    tables = set(connections[using].introspection.table_names())
    if not {EventType._meta.db_table, HubState._meta.db_table, Inbox._meta.db_table} <= tables:
        return  # migrated back to nothing
    HubState.objects.using(using).get_or_create(pk=1)
    event_types.sync(using=using)
    if get_user_model()._meta.db_table in tables:
        inbox.make_missing(using=using)


def _make_inbox(*, instance: Any, created: bool, raw: bool = False, **_: Any) -> None:
    """In the transaction that makes the user: whoever signs up later gets no older broadcast."""
    from notifications import inbox

    if created and not raw:
        inbox.ensure([instance.pk])


def _withdraw(*, instance: Any, using: str, **_: Any) -> None:
    from notifications import inbox

    inbox.withdraw(instance, using=using)
