"""Bearer tokens: how apps sign in. Only the hash of a token is stored."""

import hashlib
import re
import secrets
from datetime import timedelta
from typing import Any

from django.db import router, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from notifications import inbox
from notifications.compiled import ByText
from notifications.conf import conf
from notifications.models import Inbox, Token
from notifications.words import clean_text

#: What every token begins with, so that scanners for leaked secrets find it.
PREFIX = "hub_"
SECRET = 32  # bytes of randomness
TEXT = re.compile(PREFIX + r"[A-Za-z0-9_-]{20,100}", re.ASCII)
MAX_NAME = 100  # characters

#: Every request by token asks it, and it alone: whoever is out is out from the next one on.
BY_DIGEST = ByText(Token, field="digest", related="user")
#: The same, and where the user's inbox stands: of who looks again and again whether there is news,
#: a second statement costs a fifth (docs/performance.md).
WITH_INBOX = ByText(Token, field="digest", related="user", beside=inbox.STAND)

#: `last_used_at` is right to within this.
USE_NOTED_EVERY = timedelta(minutes=1)


def make(user: Any, *, name: str = "") -> str:
    """A new token of `user`; its text is shown this once.

    Above the setting TOKENS_PER_USER the user's oldest token ends. Raises `InvalidField` for a
    name over 100 characters or of several lines.
    """
    name = clean_text("name", name, limit=MAX_NAME)
    using = router.db_for_write(Token)
    text = PREFIX + secrets.token_urlsafe(SECRET)
    with transaction.atomic(using=using):
        Token.objects.using(using).create(user=user, name=name, digest=digest(text))
        rows = of_user(user)
        kept = list(rows.values_list("pk", flat=True)[: max(conf().tokens_per_user, 1)])
        rows.exclude(pk__in=kept).delete()
    return text


def find(text: str, *, with_inbox: bool = False) -> Token | None:
    """The live token with this text and its user, or None; says that it was used. `with_inbox`:
    its `inbox_stand` is for `inbox.summary`, where tokens and inboxes are in one database.

    A token of an inactive user is not live.
    """
    if TEXT.fullmatch(text) is None:
        return None
    using = router.db_for_write(Token)
    together = with_inbox and using == router.db_for_write(Inbox)
    found = (WITH_INBOX if together else BY_DIGEST).get(digest(text), using=using)
    if found is None or not getattr(found[0].user, "is_active", True):
        return None
    token, stand = found
    token.inbox_stand = stand or None
    note_use(token, Token.objects.using(using))
    return token


def note_use(row: Any, rows: QuerySet[Any]) -> None:
    """Sets `last_used_at` of what was just used, one of `rows`; right to `USE_NOTED_EVERY`."""
    at = timezone.now()
    before = at - USE_NOTED_EVERY
    if row.last_used_at is None or row.last_used_at <= before:
        # conditional: of many requests at once one writes
        noted = rows.filter(Q(last_used_at=None) | Q(last_used_at__lte=before), pk=row.pk)
        noted.update(last_used_at=at)
        row.last_used_at = at


def revoke(user: Any, *, token_id: int) -> bool:
    """Ends one of the user's own tokens; False where they have none with this id."""
    if not 0 < token_id < 2**63:
        return False
    return bool(of_user(user).filter(pk=token_id).delete()[0])


def of_user(user: Any) -> QuerySet[Token]:
    """The user's tokens, newest first."""
    return Token.objects.using(router.db_for_write(Token)).filter(user=user).order_by("-pk")


def digest(text: str) -> str:
    # Plain SHA-256: what is hashed is random, so there is nothing that could be guessed.
    return hashlib.sha256(text.encode()).hexdigest()
