"""An event loop in a thread of its own, so that tests stay plain functions."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

LIMIT = 30.0  # seconds


class LoopThread:
    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def run(self, coroutine: Coroutine[Any, Any, T], timeout: float = LIMIT) -> T:
        """What the coroutine answers; called from another thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout)

    def call(self, act: Callable[[], T]) -> T:
        """`act` on the loop, where nothing else runs meanwhile."""

        async def called() -> T:
            return act()

        return self.run(called())

    def close(self) -> None:
        async def last() -> None:
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.loop.shutdown_default_executor()

        if self._thread.is_alive():
            self.run(last())
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(LIMIT)
            self.loop.close()
