"""What this process has counted since its last flush. A lock and an addition."""

import os
import threading
from collections.abc import Callable, Iterable

_lock = threading.Lock()
_pending: dict[str, int] = {}

#: Set by `flushing`: called when there is something to flush for the first time.
begin: Callable[[], None] = lambda: None  # noqa: E731 - replaced at import


def add(series: str, by: int) -> None:
    with _lock:
        first = not _pending
        _pending[series] = _pending.get(series, 0) + by
    if first:
        begin()


def add_all(increments: Iterable[tuple[str, int]]) -> None:
    with _lock:
        first = not _pending
        for series, by in increments:
            _pending[series] = _pending.get(series, 0) + by
    if first:
        begin()


def take() -> dict[str, int]:
    """All of it; from now on it is the caller's."""
    global _pending
    with _lock:
        taken, _pending = _pending, {}
    return taken


def _forget() -> None:
    """In a forked child: what the parent has counted is the parent's, and so is its lock."""
    global _lock, _pending
    _lock, _pending = threading.Lock(), {}


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
