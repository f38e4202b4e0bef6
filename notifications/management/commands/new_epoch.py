"""`manage.py new_epoch`: a step of restoring a backup."""

from typing import Any

from django.core.management.base import BaseCommand

from notifications import inbox


class Command(BaseCommand):
    help = "Begins a new epoch, so that no client goes on from what a restored database forgot."

    def handle(self, **options: Any) -> None:
        self.stdout.write(f"The epoch is now {inbox.new_epoch()}.")
        self.stdout.write(
            "Every cursor that a client still holds is answered by a reset: clients load their"
            " lists anew, by themselves."
        )
