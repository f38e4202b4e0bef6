"""Waits for a condition with a time limit, instead of sleeping and hoping."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

EVERY = 0.01  # seconds between two looks
LIMIT = 5.0  # seconds


def wait_for(
    condition: Callable[[], T], timeout: float = LIMIT, *, every: float = EVERY, what: str = ""
) -> T:
    """The first true answer of `condition`; after `timeout` seconds an AssertionError."""
    end = time.monotonic() + timeout
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() >= end:
            raise AssertionError(_too_late(condition, timeout, answer, what))
        time.sleep(every)


async def await_for(
    condition: Callable[[], T | Awaitable[T]],
    timeout: float = LIMIT,  # noqa: ASYNC109 - the condition may be a plain function
    *,
    every: float = EVERY,
    what: str = "",
) -> T:
    """As `wait_for`, on the event loop; the condition may be a coroutine function."""
    end = time.monotonic() + timeout
    while True:
        answer = condition()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return answer
        if time.monotonic() >= end:
            raise AssertionError(_too_late(condition, timeout, answer, what))
        await asyncio.sleep(every)


def _too_late(condition: object, timeout: float, answer: object, what: str) -> str:
    name = what or getattr(condition, "__qualname__", repr(condition))
    return f"waited {timeout:g} s for: {name} (last answer: {answer!r})"
