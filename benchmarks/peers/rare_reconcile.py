"""The hub's settings, with reconcile rarer than it may be: for loads that no database stores."""

from datetime import timedelta

from hub.settings import *  # noqa: F403
from hub.settings import HUB as HUBS

HUB = {**HUBS, "RECONCILE": timedelta(hours=1)}
SILENCED_SYSTEM_CHECKS = ["hub.E019"]
