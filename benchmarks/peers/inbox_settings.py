"""The hub's settings with the peers' addresses beside the hub's: same server, pool and user."""

from hub.settings import *  # noqa: F403

ROOT_URLCONF = "benchmarks.peers.inbox_urls"
