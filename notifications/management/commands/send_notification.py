"""`manage.py send_notification TYPE`: sends an event from a shell or a script."""

import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import chain
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandError
from django.utils.dateparse import parse_datetime
from tqdm import tqdm

from notifications import fanout
from notifications.audiences import CHUNK, EVERYONE
from notifications.errors import HubError, InvalidData, InvalidField, NoAudience
from notifications.models import Audience, Event, Priority
from notifications.sending import send_notification
from notifications.users import keys_of_names


class Command(BaseCommand):
    help = "Sends an event and prints its id. Waits for large audiences and shows how far it is."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("type", metavar="TYPE", help="name of an event type")
        parser.add_argument(
            "--user", action="append", default=[], metavar="NAME", help="repeatable"
        )
        parser.add_argument(
            "--users-file", metavar="FILE", help="one user name per line; - is standard input"
        )
        parser.add_argument("--everyone", action="store_true", help="all users there are")
        parser.add_argument("--title", default="")
        parser.add_argument("--message", default="")
        parser.add_argument("--data", metavar="JSON")
        parser.add_argument("--url", default="", help="http, https, or a path of this site")
        parser.add_argument("--tag", default="")
        parser.add_argument("--priority", choices=Priority.values)
        parser.add_argument("--expires-at", metavar="TIME", help="ISO 8601 with a zone")
        parser.add_argument(
            "--idempotency-key", metavar="KEY", help="a repeat with it makes no second event"
        )
        parser.add_argument("--template", metavar="SLUG", help="a template's words")
        parser.add_argument("--context", metavar="JSON", help="what fills the template's gaps")

    def handle(self, **options: Any) -> None:
        try:
            with ExitStack() as stack:
                event = send_notification(
                    options["type"],
                    users=_users(options, stack),
                    title=options["title"],
                    message=options["message"],
                    data=_json("data", options["data"]),
                    url=options["url"],
                    tag=options["tag"],
                    priority=options["priority"],
                    expires_at=_time(options["expires_at"]),
                    idempotency_key=options["idempotency_key"],
                    template=options["template"],
                    context=_json("context", options["context"]),
                )
        except HubError as error:
            raise CommandError(f"{error.code}: {error.detail}") from None
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"--users-file: {error}") from None
        if not event.repeated:
            fan_out_large(event)
        self.stdout.write(str(event.pk))


def _users(options: dict[str, Any], stack: ExitStack) -> Any:
    """EVERYONE, or the keys of the named users, read as they are needed."""
    names, path = options["user"], options["users_file"]
    if options["everyone"]:
        if names or path:
            raise CommandError("--everyone goes with neither --user nor --users-file")
        return EVERYONE
    if not names and path is None:
        raise NoAudience("say whom the event concerns: --user, --users-file or --everyone")
    if path is None:
        return keys_of_names(names)
    lines: Iterable[str] = sys.stdin
    if path != "-":
        lines = stack.enter_context(open(path, encoding="utf-8"))
    return keys_of_names(chain(names, _names(lines)))


def _names(lines: Iterable[str]) -> Iterator[str]:
    return (name for line in lines if (name := line.strip()))


def _json(option: str, text: str | None) -> Any:
    if text is None:
        return None
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidData(f"--{option} is not JSON: {error}") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _time(text: str | None) -> Any:
    if text is None:
        return None
    try:
        found = parse_datetime(text)
    except ValueError:
        found = None
    if found is None:
        raise InvalidField.of("expires_at", "must be a time in ISO 8601, with its zone")
    return found


def fan_out_large(event: Event) -> None:
    """Fans out what `send_notification` left to the worker, and shows how far it is.

    A worker may be at the same rows: whoever has a row locked does it. What fails stays for the
    worker.
    """
    using = str(event._state.db)
    rows = Audience.objects.using(using).waiting().filter(event=event)
    rows = rows.filter(lane=Audience.Lane.BULK)
    # ids only: a large audience has thousands of rows, of 500 users each
    waiting = list(fanout.together(rows.order_by("pk")))
    if not waiting:
        return
    last = rows.filter(pk=waiting[-1][-1]).values_list("user_ids", flat=True).first() or []
    total = CHUNK * (sum(map(len, waiting)) - 1) + len(last)
    with tqdm(total=total, unit=" users", desc="fan-out", file=sys.stderr) as bar:
        for ids in waiting:
            fanout.fan_out(*ids, using=using)
            bar.update(min(CHUNK * len(ids), total - bar.n))
