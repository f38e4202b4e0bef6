"""Where the live road works on the database: a bounded pool of threads of its own.

The one thread that Django's async functions share is never used: one slow call there would hold
up every socket of the process.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from django.db import close_old_connections

P = ParamSpec("P")
T = TypeVar("T")

STOP_LIMIT = 5.0  # seconds that work in hand may still take when the process ends


class Executor:
    def __init__(self, threads: int, *, name: str) -> None:
        self._pool = ThreadPoolExecutor(max_workers=max(threads, 1), thread_name_prefix=name)

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`work` in a thread. It goes on to its end there also when the caller is cancelled."""
        call = partial(work, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._pool, _in_thread, call)

    async def stop(self) -> None:
        end = partial(self._pool.shutdown, wait=True, cancel_futures=True)
        try:
            async with asyncio.timeout(STOP_LIMIT):
                await asyncio.to_thread(end)
        except TimeoutError:
            pass  # its threads end with their calls

    def abandon(self) -> None:
        """Threads end with their calls; nobody waits for them."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _in_thread(call: Callable[[], T]) -> T:
    close_old_connections()
    try:
        return call()
    finally:
        close_old_connections()
