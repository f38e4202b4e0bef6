"""The hub's ASGI application: hands HTTP to Django, and serves the live road."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, cast

from django.urls import path

from routing.live import runtime
from routing.live.consumer import LiveConsumer

logger = logging.getLogger(__name__)

PATH = "/ws/notifications"

Application = Callable[[Any, Any, Any], Awaitable[None]]

#: For projects that have a ProtocolTypeRouter and URLRouter of their own.
websocket_urlpatterns = [path(PATH.removeprefix("/"), cast(Any, LiveConsumer.as_asgi()))]


def hub_application(http: Application) -> Application:
    """`http` (Django's ASGI application) with `/ws/notifications` beside it."""
    live = LiveConsumer.as_asgi()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        kind = scope["type"]
        if kind == "http":
            _start()
            await http(scope, receive, send)
        elif kind == "websocket":
            if _path_of(scope) == PATH:
                await live(scope, receive, send)
            else:
                await _refuse(scope, receive, send)
        elif kind == "lifespan":
            await _lifespan(receive, send)
        else:
            raise ValueError(f"the hub does not speak {kind}")

    return application


def _start() -> None:
    """Where the server tells nothing of its start, the first request does."""
    try:
        runtime.running()
    except Exception:
        logger.exception("runtime not started")


def _path_of(scope: Any) -> str:
    found: str = scope["path"]
    return found.removeprefix(scope.get("root_path") or "")


async def _refuse(scope: Any, receive: Any, send: Any) -> None:
    """404 where the server can say so, else 403, as before any accept."""
    await receive()
    if "websocket.http.response" in (scope.get("extensions") or {}):
        start = {"type": "websocket.http.response.start", "status": 404, "headers": []}
        await send(start)
        await send({"type": "websocket.http.response.body", "body": b"Not Found"})
    else:
        await send({"type": "websocket.close"})


async def _lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            try:
                runtime.running()
            except Exception as error:
                logger.exception("runtime not started")
                await send({"type": "lifespan.startup.failed", "message": repr(error)})
                return
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await runtime.stop()
            await send({"type": "lifespan.shutdown.complete"})
            return
