"""Sends a batch concurrently, one request per message, and gives one outcome for each."""

import asyncio
import logging
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from routing.push.backends import answers
from routing.push.outcomes import Outcome, Prepared

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


class Lanes:
    """How many requests of an application are under way: in all, and to one origin.

    An origin that hangs fills its own lanes and leaves the others'.
    """

    def __init__(self, *, total: int, per_origin: int) -> None:
        self._all = asyncio.Semaphore(total)
        self._per_origin = per_origin
        # Weak: whoever registers many origins must not fill the memory with them.
        self._origins: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def send(
        self,
        batch: Sequence[Prepared],
        deliver: Callable[[Prepared], Awaitable[Result]],
        origin: Callable[[Prepared], str],
    ) -> AsyncGenerator[tuple[Any, Result | Outcome], None]:
        """Every message ends in an outcome, whatever `deliver` raises. Closing the generator early
        ends the requests that are under way: hand it on as it is, for one that only loops over it
        would not pass the closing on."""
        done: asyncio.Queue[asyncio.Task[Result | Outcome]] = asyncio.Queue()
        tasks: dict[asyncio.Task[Result | Outcome], Any] = {}
        for message in batch:
            task = asyncio.ensure_future(self._one(message, deliver, origin(message)))
            task.add_done_callback(done.put_nowait)
            tasks[task] = message.ref
        try:
            for _ in range(len(batch)):
                task = await done.get()
                yield tasks.pop(task), task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _one(
        self, message: Prepared, deliver: Callable[[Prepared], Awaitable[Result]], origin: str
    ) -> Result | Outcome:
        lane = self._origins.get(origin)
        if lane is None:
            lane = self._origins[origin] = asyncio.Semaphore(self._per_origin)
        async with lane, self._all:
            try:
                return await deliver(message)
            except Exception as error:
                # Only the place and the kind: the text of an error can hold an address.
                place = traceback.extract_tb(error.__traceback__)[-1]
                logger.error(
                    "send failed error=%s at=%s:%s", type(error).__name__, place.name, place.lineno
                )
                return answers.no_answer(error, sent=True)
