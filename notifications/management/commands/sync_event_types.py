"""`manage.py sync_event_types`: copies the declared event types to the database."""

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from notifications import event_types


class Command(BaseCommand):
    help = "Makes the table of event types equal to the declarations; migrate does the same."

    def handle(self, **options: Any) -> None:
        try:
            synced = event_types.sync()
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from None
        for what in ("created", "updated", "deactivated"):
            names = getattr(synced, what)
            self.stdout.write(f"{what}: {', '.join(names) or 'none'}")
