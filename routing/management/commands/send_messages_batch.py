"""`manage.py send_messages_batch`: sends one batch of what batch mode has stored."""

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from routing.conf import conf
from routing.push import batches

TYPES = ("push-notification",)


class Command(BaseCommand):
    help = (
        "Sends waiting direct pushes, the highest priority first and then the oldest, and says what"
        " became of them. Ends with 1 when one of them was not sent. For cron, while"
        " HUB['PUSH_BATCH'] is on."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--type", default=TYPES[0], help=f"what to send: {', '.join(TYPES)}")
        parser.add_argument(
            "--size", type=int, metavar="NUMBER", help="at most so many (HUB['PUSH_BATCH_SIZE'])"
        )

    def handle(self, **options: Any) -> None:
        if options["type"] not in TYPES:
            raise CommandError(
                f"there are no messages of type {options['type']!r}, only {', '.join(TYPES)}"
            )
        if options["size"] is not None and options["size"] < 1:
            raise CommandError("--size must be at least 1")
        if not conf().push_batch:
            raise CommandError("Batch sending is turned off: HUB['PUSH_BATCH']")
        found = batches.send(size=options["size"])
        self._say("sent messages", found.sent)
        self._say("failed messages", found.failed)
        for word, ids in (("to be tried again", found.retried), ("skipped", found.skipped)):
            if ids:
                self._say(word, ids)
        if found.expired:
            self.stdout.write(f"too old: {found.expired}")
        if found.failed or found.retried or found.expired:
            sys.exit(1)

    def _say(self, word: str, ids: list[int]) -> None:
        named = f" ({', '.join(map(str, ids))})" if ids else ""
        self.stdout.write(f"{word}: {len(ids)}{named}")
