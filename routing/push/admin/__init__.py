"""The push road in the admin: secrets go in and never come out, tokens show as a short hash."""

from routing.push.admin import applications, deliveries, devices, waiting

__all__ = ["applications", "deliveries", "devices", "waiting"]
