"""`manage.py service_keys`: makes, lists and revokes the keys of other programs."""

from argparse import ArgumentParser
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from notifications import service_keys
from notifications.errors import HubError
from notifications.models import ServiceKey
from notifications.representation import moment


class Command(BaseCommand):
    help = "Makes, lists and revokes service keys: with one another program calls the REST API."

    def add_arguments(self, parser: ArgumentParser) -> None:
        what = parser.add_subparsers(dest="what", metavar="make | list | revoke", required=True)
        make = what.add_parser("make", help="prints a new key, this once")
        make.add_argument("name", help="whose key it is, for people")
        make.add_argument(
            "--scope",
            action="append",
            default=[],
            choices=list(service_keys.SCOPES),
            help="; ".join(f"{name}: {what}" for name, what in service_keys.SCOPES.items()),
        )
        types = make.add_mutually_exclusive_group()
        types.add_argument(
            "--type", action="append", default=[], metavar="EVENT_TYPE", help="it may send these"
        )
        types.add_argument("--every-type", action="store_true", help="it may send all of them")
        end = make.add_mutually_exclusive_group()
        end.add_argument("--days", type=int, default=service_keys.LIFETIME.days, help="(365)")
        end.add_argument("--no-expiry", action="store_true")
        what.add_parser("list", help="all keys, newest first; never their text")
        revoke = what.add_parser("revoke", help="ends a key at once")
        revoke.add_argument("id", type=int)

    def handle(self, **options: Any) -> None:
        {"make": self._make, "list": self._list, "revoke": self._revoke}[options["what"]](options)

    def _make(self, options: dict[str, Any]) -> None:
        try:
            _, text = service_keys.make(
                options["name"],
                scopes=options["scope"],
                event_types=None if options["every_type"] else options["type"],
                expires_at=_end(options),
            )
        except HubError as error:
            raise CommandError(error.detail) from None
        # alone on its line, so that a script can take it
        self.stdout.write(text)

    def _list(self, options: dict[str, Any]) -> None:
        for key in ServiceKey.objects.all():
            types = "every type" if key.event_types is None else ",".join(key.event_types)
            columns = [str(key.pk), key.name, ",".join(key.scopes), types or "-"]
            columns += [_state(key), f"last used {moment(key.last_used_at) or 'never'}"]
            self.stdout.write("\t".join(columns))

    def _revoke(self, options: dict[str, Any]) -> None:
        if not service_keys.revoke(options["id"]):
            raise CommandError(f"There is no live key {options['id']}.")
        self.stdout.write("1 key revoked")


def _end(options: dict[str, Any]) -> datetime | None:
    if options["no_expiry"]:
        return None
    try:
        return timezone.now() + timedelta(days=options["days"])
    except OverflowError:
        raise CommandError("--days is too large.") from None


def _state(key: ServiceKey) -> str:
    if key.revoked_at is not None:
        return f"revoked {moment(key.revoked_at)}"
    if key.expires_at is None:
        return "never expires"
    return f"{'expires' if key.is_live else 'expired'} {moment(key.expires_at)}"
