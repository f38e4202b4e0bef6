"""`manage.py import_from SYSTEM`: moves in from another system's tables (docs/migrating.md)."""

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any, Protocol

from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, connections
from tqdm import tqdm

from notifications.importing import (
    ImportFault,
    NotificationsHq,
    RestNotifications,
    Run,
    Source,
)
from routing.push.importing import FcmDevices, IosNotifications, PushNotifications, Pymess

SYSTEMS = (
    "push-notifications",
    "ios-notifications",
    "fcm-devices",
    "rest-notifications",
    "pymess",
    "notifications-hq",
)
#: Options that only some systems have a use for.
OPTIONS = {
    "event_type": ("notifications-hq", "pymess", "ios-notifications"),
    "application": ("push-notifications", "ios-notifications", "fcm-devices"),
    "environment": ("push-notifications",),
    "recipients": ("pymess",),
}


class Importer(Protocol):
    """One system, its tables found."""

    @property
    def total(self) -> int: ...

    def run_all(self) -> None: ...


class Command(BaseCommand):
    help = (
        "Imports what another notification system has stored: devices, messages, events,"
        " notifications, filters. What is imported once is not imported again, so an import that"
        " was interrupted goes on when it is run again. The old tables are only read."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("system", choices=SYSTEMS)
        parser.add_argument(
            "--dry-run", action="store_true", help="count, say what would be skipped, store nothing"
        )
        parser.add_argument(
            "--database-from", default=DEFAULT_DB_ALIAS, metavar="ALIAS",
            help="the alias in DATABASES that has the old tables",
        )  # fmt: skip
        parser.add_argument(
            "--table", action="append", default=[], metavar="NAME=ACTUAL",
            help="a table that has another name there (repeatable)",
        )  # fmt: skip
        parser.add_argument(
            "--event-type", default="", metavar="NAME", help="one event type for all events"
        )
        parser.add_argument(
            "--application", action="append", default=[], metavar="OLD=NEW",
            help="what the application or service OLD is called here (repeatable)",
        )  # fmt: skip
        parser.add_argument(
            "--environment", choices=("production", "sandbox"), help="of all APNs devices"
        )
        parser.add_argument(
            "--recipients", choices=("ids", "names"),
            help="the recipients of pymess are users' ids, or user names",
        )  # fmt: skip

    def handle(self, **options: Any) -> None:
        system, alias = options["system"], options["database_from"]
        for name, systems in OPTIONS.items():
            if options[name] and system not in systems:
                flag = f"--{name.replace('_', '-')}"
                raise CommandError(f"{flag} is for {', '.join(systems)}, not for {system}")
        if alias not in connections:
            raise CommandError(f"--database-from: DATABASES has no alias {alias!r}")
        run = None
        try:
            run = Run(Source(alias, _pairs("--table", options["table"])), options["dry_run"])
            self._import(run, _importer(run, options))
        except ImportFault as error:
            if run is not None and run.report:
                self._say(run)
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            self._say(run)
            raise CommandError("Stopped. Run the import again to go on.") from None
        self._say(run)
        if run.report.fault_count:
            raise CommandError(
                f"{run.report.fault_count:,} rows could not be imported; run the import again when"
                " the cause is mended."
            )

    def _import(self, run: Run, importer: Importer) -> None:
        # disable=None: quiet where nobody looks
        with tqdm(total=importer.total, unit=" rows", file=sys.stderr, disable=None) as bar:
            run.progress = bar.update
            importer.run_all()

    def _say(self, run: Run | None) -> None:
        if run is None:
            return
        for line in run.report.lines(dry_run=run.dry_run):
            self.stdout.write(line)
        for line in run.report.faults:
            self.stderr.write(f"  fault: {line}")


def _importer(run: Run, options: dict[str, Any]) -> Importer:
    applications = _pairs("--application", options["application"])
    event_type = options["event_type"]
    match options["system"]:
        case "push-notifications":
            environment = options["environment"] or "production"
            return PushNotifications(run, applications=applications, environment=environment)
        case "ios-notifications":
            return IosNotifications(run, applications=applications, event_type=event_type)
        case "fcm-devices":
            return FcmDevices(run, applications=applications)
        case "rest-notifications":
            return RestNotifications(run)
        case "pymess":
            recipients = options["recipients"] or ""
            return Pymess(run, event_type=event_type, recipients=recipients)
        case _:
            return NotificationsHq(run, event_type=event_type)


def _pairs(flag: str, given: Sequence[str]) -> dict[str, str]:
    found = {}
    for text in given:
        old, equals, new = text.partition("=")
        if not (old and equals and new):
            raise CommandError(f"{flag} {text}: write it as NAME=NAME")
        found[old] = new
    return found
