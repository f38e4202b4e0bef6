"""`manage.py rotate_credentials`: encrypts stored credentials anew, with the newest key."""

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from routing.push import applications


class Command(BaseCommand):
    help = (
        "Encrypts the credentials of all applications with the newest of HUB['CREDENTIAL_KEYS']."
        " After it the older keys can be taken out."
    )

    def handle(self, **options: Any) -> None:
        try:
            turned, unreadable = applications.rotate_credentials()
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{turned} encrypted anew.")
        if unreadable:
            raise CommandError(
                f"not readable with any of the keys: {', '.join(unreadable)}; keep their key, or"
                " give these applications their credentials again"
            )
