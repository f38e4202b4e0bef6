"""Imports of devices and deliveries from other systems' tables (docs/migrating.md)."""

from routing.push.importing.devices import UnknownApplications
from routing.push.importing.fcm_devices import FcmDevices
from routing.push.importing.ios_notifications import IosNotifications
from routing.push.importing.push_notifications import PushNotifications
from routing.push.importing.pymess import Pymess

__all__ = ["FcmDevices", "IosNotifications", "PushNotifications", "Pymess", "UnknownApplications"]
