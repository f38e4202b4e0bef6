"""Django over HTTP under ASGI: a whole request is one call in a thread that is kept.

Django's own handler starts a thread for every request, and goes there and back for every
middleware: of a small request that is four fifths of the server's work (docs/performance.md).
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any, ParamSpec, TypeVar

import django
from asgiref.sync import sync_to_async
from django.core import signals
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.db import close_old_connections, connections
from django.http import FileResponse
from django.urls import set_script_prefix

P = ParamSpec("P")
T = TypeVar("T")

KEPT = 32  # idle threads


def http_application() -> "RequestHandler":
    """In the place of Django's `get_asgi_application()`, for projects whose views and middleware
    are synchronous. Asynchronous ones work, but each holds a thread while it runs, and goes on
    when its client has left."""
    django.setup(set_prefix=False)
    return RequestHandler()


class Threads:
    """Threads that are lent to one request at a time, the last used first.

    There are as many as there are requests at work, as with Django's own handler: none ever waits
    for another, so that views which wait (for a lock, for a database that is away) hold up
    nobody, and a view may ask its own server. The connections to a database have a bound of their
    own.
    """

    def __init__(self) -> None:
        self._idle: deque[ThreadPoolExecutor] = deque()

    def take(self) -> ThreadPoolExecutor:
        if self._idle:
            return self._idle.pop()
        return ThreadPoolExecutor(max_workers=1, thread_name_prefix="hub-request")

    def give_back(self, thread: ThreadPoolExecutor) -> None:
        if len(self._idle) < KEPT:
            self._idle.append(thread)
            return
        # where connections persist they belong to their thread
        thread.submit(connections.close_all)
        thread.shutdown(wait=False)


class RequestHandler(ASGIHandler):
    """Runs the synchronous chain of middleware and view, as a WSGI server would."""

    def __init__(self) -> None:
        # not ASGIHandler's own, which would make the chain asynchronous
        super(ASGIHandler, self).__init__()
        self.load_middleware(is_async=False)
        self._threads = Threads()

    async def handle(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            body = await self.read_body(receive)
        except RequestAborted:
            return
        thread = self._threads.take()
        try:
            response = await _run(thread, self._respond, scope, body)
            if not response.streaming:
                await self.send_response(response, send)
            elif response.is_async:
                await _while_there(self.send_response(response, send), receive)
                await sync_to_async(response.close)()
            else:
                parts = iter(response.streaming_content)
                response.streaming_content = _in_thread(thread, parts)
                try:
                    await _while_there(self.send_response(response, send), receive)
                finally:
                    await _run(thread, response.close)
        finally:
            self._threads.give_back(thread)
            body.close()

    def _respond(self, scope: Any, body: IO[bytes]) -> Any:
        """The answer; all that the request held is let go, unless the answer is a stream."""
        set_script_prefix(get_script_prefix(scope))
        signals.request_started.send(sender=type(self), scope=scope)
        request, refusal = self.create_request(scope, body)
        response: Any = refusal if request is None else self.get_response(request)
        response._handler_class = type(self)
        if isinstance(response, FileResponse):
            response.block_size = self.chunk_size
        if not response.streaming:
            response.close()
        elif response.is_async:
            # its parts are made on the loop: this thread's connections are of no use to them
            close_old_connections()
        return response


async def _run(
    thread: ThreadPoolExecutor, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    # asgiref's, so that async_to_sync() in there finds the way back to this loop
    call: Callable[..., Awaitable[T]] = sync_to_async(work, thread_sensitive=False, executor=thread)
    return await call(*args, **kwargs)


async def _in_thread(thread: ThreadPoolExecutor, parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Each part is made in the request's thread; Django alone would make all before the first
    is sent."""
    while (part := await _run(thread, next, parts, None)) is not None:
        yield part


async def _while_there(sending: Awaitable[None], receive: Callable[[], Awaitable[Any]]) -> None:
    """Sends to the end, or until the client has left."""
    sent, left = asyncio.ensure_future(sending), asyncio.ensure_future(receive())
    try:
        await asyncio.wait({sent, left}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        sent.cancel()
        left.cancel()
        result, _ = await asyncio.gather(sent, left, return_exceptions=True)
    if isinstance(result, Exception):
        raise result
