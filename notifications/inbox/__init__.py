"""The inbox: one numbered history per user, and the only code that changes or reads it.

Everything that changes an inbox takes the next number from its one row, under that row's lock.
REST, WebSocket, admin and tests all call these functions.
"""

from notifications.inbox.arrivals import arrive, store_and_arrive, stored_recipients
from notifications.inbox.broadcasts import broadcast_number, stamp_broadcast, take_in
from notifications.inbox.expiry import expire, sweep_expired
from notifications.inbox.imports import Past, store_past
from notifications.inbox.marks import STATES, Result, delete, mark
from notifications.inbox.reading import (
    PAGE,
    STAND,
    Changes,
    Page,
    Positions,
    Summary,
    changes,
    get,
    page,
    positions,
    summary,
)
from notifications.inbox.retention import prune, withdraw
from notifications.inbox.rows import (
    announce,
    ensure,
    lacking,
    make_missing,
    new_epoch,
    set_pushable,
)

__all__ = [
    "PAGE",
    "STAND",
    "STATES",
    "Changes",
    "Page",
    "Past",
    "Positions",
    "Result",
    "Summary",
    "announce",
    "arrive",
    "broadcast_number",
    "changes",
    "delete",
    "ensure",
    "expire",
    "get",
    "lacking",
    "make_missing",
    "mark",
    "new_epoch",
    "page",
    "positions",
    "prune",
    "set_pushable",
    "stamp_broadcast",
    "store_and_arrive",
    "store_past",
    "stored_recipients",
    "summary",
    "sweep_expired",
    "take_in",
    "withdraw",
]
