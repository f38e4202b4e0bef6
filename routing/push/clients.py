"""Backends that are open: one per application, in a loop of their own, for as long as it pays.

A worker has its own; whoever sends or asks at once shares those of the process (`shared`), so that
connections and access tokens outlive a call.
"""

import atexit
import os
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from routing.push import applications
from routing.push.backends.base import PushBackend
from routing.push.handing_over import Endpoint
from routing.push.models import Application
from routing.push.outcomes import Prepared
from routing.push.sending import Answers, Sender

T = TypeVar("T")

#: What tells one set of credentials from another.
VERSION = ("version", "fingerprint", "backend", "concurrency")


class Clients:
    """Safe to be used by several threads; of no use after a fork."""

    def __init__(self) -> None:
        self._sender: Sender | None = None
        self._known: dict[int, Endpoint] = {}
        self._lock = threading.Lock()

    def endpoint(self, application: Application) -> Endpoint:
        """The application's backend; another one when its credentials have changed.

        Raises whatever makes the backend impossible to load.
        """
        with self._lock:
            known = self._known.get(application.pk)
            if known is not None and all(
                getattr(known.application, name) == getattr(application, name) for name in VERSION
            ):
                return known
            kind = applications.backend_of(application)
            backend = kind(applications.credentials_of(application))
            sender = self._sender = self._sender or Sender()
            fresh = self._known[application.pk] = Endpoint(application, sender.adopt(backend))
            if known is not None:
                sender.retire(known.lived)
            return fresh

    def hand_over(self, endpoint: Endpoint, batch: Sequence[Prepared], answers: Answers) -> None:
        """Each message is answered once in `answers`, also when the clients are closed."""
        assert self._sender is not None  # noqa: S101 - made with the endpoint
        self._sender.hand_over(endpoint.lived, batch, answers)

    def ask(
        self, endpoint: Endpoint, question: Callable[[PushBackend], Coroutine[Any, Any, T]]
    ) -> T:
        """What a coroutine of the open backend returns; waits for it. Raises what it raises, and
        `NotOpened`."""
        assert self._sender is not None  # noqa: S101 - made with the endpoint
        return self._sender.ask(endpoint.lived, question)

    def close(self) -> None:
        """Ends what is still under way (it is answered as `retry`) and all backends."""
        with self._lock:
            sender, self._sender, self._known = self._sender, None, {}
        if sender is not None:
            sender.close()


_shared: tuple[int, Clients] | None = None
_shared_lock = threading.Lock()


def shared() -> Clients:
    """This process's: made at the first need, anew after a fork, closed at its end."""
    global _shared
    with _shared_lock:
        if _shared is None or _shared[0] != os.getpid():
            _shared = (os.getpid(), Clients())
        return _shared[1]


def close_shared() -> None:
    global _shared
    with _shared_lock:
        found, _shared = _shared, None
    if found is not None and found[0] == os.getpid():
        found[1].close()


def _after_fork() -> None:
    # the lock may have been another thread's at that moment
    global _shared, _shared_lock
    _shared, _shared_lock = None, threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(close_shared)
