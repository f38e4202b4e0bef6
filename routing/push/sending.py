"""The event loop in which backends live, in a thread of its own.

Backends keep connections, tokens and signed headers: they are opened once and closed when their
application's credentials change or the worker ends. What they answer goes into a queue of whoever
handed the message over, and who alone touches the database.
"""

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

from django.core.exceptions import ImproperlyConfigured

from routing.push import measures
from routing.push.backends.base import PushBackend
from routing.push.outcomes import Outcome, Prepared, Scope, Verdict

logger = logging.getLogger(__name__)

T = TypeVar("T")
#: `(ref, outcome)` of each message that was handed over.
Answers = queue.SimpleQueue[tuple[Any, Outcome]]

#: Beyond twice the time of a request (one may wait for another's lane), before a backend that
#: does not answer is given up.
SLACK = timedelta(seconds=2)
CLOSING = 5.0  # seconds that backends have to close their connections
#: Look-ups of names and requests for access tokens that may wait at once: some providers' may hang.
THREADS = 32

#: For what was on its way when the worker ended: nobody answered.
HANDED_BACK = Outcome(verdict=Verdict.RETRY, reason="worker stopped", may_have_arrived=True)


def time_limit(backend: type[PushBackend]) -> timedelta:
    """How long handing a batch over may take."""
    return timedelta(seconds=2 * backend.limits.request_seconds) + SLACK


@dataclass(slots=True)
class Lived:
    """A backend in the loop, for one version of an application's credentials."""

    backend: PushBackend
    opened: "asyncio.Task[None] | None" = None
    tasks: "set[asyncio.Task[None]]" = field(default_factory=set)


class Sender:
    """Takes batches from other threads and gives back `(ref, outcome)` in the queues they name."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(ThreadPoolExecutor(THREADS, thread_name_prefix="hub-push"))
        self._all: list[Lived] = []
        self._thread = threading.Thread(target=self._run, name="hub-push", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def adopt(self, backend: PushBackend) -> Lived:
        lived = Lived(backend)
        self._all.append(lived)
        return lived

    def retire(self, lived: Lived) -> None:
        """Closes a backend when what it has in hand is answered."""
        self._all.remove(lived)
        asyncio.run_coroutine_threadsafe(self._retire(lived), self._loop)

    def hand_over(self, lived: Lived, batch: Sequence[Prepared], answers: Answers) -> None:
        asyncio.run_coroutine_threadsafe(self._start(lived, batch, answers), self._loop)

    def ask(self, lived: Lived, question: Callable[[PushBackend], Coroutine[Any, Any, T]]) -> T:
        """What a coroutine of the open backend returns; waits for it. Raises what it raises, and
        `NotOpened`."""
        return asyncio.run_coroutine_threadsafe(self._ask(lived, question), self._loop).result()

    async def _ask(
        self, lived: Lived, question: Callable[[PushBackend], Coroutine[Any, Any, T]]
    ) -> T:
        await self._open(lived)
        return await question(lived.backend)

    def close(self) -> None:
        """Ends what is still under way (it is answered as `retry`) and all backends."""
        if self._loop.is_closed():
            return
        closing = asyncio.run_coroutine_threadsafe(self._close(), self._loop)
        try:
            closing.result(CLOSING + 1)
        except Exception as error:
            logger.warning("sender close failed error=%s", type(error).__name__)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CLOSING)
        if not self._thread.is_alive():
            self._loop.close()

    async def _start(self, lived: Lived, batch: Sequence[Prepared], answers: Answers) -> None:
        task = asyncio.ensure_future(self._send(lived, batch, answers))
        lived.tasks.add(task)
        task.add_done_callback(lived.tasks.discard)

    async def _send(self, lived: Lived, batch: Sequence[Prepared], answers: Answers) -> None:
        """Every message is answered once, whatever the backend does."""
        missing = {message.ref for message in batch}
        lost = Outcome(verdict=Verdict.RETRY, reason="no answer", may_have_arrived=True)
        began, took = time.perf_counter(), []
        try:
            await self._open(lived)
            async with asyncio.timeout(time_limit(type(lived.backend)).total_seconds()):
                async with aclosing(lived.backend.send(batch)) as found:
                    async for ref, outcome in found:
                        if ref in missing:
                            missing.remove(ref)
                            took.append(time.perf_counter() - began)
                            answers.put((ref, outcome))
        except asyncio.CancelledError:
            lost = HANDED_BACK
        except NotOpened as error:
            lost = error.outcome
        except Exception as error:
            # Its text may hold an address.
            logger.error("send failed error=%s", type(error).__name__)
            lost = Outcome(
                verdict=Verdict.RETRY, reason=type(error).__name__, may_have_arrived=True
            )
        finally:
            measures.REQUEST_SECONDS.observe_all(took, lived.backend.name)
            for ref in missing:
                answers.put((ref, lost))

    async def _open(self, lived: Lived) -> None:
        if lived.opened is None:
            lived.opened = asyncio.ensure_future(lived.backend.open())
        try:
            await asyncio.shield(lived.opened)
        except ImproperlyConfigured as error:
            lived.opened = None
            logger.error("backend not opened error=%s", type(error).__name__)
            raise NotOpened(
                Outcome(
                    verdict=Verdict.MISCONFIGURED,
                    reason=f"backend not opened: {type(error).__name__}",
                    scope=Scope.APPLICATION,
                )
            ) from None
        except Exception as error:
            lived.opened = None
            raise NotOpened(
                Outcome(verdict=Verdict.RETRY, reason=f"not opened: {type(error).__name__}")
            ) from None

    async def _retire(self, lived: Lived) -> None:
        if lived.tasks:
            await asyncio.wait(lived.tasks)
        await self._aclose(lived)

    async def _close(self) -> None:
        tasks = [task for lived in self._all for task in lived.tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.wait_for(
            asyncio.gather(*(self._aclose(lived) for lived in self._all)), CLOSING
        )

    async def _aclose(self, lived: Lived) -> None:
        if lived.opened is None:
            return
        try:
            await lived.backend.aclose()
        except Exception as error:
            logger.warning("backend close failed error=%s", type(error).__name__)


class NotOpened(Exception):
    """The backend could not be opened; nothing was handed over."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome
