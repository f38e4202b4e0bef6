"""`manage.py prune_devices`: deletes devices that have been inactive for long."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from routing.conf import conf
from routing.push import devices


class Command(BaseCommand):
    help = (
        "Deletes devices that logged out, were handed over or that their provider has given up,"
        " when they have been so for long. A worker does it by itself."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--days", type=int, help="inactive for so many days (HUB['INACTIVE_DEVICES'])"
        )

    def handle(self, **options: Any) -> None:
        days = options["days"]
        if days is not None and days < 0:
            raise CommandError("--days must not be negative")
        kept = conf().inactive_devices
        # As of a time at which those of so many days ago are just old enough.
        wanted = kept if days is None else timedelta(days=days)
        removed = devices.prune(at=timezone.now() + kept - wanted)
        self.stdout.write(f"{removed} device{'' if removed == 1 else 's'} deleted.")
