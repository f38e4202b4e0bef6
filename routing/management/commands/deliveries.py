"""`manage.py deliveries`: the book of pushes, by state; tries again or cancels."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from routing.push import deliveries, retention
from routing.push.models import Delivery, DeliveryQuerySet


class Command(BaseCommand):
    help = "Counts deliveries by state. With --retry or --cancel it changes the chosen ones."

    def add_arguments(self, parser: ArgumentParser) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--retry", action="store_true", help="make finished, unsent ones due")
        what.add_argument("--cancel", action="store_true", help="cancel waiting ones")
        what.add_argument(
            "--prune", action="store_true", help="delete what is kept for longer than wanted"
        )
        parser.add_argument("--event", type=int, metavar="ID")
        parser.add_argument("--device", type=int, metavar="ID")
        parser.add_argument("--application", metavar="NAME")
        parser.add_argument("--state", choices=Delivery.State.values, type=str.upper)
        parser.add_argument("--all", action="store_true", help="really all of them")

    def handle(self, **options: Any) -> None:
        rows, narrowed = _chosen(options)
        if options["prune"]:
            self._prune(narrowed)
            return
        if options["retry"] or options["cancel"]:
            if not narrowed and not options["all"]:
                raise CommandError("say which: --event, --device, --application, --state or --all")
            change = deliveries.retry if options["retry"] else deliveries.cancel
            word = "due again" if options["retry"] else "cancelled"
            self.stdout.write(f"{change(rows)} {word}")
            return
        for state, number in deliveries.count(rows).items():
            self.stdout.write(f"{number:>10,} {state}")

    def _prune(self, narrowed: bool) -> None:
        """The worker does the same (HUB['DELIVERY_RETENTION'], HUB['PERSIST_DELIVERIES'])."""
        if narrowed:
            raise CommandError("--prune goes by age alone")
        removed = 0
        while chunk := retention.prune_deliveries(using=deliveries.alias()):
            removed += chunk
        self.stdout.write(f"{removed} deleted")


def _chosen(options: dict[str, Any]) -> tuple[DeliveryQuerySet, bool]:
    wanted = {
        "event": options["event"],
        "device": options["device"],
        "application__name": options["application"],
        "state": options["state"],
    }
    given = {key: value for key, value in wanted.items() if value is not None}
    return Delivery.objects.using(deliveries.alias()).filter(**given), bool(given)
