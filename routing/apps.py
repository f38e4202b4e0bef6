"""Connects the roads with the domain."""

from datetime import timedelta

from django.apps import AppConfig


class RoutingConfig(AppConfig):
    name = "routing"
    label = "hub_routing"
    verbose_name = "Routing"

    def ready(self) -> None:
        from notifications.testing import roads
        from notifications.worker import Duty
        from routing import checks, conf, duties, receivers  # noqa: F401 - registers checks, keys
        from routing.live import tickets
        from routing.push.backends import checks as backend_checks  # noqa: F401

        receivers.connect()
        roads.add("routing.testing")
        duties.add(lambda: [Duty("tickets", timedelta(minutes=1), tickets.sweep)])
