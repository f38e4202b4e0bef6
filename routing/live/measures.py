"""What is counted of the live road, and what each server process reports of itself."""

import time

from notifications.counts import Counter, Histogram, ProcessGauge
from routing.live.messages import Message

SOCKETS = ProcessGauge("hub_sockets", "Open sockets.", plotted=True)
USERS = ProcessGauge(
    "hub_connected_users",
    "Users with an open socket; one who is connected to two processes counts twice.",
    plotted=True,
)
GROUPS = ProcessGauge("hub_groups", "Groups of the layer that server processes are in for users.")
DEAF = ProcessGauge("hub_deaf_servers", "Server processes that the layer's messages do not reach.")
RECONCILE_AGE = ProcessGauge(
    "hub_reconcile_age_seconds",
    "How long ago the slowest server process last compared its sockets with the database.",
    merge="max",
)
OPENED = Counter("hub_sockets_opened_total", "Sockets that were opened.")
LIVE = Counter(
    "hub_live_notifications_total",
    "New notifications handed to the sockets of a connected user.",
)
LIVE_LAG = Histogram(
    "hub_live_lag_seconds",
    "From the commit of notifications to the writing of their frames, by the clocks of the two"
    " machines; once for each message of the layer.",
)
MESSAGES = Counter(
    "hub_layer_messages_total",
    "Messages for the layer: sent, failed (it did not take them), dropped (too many waited).",
    labels=("result",),
)


def written(message: Message, users: int) -> None:
    """The frames of one message are with the sockets of so many users."""
    if users:
        LIVE.add(by=users)
        if "at" in message:  # not from a process of an older version
            LIVE_LAG.observe(time.time() - message["at"] / 1_000)


def of_server(
    *, sockets: int, users: int, groups: int, deaf: bool, reconciled_at: float
) -> dict[str, float]:
    """What a server process reports; `reconciled_at` is of time.monotonic()."""
    return {
        SOCKETS.name: sockets,
        USERS.name: users,
        GROUPS.name: groups,
        DEAF.name: float(deaf),
        RECONCILE_AGE.name: time.monotonic() - reconciled_at,
    }
