"""The hub's own settings with the faulty provider, for worker processes that a test starts."""

import os
from datetime import timedelta

from hub.settings import *  # noqa: F403
from hub.settings import HUB
from tests.routing.push import faulty

HUB = {
    **HUB,
    **faulty.hub(os.environ["HUB_TEST_FOLDER"]),
    "PUSH_LEASE": timedelta(seconds=1),
    "PUSH_BATCH": os.environ.get("HUB_TEST_BATCH", "off") == "on",
    "WORKER_IN_SERVER": os.environ.get("HUB_TEST_WORKER", "off"),
}
