"""`manage.py check_push`: whether applications can send, offline and, when asked, online."""

import asyncio
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from routing.push import applications
from routing.push.deliveries import alias
from routing.push.models import Application, Device, Pause

PROBE = 20.0  # seconds a provider may take to answer


class Command(BaseCommand):
    help = "Looks at every application's credentials; ends with 1 when one of them cannot send."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--online", action="store_true", help="ask the providers, too")
        parser.add_argument("--application", metavar="NAME")

    def handle(self, **options: Any) -> None:
        rows = [
            row
            for row in applications.current().by_id.values()
            if row.active and options["application"] in (None, row.name)
        ]
        if not rows:
            self.stderr.write("There is no application; HUB['APPLICATIONS'] or the admin has them.")
            sys.exit(1)
        fine = all([self._look(row, online=options["online"]) for row in rows])
        fine = self._orphans() and fine
        if not fine:
            sys.exit(1)

    def _look(self, row: Application, *, online: bool) -> bool:
        problems, said = _problems(row, online)
        active = Device.objects.using(alias()).active().filter(application=row)
        state = "; ".join(problems) or said or "ready"
        self.stdout.write(f"{row.name} ({row.backend}, {active.count()} devices): {state}")
        return not problems

    def _orphans(self) -> bool:
        """Devices that nothing is sent to for want of an application."""
        known = applications.current()
        rows = Device.objects.using(alias()).active().filter(application=None)
        missing = [
            backend
            for backend in rows.order_by("backend").values_list("backend", flat=True).distinct()
            if known.default_of(backend) is None
        ]
        for backend in missing:
            self.stdout.write(f"{backend}: there are devices, but no default application")
        return not missing


def _problems(row: Application, online: bool) -> tuple[list[str], str]:
    """What is wrong with it, and what its provider said."""
    found = [
        f"paused ({pause.origin or 'all of it'}): {pause.reason}"
        for pause in Pause.objects.using(alias()).filter(application=row, kind=Pause.Kind.FAULT)
    ]
    try:
        kind = applications.backend_of(row)
        secrets = applications.credentials_of(row)
        problems = kind.check_credentials(secrets)
        if problems:
            return [*found, *problems], ""
        return (found, asyncio.run(_probe(kind(secrets)))) if online else (found, "")
    except Exception as error:
        # Whatever it is, it is this application's answer; the words are for who runs the hub.
        return [*found, f"{type(error).__name__}: {error}"], ""


async def _probe(backend: Any) -> str:
    await backend.open()
    try:
        async with asyncio.timeout(PROBE):
            return str(await backend.probe())
    finally:
        await backend.aclose()
