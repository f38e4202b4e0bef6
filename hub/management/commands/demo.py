"""`manage.py demo`: people to try the hub with, and a key for Web Push, for `make run`."""

from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from routing.push.applications import ensure_web_push

PASSWORD = "demo"  # noqa: S105 - known to everybody, hence only with DEBUG
PEOPLE = {"alice": False, "bob": False, "admin": True}  # name → superuser?


class Command(BaseCommand):
    help = "Makes the demo users and a key for Web Push where they are missing. Only with DEBUG."

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError("demo makes users whose password is known: only with DEBUG=1")
        for name, superuser in PEOPLE.items():
            make(name, superuser=superuser)
        ensure_web_push()
        names = ", ".join(PEOPLE)
        self.stdout.write(
            "\n"
            f"  Notification hub   http://127.0.0.1:{settings.PORT}\n"
            f"  Log in as          {names} (password: {PASSWORD})\n"
            f"  Admin              http://127.0.0.1:{settings.PORT}/admin/ (as admin)\n"
            "  Stop               Ctrl-C\n"
        )


@transaction.atomic
def make(name: str, *, superuser: bool) -> None:
    """Makes the user unless there is one: whoever has the name keeps their password and inbox."""
    users = get_user_model()._default_manager
    if not users.filter(username=name).exists():
        create = users.create_superuser if superuser else users.create_user
        create(name, password=PASSWORD)
