"""Does the background work: all that is due, for as long as it runs or once."""

import signal
import sys
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from notifications.worker import Worker
from routing import duties


class Command(BaseCommand):
    help = "Does what is due. SIGTERM and Ctrl-C let it finish the chunk in hand."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--once",
            action="store_true",
            help="do all that is due and end: with 0, or with 1 if something of it failed",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        worker = Worker(duties.all_duties())

        def end(number: int, frame: FrameType | None) -> None:
            worker.stop()

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, end)
        if not options["once"]:
            self.stdout.write("Working; Ctrl-C ends it")
            self.stdout.flush()
            worker.run()
        elif not worker.work_once():
            sys.exit(1)
