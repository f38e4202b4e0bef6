"""The rows behind every inbox: the user's own one and the hub's state."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.db import router, transaction

from notifications import measures
from notifications.models import HubState, Inbox, new_epoch_text
from notifications.representation import author_key
from notifications.signals import Arrived, Change, Position, inbox_changed
from notifications.sql import Sql

logger = logging.getLogger(__name__)

CHUNK = 500  # inboxes per locking statement


def alias(using: str | None = None) -> str:
    return using or router.db_for_write(Inbox)


def announce(change: Change, *, using: str) -> None:
    """Sends `inbox_changed` after the running transaction has committed.

    A receiver's fault stays with the receiver: it is logged and reaches nobody.
    """
    transaction.on_commit(partial(_committed, change), using=using, robust=True)


def _committed(change: Change) -> None:
    if isinstance(change, Arrived):
        measures.NOTIFICATIONS.add(by=len(change.recipients))
    inbox_changed.send_robust(sender=Inbox, change=change)


def ensure(user_ids: Iterable[Any], *, using: str | None = None) -> None:
    """Makes the inboxes that these users still lack, at the current broadcast number.

    In a transaction of its own where none is open, and before any inbox is locked.
    Ids that no user has are passed over.
    """
    database = alias(using)
    sql = Sql(database)
    wanted = set(user_ids)
    keys = sql.keys(wanted)
    [[have]] = sql.rows("SELECT count(*) FROM {inbox} WHERE user_id {in_keys}", [keys])
    if have < len(wanted):
        sql.run(MAKE_MISSING + " AND u.{user_key} {in_keys} " + IN_ORDER, [keys])


def lacking(user_ids: Iterable[Any], *, using: str) -> list[Any]:
    """Those of these users, as far as they are active, who have no inbox."""
    sql = Sql(using)
    rows = sql.rows(
        "SELECT u.{user_key} FROM {users} u WHERE u.{user_key} {in_keys} {is_active}"
        " AND NOT EXISTS (SELECT 1 FROM {inbox} i WHERE i.user_id = u.{user_key})",
        [sql.keys(user_ids)],
    )
    return [user_id_of(row[0]) for row in rows]


def make_missing(*, using: str | None = None) -> int:
    """Makes the inboxes of all users who have none (after `migrate`); returns how many."""
    sql = Sql(alias(using))
    return sql.run(MAKE_MISSING + IN_ORDER, [])


MAKE_MISSING = """
    INSERT INTO {inbox}
        (user_id, version, unread, unseen, total, floor, broadcast, next_expiry, pushable)
    SELECT u.{user_key}, 0, 0, 0, 0, 0, s.broadcast, NULL, FALSE
    FROM {users} u JOIN {state} s ON s.id = 1
    WHERE NOT EXISTS (SELECT 1 FROM {inbox} i WHERE i.user_id = u.{user_key})
"""
IN_ORDER = "ORDER BY u.{user_key} ON CONFLICT (user_id) DO NOTHING"


@dataclass(slots=True)
class Locked:
    """One inbox under its lock, and what the running change makes of it."""

    user_id: Any
    version: int
    unread: int
    unseen: int
    total: int

    def position(self) -> Position:
        return Position(
            user_id=self.user_id, version=self.version, unread=self.unread, unseen=self.unseen
        )


def lock(user_id: Any, *, sql: Sql) -> Locked | None:
    """Locks one inbox until the transaction ends; None where the user has none."""
    rows = sql.rows(
        "SELECT version, unread, unseen, total FROM {inbox} WHERE user_id = %s {for_update}",
        [sql.key(user_id)],
    )
    return Locked(user_id, *rows[0]) if rows else None


def store(locked: Locked, *, sql: Sql) -> None:
    sql.run(
        "UPDATE {inbox} SET version = %s, unread = %s, unseen = %s, total = %s WHERE user_id = %s",
        [locked.version, locked.unread, locked.unseen, locked.total, sql.key(locked.user_id)],
    )


def user_id_of(value: Any) -> Any:
    """A user's key as a plain cursor gives it, as Python has it."""
    return author_key(value)


def possible_ids(ids: Iterable[int]) -> list[int]:
    """Without the integers that no event can have, which a database would refuse to compare."""
    return [event_id for event_id in ids if 0 < event_id < 2**63]


def set_pushable(user_id: Any, pushable: bool, *, using: str | None = None) -> None:
    """Says whether the push road is to be asked for this user. Under the inbox lock, so that a
    send that runs at the same time sees either the old state whole or the new one."""
    database = alias(using)
    ensure([user_id], using=database)
    with transaction.atomic(using=database):
        lock(user_id, sql=Sql(database))
        Inbox.objects.using(database).filter(pk=user_id).update(pushable=pushable)


def new_epoch(*, using: str | None = None) -> str:
    """Ends all cursors that clients hold: a step of restoring a backup. Returns the new epoch."""
    database = alias(using)
    epoch = new_epoch_text()
    HubState.objects.using(database).update_or_create(pk=1, defaults={"epoch": epoch})
    logger.info("new_epoch epoch=%s", epoch)
    return epoch
