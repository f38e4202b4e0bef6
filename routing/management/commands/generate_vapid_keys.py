"""Makes the pair of keys by which push services know this hub."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from routing.push.vapid import VapidKey, write_private_key


class Command(BaseCommand):
    help = (
        "Makes a VAPID key for Web Push and prints it. Browsers subscribe under the public key, and"
        " with another one they must subscribe again: make it once and keep the private key."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print a JSON object")
        parser.add_argument(
            "--file",
            type=Path,
            help="write the private key into this new file (mode 0600) and print the public one",
        )

    def handle(self, *, json: bool, file: Path | None, **options: Any) -> None:
        key = VapidKey.generate()
        found = {"public_key": key.public, "private_key": key.private_text(), "id": key.id}
        if file is not None:
            try:
                write_private_key(file, key)
            except FileExistsError:
                raise CommandError(f"{file} exists; a key is never replaced") from None
            except OSError as error:
                raise CommandError(f"{file} cannot be written: {error.strerror}") from None
            del found["private_key"]
        self.stdout.write(as_json(found) if json else as_lines(found))


def as_json(found: dict[str, str]) -> str:
    return json.dumps(found)


def as_lines(found: dict[str, str]) -> str:
    return "\n".join(f"{name}={value}" for name, value in found.items())
