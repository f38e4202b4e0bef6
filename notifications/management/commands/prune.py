"""`manage.py prune`: applies retention now; the worker does the same every hour."""

from typing import Any

from django.core.management.base import BaseCommand

from notifications import inbox

SENTENCES = {
    "deleted": "old notifications deleted",
    "purged": "old tombstones purged",
    "orphans": "rows of users who are gone removed",
    "events": "old events removed",
    "keys": "old idempotency keys removed",
}


class Command(BaseCommand):
    help = "Deletes old notifications and removes old tombstones, events and idempotency keys."

    def handle(self, **options: Any) -> None:
        for what, number in inbox.prune().items():
            self.stdout.write(f"{number:>8,} {SENTENCES.get(what, what)}")
