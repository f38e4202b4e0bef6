"""Serves static files before any view, and costs nothing where something else is asked for.

ServeStatic's own middleware is asynchronous only: every request would go from its thread to the
event loop and back.
"""

from collections.abc import Awaitable, Callable

from asgiref.sync import async_to_sync, iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.http import HttpRequest, HttpResponseBase
from servestatic.middleware import ServeStaticMiddleware

Answer = HttpResponseBase | Awaitable[HttpResponseBase]


class StaticFilesMiddleware:
    """Asks ServeStatic for what lies below STATIC_URL; under either of Django's handlers."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Answer]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)
        self.files = ServeStaticMiddleware(
            get_response if self.is_async else sync_to_async(get_response)
        )

    def __call__(self, request: HttpRequest) -> Answer:
        if not request.path_info.startswith(self.files.static_prefix):
            return self.get_response(request)
        answer: Answer = (self.files if self.is_async else async_to_sync(self.files))(request)
        return answer
