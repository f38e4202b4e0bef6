"""`manage.py send_push`: a push by hand, to users, devices, an application's devices or a topic."""

import json
from argparse import ArgumentParser
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from routing.push import applications, direct, notes
from routing.push.deliveries import alias
from routing.push.models import Application, Device
from routing.push.outcomes import InvalidAddress, PayloadTooLarge, UnsupportedOption

TARGETS = ("user", "device", "topic", "condition")


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
        what = parser.add_argument_group("what")
        what.add_argument("--title", default="")
        what.add_argument("--message", default="")
        what.add_argument("--url", default="")
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
        parser.add_argument("--batch-size", default="100", metavar="NUMBER", help="of --no-persist")

    def handle(self, **options: Any) -> None:
        batch_size = _integer("--batch-size", options["batch_size"], least=1)
        push = _options(options)
        if not (options["title"] or options["message"] or options["extra"]):
            raise CommandError("say something: --message, --title or --extra")
        words = {"title": options["title"], "message": options["message"]}
        try:
            targets = _targets(options)
            if not targets:
                raise CommandError("there is no active device to send to")
            direct.check(targets, **words, options=push, using=alias())
            if options["dry_run"]:
                self.stdout.write(f"{len(targets)} would be sent to.")
                return
            if options["persist"]:
                event = direct.push(targets, **words, options=push)
                self.stdout.write(f"{len(targets)} planned, as event {event.pk}.")
                return
            found = direct.send_now(targets, **words, options=push, batch_size=batch_size)
        except PayloadTooLarge as error:
            raise CommandError(f"the message is too long: {error}") from None
        except (UnsupportedOption, InvalidAddress, ImproperlyConfigured) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(", ".join(f"{number} {word}" for word, number in found.items()))
        if found["sent"] < len(targets):
            raise CommandError(f"{len(targets) - found['sent']} of {len(targets)} were not sent")


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


def _targets(options: dict[str, Any]) -> list[direct.Target]:
    """Raises `CommandError` for what there is not, and where nobody is named."""
    if sum(bool(options[name]) for name in TARGETS) > 1:
        raise CommandError("name users, devices, or a topic, not several of these")
    application = _application(options["application"])
    for kind in ("topic", "condition"):
        if options[kind]:
            if application is None:
                raise CommandError(f"--{kind} needs --application")
            return [direct.recipient(application, kind=kind, recipient=options[kind])]
    rows = Device.objects.using(alias()).active().select_related("application")
    if options["user"]:
        rows = rows.filter(user__in=_users(options["user"]))
    elif options["device"]:
        ids = [_integer("--device", each, least=1) for each in options["device"]]
        rows = rows.filter(pk__in=ids)
    elif application is None:
        raise CommandError("say to whom: --user, --device, --application, --topic or --condition")
    found = direct.targets_of(rows.order_by("pk"), using=alias())
    if application is None:
        return found
    return [target for target in found if target.application.pk == application.pk]


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
