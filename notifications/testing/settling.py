"""What the hub would do after a commit, done at once."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from django.db import connections

from notifications import inbox
from notifications.audiences import user_key
from notifications.fanout import fan_out
from notifications.inbox.rows import alias
from notifications.models import Audience, Inbox
from notifications.testing import roads

logger = logging.getLogger(__name__)

#: How many listen for what is announced after a commit: sockets of this test.
_listening = 0


def settle(*, using: str | None = None) -> int:
    """Fans out every waiting Audience row now, due or not, and takes broadcasts in for everybody.

    Works inside `TestCase`, where commit hooks never run, and outside. Returns how many Audience
    rows were done.
    """
    database = alias(using)
    rows = Audience.objects.using(database).waiting().order_by("lane", "pk")
    done = sum(fan_out(row, using=database) for row in list(rows.values_list("pk", flat=True)))
    everybody = Inbox.objects.using(database).values_list("pk", flat=True)
    inbox.take_in([user_key(key, using=database) for key in everybody], using=database)
    if _listening:
        _announce(database)
    return done


@contextmanager
def listening() -> Iterator[None]:
    """Within it `settle` also runs the hub's commit hooks that a `TestCase` keeps back."""
    global _listening
    _listening += 1
    try:
        yield
    finally:
        _listening -= 1


def _announce(using: str) -> None:
    connection: Any = connections[using]
    if not all(getattr(block, "_from_testcase", False) for block in connection.atomic_blocks):
        return  # the code under test has a transaction open: nothing is committed yet
    hooks = connection.run_on_commit
    while waiting := [place for place, (_, hook, *_) in enumerate(hooks) if _is_ours(hook)]:
        for place in waiting:
            savepoints, hook, robust = hooks[place]
            # Left in its place: whoever captures hooks counts them.
            hooks[place] = (savepoints, _done, robust)
            try:
                hook()
            except Exception:
                if not robust:
                    raise
                logger.exception("commit hook failed")


def _done() -> None:
    """In the place of a hook that was run."""


def _is_ours(hook: Callable[..., Any]) -> bool:
    while isinstance(hook, partial):
        hook = hook.func
    package = getattr(hook, "__module__", "").partition(".")[0]
    return hook is not _done and package in roads.packages()
