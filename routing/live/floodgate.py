"""Keeps what one client pours in away from the event loop and from memory: uvicorn bounds neither.

HTTP: it keeps headers however many come, and waits for their end for ever.

WebSocket: it stops reading only behind a whole message. Control frames and fragments never make
one: without this they would keep the loop busy as long as they come, each ping would leave a pong
in the buffer of a client that reads nothing, and each empty fragment an entry in a list.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from routing.live.protocol import TOO_MANY_FRAMES, bye_frame

HEAD = 64 * 1024  # bytes of a request before its body; what the last read brought is not counted
HEAD_WITHIN = 30.0  # seconds for them
TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\n\r\n"

SLICE = 8 * 1024  # bytes looked at in one go: a read may bring 256 KiB, which is 40,000 frames
WAITING = 100  # messages of one read that wait for the application: more are too many in 10 s
PIECES, PIECES_WITHIN = 1_000, 10.0  # control frames and fragments, seconds
AFTER_CLOSE = 256 * 1024  # bytes a client may still have had under way when it was closed


class HeadGate(HttpToolsProtocol):
    """HTTP whose requests begin in bounded time and length."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: Bytes of reads that brought nothing but a part of a head.
        self._head = 0
        self._in_head = True
        self._came_on = False
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_of_wait()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._came_on = False
        super().data_received(data)
        if not self._in_head or self._came_on:
            return
        self._head += len(data)
        if self._head > HEAD:
            self.transport.write(TOO_LONG)
            self.transport.close()

    def handle_websocket_upgrade(self) -> None:
        self._end_of_wait()
        super().handle_websocket_upgrade()
        # it holds on to this protocol: for good, until the garbage collector looks at everything
        self.parser = None  # type: ignore[assignment]

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._deadline is None:
            self._await_head()

    def on_headers_complete(self) -> None:
        self._end_of_wait()
        self._head, self._in_head, self._came_on = 0, False, True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head = self._came_on = True
        super().on_message_complete()

    def _await_head(self) -> None:
        self._deadline = self.loop.call_later(HEAD_WITHIN, self.transport.abort)

    def _end_of_wait(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class Floodgate(WebSocketsSansIOProtocol):
    """Cuts off whoever sends more than a client has reason to (docs/protocol.md, section 6.7)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._pieces = 0
        self._pieces_since = 0.0
        self._after_close = 0

    def cut(self, code: int, bye: str) -> None:
        raise NotImplementedError

    def data_received(self, data: bytes) -> None:
        if self.close_sent:
            self._after_close += len(data)
            if self._after_close > AFTER_CLOSE:
                self.transport.abort()
        for start in range(0, len(data), SLICE):
            if self.transport.is_closing():
                return
            super().data_received(data[start : start + SLICE])
            if self.queue.qsize() > WAITING:
                self._flooded()

    def handle_cont(self, event: Any) -> None:
        self._count_piece()
        super().handle_cont(event)

    def handle_ping(self) -> None:
        self._count_piece()
        super().handle_ping()

    def handle_pong(self, event: Any) -> None:
        self._count_piece()
        super().handle_pong(event)

    def send_receive_event_to_app(self) -> None:
        """Text that is not UTF-8 is the client's fault: uvicorn would log an error with a trace."""
        if self.curr_msg_data_type == "text" and not self.close_sent:
            self.frames = [b"".join(self.frames)]
            try:
                self.frames[0].decode()
            except UnicodeDecodeError:
                self.frames = []
                self.conn.send_close(1007)
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()

    def _count_piece(self) -> None:
        now = self.loop.time()
        if now - self._pieces_since > PIECES_WITHIN:
            self._pieces, self._pieces_since = 0, now
        self._pieces += 1
        if self._pieces > PIECES:
            self._flooded()

    def _flooded(self) -> None:
        self.cut(TOO_MANY_FRAMES, bye_frame(TOO_MANY_FRAMES))
