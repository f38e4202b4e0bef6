"""uvicorn as `manage.py serve` runs it; every setting has its reason beside it."""

import asyncio
import gc
import logging
import os
import signal
import socket
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn

from routing.live import runtime
from routing.live.floodgate import Floodgate, HeadGate
from routing.live.sockets import Socket

logger = logging.getLogger(__name__)
#: The library's: its line for every accepted socket would hold the query string. Set here and not
#: for each socket, because a level that is set empties the caches of all loggers.
quiet = logging.getLogger("routing.live.server.sockets")
quiet.setLevel(logging.WARNING)

#: Twice what a client's frame may have, so that up to here the hub itself can answer with 4503.
LARGEST_MESSAGE = 128 * 1024
GRACE = 10  # seconds that requests and sockets may take at the end
UNANSWERED = 30_000  # milliseconds after which the kernel gives up a client that takes nothing
LINGER = 5.0  # seconds a client that is cut off has for what was written to it before
BACKLOG = 2048
YOUNG = 10_000  # objects more than at the last look that make the garbage collector look again


class HubProtocol(Floodgate):
    """Gives sockets what ASGI does not (`sockets.Connection`).

    Live frames go to the transport as ready bytes: through `send` and the library's state machine
    each would cost twice as much (benchmarks/README.md). Whenever the library closes a connection
    it closes the transport too, which drops what is written then. And a connection whose client
    takes nothing can be ended: `send` would wait for ever.
    """

    _socket: Socket | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = self.conn.logger = quiet

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        scope: Any = getattr(self, "scope", None)
        if scope is not None:  # not where the handshake failed
            scope["extensions"]["hub.connection"] = self

    def attach(self, socket: Socket) -> Callable[[bytes], object]:
        self._socket = socket
        return self.transport.write

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._socket = None
        # What holds itself is freed only when the garbage collector looks at everything, which is
        # seldom: 20 kB for each socket that came and went.
        scope: Any = getattr(self, "scope", None)
        if scope is not None:
            scope["extensions"].pop("hub.connection", None)
        self.conn.parser.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._socket is not None:
            self._socket.hold(self.writable.wait)

    def cut(self, code: int, bye: str) -> None:
        """Bye and close behind what waits in the buffer; the connection ends soon either way."""
        if self.close_sent or self.transport.is_closing():
            return
        self.stop_keepalive()
        try:
            self.conn.send_text(bye.encode())
            self.conn.send_close(code)
            self.transport.write(b"".join(self.conn.data_to_send()))
        except Exception as error:
            logger.info("cut unsaid error=%r", error)
        self.close_sent = True
        self.transport.close()
        self.loop.call_later(LINGER, self.transport.abort)


class HubServer(uvicorn.Server):
    """Says bye to every socket before uvicorn closes them with 1012."""

    def __init__(
        self, config: uvicorn.Config, *, ready: Callable[[], None], parent: int | None = None
    ) -> None:
        super().__init__(config)
        self._ready = ready
        self._parent = parent

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started:
            self._ready()

    async def on_tick(self, counter: int) -> bool:
        if self._parent is not None and os.getppid() != self._parent:
            # whoever would restart and end this process is gone
            logger.warning("parent gone pid=%d", self._parent)
            return True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # no await in between: nobody connects unseen
        runtime.say_goodbye()
        await super().shutdown(sockets=sockets)


def listening_socket(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # inherited by every connection: uvicorn alone never drops a client that stopped reading
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNANSWERED)
        listener.bind((host.strip("[]"), port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def configuration(application: Any, *, proxy_headers: bool = False) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        http=HeadGate,
        ws=HubProtocol,
        ws_max_size=LARGEST_MESSAGE,
        ws_ping_interval=20.0,
        ws_ping_timeout=20.0,
        # frames are small and many: it would cost memory per socket
        ws_per_message_deflate=False,
        lifespan="on",
        # Django has set up logging; uvicorn's own access log would hold query strings
        log_config=None,
        access_log=False,
        # who may be believed depends on the proxy in front: off unless asked for
        proxy_headers=proxy_headers,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
        backlog=BACKLOG,
    )


def _nothing(number: int, frame: FrameType | None) -> None:
    pass


def _spare_the_collector() -> None:
    """What has been imported by now stays, and need not be looked through again and again; a
    socket that opens makes a hundred objects that stay, too."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])


def serve(
    application: Any,
    listener: socket.socket,
    *,
    ready: Callable[[], None],
    parent: int | None = None,
    proxy_headers: bool = False,
) -> None:
    """Serves until SIGINT or SIGTERM comes, and returns when everything is ended."""
    # uvicorn raises the signal again at its end: by default that would kill this process before
    # its last messages have left
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _nothing)
    config = configuration(application, proxy_headers=proxy_headers)
    server = HubServer(config, ready=ready, parent=parent)
    factory = config.get_loop_factory()
    _spare_the_collector()
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(server.serve(sockets=[listener]))
