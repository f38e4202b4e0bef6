"""Tickets: single-use credentials of 30 s for clients that can send neither cookie nor header."""

import hashlib
import secrets
from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connections, router
from django.utils import timezone

from routing.live.credentials import Credential
from routing.live.messages import key_of
from routing.live.models import Ticket

LIFETIME = timedelta(seconds=30)

REDEEM = """
    DELETE FROM {table} WHERE digest = %s AND expires_at > %s
    RETURNING user_id, session_key, token_id
"""


def issue(user: Any, *, session_key: str = "", token_id: int | None = None) -> str:
    """A new ticket; it is shown this once, only its hash is kept."""
    text = secrets.token_urlsafe(24)
    Ticket.objects.create(
        digest=_digest(text),
        user=user,
        session_key=session_key,
        token_id=token_id,
        expires_at=timezone.now() + LIFETIME,
    )
    return text


def redeem(text: str) -> Credential | None:
    """What the ticket was made from. Of two who redeem it at once the database chooses one."""
    connection = connections[router.db_for_write(Ticket)]
    statement = REDEEM.format(table=connection.ops.quote_name(Ticket._meta.db_table))
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    with connection.cursor() as cursor:
        cursor.execute(statement, [_digest(text), now])
        row = cursor.fetchone()
    if row is None:
        return None
    # a plain cursor on SQLite gives UUIDs as text
    user_id = get_user_model()._meta.pk.to_python(row[0])
    return Credential(key=key_of(user_id), session_key=row[1], token_id=row[2])


def sweep() -> bool:
    """Removes tickets that nobody redeemed in time; for the worker."""
    Ticket.objects.filter(expires_at__lt=timezone.now() - LIFETIME).delete()
    return False


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
