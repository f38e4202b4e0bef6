"""Settings of a hub beside which another system has a database of its own."""

import os

from hub.settings import *  # noqa: F403
from hub.settings import DATABASES

DATABASES["legacy"] = {
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": os.environ["LEGACY_DATABASE"],
}
