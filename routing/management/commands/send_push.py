"""`manage.py send_push`: a push by hand, to users, devices, an application's devices or a topic."""

import json
from argparse import ArgumentParser
from collections import Counter
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.db.models import Q

from routing.push import applications, direct, notes
from routing.push.calls import KINDS
from routing.push.deliveries import alias
from routing.push.models import Application, Device
from routing.push.outcomes import UnsupportedOption
from routing.push.results import Results

TARGETS = ("user", "device", "application", *KINDS)
NOBODY = "there is no active device to send to"


class Command(BaseCommand):
    help = (
        "Sends a push without an inbox. It is planned, and a worker sends it; with --no-persist it"
        " goes at once and leaves nothing behind."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        to = parser.add_argument_group("to whom")
        to.add_argument("--user", action="append", default=[], metavar="NAME", help="repeatable")
        to.add_argument("--device", action="append", default=[], metavar="ID", help="repeatable")
        to.add_argument(
            "--application", "--service", metavar="NAME", help="all its devices; or of a topic"
        )
        to.add_argument("--topic", metavar="NAME", help="a topic at the application's provider")
        to.add_argument("--condition", metavar="TEXT", help="topics joined by && and ||")
        to.add_argument("--alias", metavar="ID", help="a user's id at the application's provider")
        what = parser.add_argument_group("what")
        what.add_argument("--title", default="")
        what.add_argument("--message", default="")
        what.add_argument("--url", default="")
        what.add_argument("--tag", default="")
        what.add_argument("--badge", metavar="NUMBER")
        what.add_argument("--sound")
        what.add_argument("--extra", metavar="JSON", help="an object: the push's data")
        what.add_argument("--silent", action="store_true")
        what.add_argument("--ttl", metavar="SECONDS")
        what.add_argument("--priority", choices=notes.PRIORITIES)
        parser.add_argument("--dry-run", action="store_true", help="say to how many, send nothing")
        keep = parser.add_mutually_exclusive_group()
        keep.add_argument("--persist", action="store_true", default=True, dest="persist")
        keep.add_argument("--no-persist", action="store_false", dest="persist")
        parser.add_argument(
            "--immediately", action="store_true", help="send it in this process; record it"
        )
        parser.add_argument(
            "--batch-size",
            default="100",
            metavar="NUMBER",
            help="messages on their way at once, with --immediately and --no-persist",
        )

    def handle(self, **options: Any) -> None:
        batch_size = _integer("--batch-size", options["batch_size"], least=1)
        push = _options(options)
        if not (options["title"] or options["message"] or options["extra"]):
            raise CommandError("say something: --message, --title or --extra")
        words = {"title": options["title"], "message": options["message"], "tag": options["tag"]}
        to = _recipients(options)
        try:
            problems = direct.problems(to, **words, **push)
            if problems:
                raise CommandError(f"it cannot be sent: {'; '.join(problems)}")
            if options["dry_run"]:
                self._dry_run(to)
                return
            results = direct.send_message(
                to,
                **words,
                **push,
                persist=options["persist"],
                send_immediately=options["immediately"],
                at_once=batch_size,
            )
        except (UnsupportedOption, ImproperlyConfigured) as error:
            raise CommandError(str(error)) from None
        self._say(results)

    def _dry_run(self, to: Any) -> None:
        count = 1 if isinstance(to, direct.Target) else to.count()
        if not count:
            raise CommandError(NOBODY)
        self.stdout.write(f"{count} would be sent to.")

    def _say(self, results: Results) -> None:
        """Raises `CommandError` where somebody got nothing."""
        if not results:
            raise CommandError(NOBODY)
        counts = ((results.sent, "sent"), (results.waiting, "planned"), (results.failed, "failed"))
        said = ", ".join(f"{count} {word}" for count, word in counts if count)
        event = f", as event {results.event.pk}" if results.event is not None else ""
        self.stdout.write(f"{said}{event}.")
        if results.failed:
            reasons = Counter(result.reason for result in results if result.is_failed)
            why = ", ".join(f"{reason} ({count})" for reason, count in reasons.most_common(5))
            raise CommandError(f"{results.failed} of {len(results)} were not sent: {why}")


def _integer(name: str, text: str, *, least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        raise CommandError(f"{name} must be an integer") from None
    if value < least:
        raise CommandError(f"{name} must be at least {least}")
    return value


def _options(options: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if options["badge"] is not None:
        found["badge"] = _integer("--badge", options["badge"], least=0)
    if options["ttl"] is not None:
        found["ttl"] = _integer("--ttl", options["ttl"], least=0)
    for name in ("sound", "priority", "url"):
        if options[name]:
            found[name] = options[name]
    if options["silent"]:
        found["silent"] = True
    if options["extra"] is not None:
        found["data"] = _extra(options["extra"])
    return found


def _extra(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise CommandError("--extra must be a JSON object")
    return found


def _recipients(options: dict[str, Any]) -> Any:
    """Devices, as a queryset, or one place at a provider.

    Raises `CommandError` for what there is not, and where nobody is named.
    """
    if sum(bool(options[name]) for name in ("user", "device", *KINDS)) > 1:
        raise CommandError("name users, devices, or a topic, not several of these")
    application = _application(options["application"])
    for kind in KINDS:
        if options[kind]:
            if application is None:
                raise CommandError(f"--{kind} needs --application")
            return direct.recipient(application, kind=kind, recipient=options[kind])
    rows = Device.objects.using(alias()).active().order_by("pk")
    if options["user"]:
        rows = rows.filter(user__in=_users(options["user"]))
    elif options["device"]:
        ids = [_integer("--device", each, least=1) for each in options["device"]]
        rows = rows.filter(pk__in=ids)
    elif application is None:
        raise CommandError(f"say to whom: {', '.join(f'--{name}' for name in TARGETS)}")
    if application is None:
        return rows
    mine = Q(application=application)
    if applications.current().default_of(application.backend) == application:
        mine |= Q(application=None, backend=application.backend)
    return rows.filter(mine)


def _application(name: str | None) -> Application | None:
    if name is None:
        return None
    found = applications.current().named(name)
    if found is None:
        raise CommandError(f"there is no application {name!r}")
    return found


def _users(names: list[str]) -> list[Any]:
    model = get_user_model()
    rows = model._default_manager.filter(**{f"{model.USERNAME_FIELD}__in": names})
    found = {row.get_username(): row.pk for row in rows}
    missing = sorted(set(names) - set(found))
    if missing:
        raise CommandError(f"there is no user {missing[0]!r}")
    return list(found.values())
