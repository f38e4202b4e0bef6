"""Where the time of issue of APNs tokens is asked for: in a store of all processes, or our own.

A backend touches no database; who has one gives it here (`routing.push.provider_tokens`). Nothing
of a vendor is imported, for that happens when the project starts.
"""

from collections.abc import Awaitable, Callable

#: Seconds. A time of issue that lies further ahead comes from a clock that was wrong.
SKEW = 5 * 60

#: Gives the time of issue that all processes use for a key: `await store(key, at=now, before=t)`
#: renews it to `at` if it lies before `t`.
Store = Callable[..., Awaitable[int]]

_issued: dict[str, int] = {}


async def alone(key: str, *, at: int, before: int) -> int:
    """For who has no other processes."""
    found = _issued.get(key, 0)
    if not before <= found <= at + SKEW:
        found = _issued[key] = at
    return found


_store: Store = alone


def share_through(store: Store) -> Store:
    """Returns the store that was asked until now."""
    global _store
    before, _store = _store, store
    return before


async def ask(key: str, *, at: int, before: int) -> int:
    return await _store(key, at=at, before=before)
