"""One HTTP/2 connection to APNs, on the library h2: requests as streams, each ended exactly once.

What the connection must live through, seen at Apple or at peers (docs/apns.md): refused streams,
a limit on streams that drops to one while hundreds are under way, GOAWAY, answers without a body
or in parts, answers that never come.
"""

import asyncio
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.exceptions import H2Error, NoAvailableStreamIDError
from h2.settings import SettingCodes

from routing.push.backends import answers
from routing.push.backends.answers import Answer
from routing.push.backends.apns_h2 import QuickConnection
from routing.push.outcomes import Outcome, Scope, Verdict

#: How many streams one connection is given, whatever more the peer allows. Apple allows 1,000.
MAX_STREAMS = 1000
#: How much of an answer is kept.
MAX_ANSWER = 4096
#: What the peer may send before it waits for our word; APNs' answers are small.
WINDOW = 4 * 1024 * 1024  # bytes

Headers = Sequence[tuple[bytes, bytes]]
Result = Answer | Outcome


class Request:
    """A message on its way; `done` is called once, with an answer or with what came instead."""

    __slots__ = ("began", "body", "connection", "done", "headers", "queued", "stream", "tries")

    def __init__(self, headers: Headers, body: bytes, done: Callable[[Result], None]) -> None:
        self.headers, self.body = headers, body
        self.done: Callable[[Result], None] | None = done
        self.queued = self.began = 0.0
        self.tries = 0
        self.connection: Connection | None = None
        self.stream = 0

    def end(self, result: Result) -> None:
        done, self.done, self.connection = self.done, None, None
        if done is not None:
            done(result)


class Owner(Protocol):
    """What a connection tells, and whom."""

    def again(self, request: Request) -> None:
        """This request was certainly not processed."""

    def ended(self, connection: "Connection") -> None:
        """The connection is gone, and nothing is under way on it."""

    def pump(self) -> None:
        """There may be room for requests that wait."""

    def is_stale(self, answer: Answer) -> bool:
        """Whether after this answer another connection should be used."""


class Connection(asyncio.Protocol):
    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._h2 = QuickConnection()
        self._transport: Any = None
        self._replies: dict[int, tuple[int, dict[str, str], bytearray]] = {}
        #: In the order in which they began.
        self.under_way: dict[int, Request] = {}
        #: No new requests: it is closed when the last is answered.
        self.retired = False
        self.answered = 0
        self.heard = time.monotonic()
        self._asked = False
        self._max_streams = 0
        loop = asyncio.get_running_loop()
        #: The peer has said how many streams it allows.
        self.ready: asyncio.Future[None] = loop.create_future()
        self.lost: asyncio.Future[None] = loop.create_future()
        self.error: Exception | None = None

    # The pool's side

    def protocol_spoken(self) -> str | None:
        found: str | None = self._transport.get_extra_info("ssl_object").selected_alpn_protocol()
        return found

    def room(self) -> int:
        if self.retired or self._transport.is_closing():
            return 0
        return self._max_streams - len(self.under_way)

    def takes(self, body: bytes) -> bool:
        """Whether the peer would take a body of this size now."""
        window = self._h2.outbound_flow_control_window
        return len(body) <= min(window, self._h2.remote_settings.initial_window_size)

    def send(self, request: Request) -> bool:
        """Puts it on a stream of its own; `flush` follows. False where no more streams can be."""
        try:
            stream = self._h2.get_next_available_stream_id()
        except NoAvailableStreamIDError:
            self.retire()
            return False
        request.connection, request.stream = self, stream
        request.began = time.monotonic()
        self._h2.send_headers(stream, list(request.headers))
        self._h2.send_data(stream, request.body, end_stream=True)
        self.under_way[stream] = request
        self._h2.under_way += 1
        if stream % 256 == 1:
            self._h2.tidy()
        return True

    def flush(self) -> None:
        data = self._h2.data_to_send()
        if data and not self._transport.is_closing():
            self._transport.write(data)

    def cancel(self, request: Request) -> None:
        """Gives the request up, without a word to who asked."""
        if self._take(request.stream) is not None:
            self._h2.reset_stream(request.stream, ErrorCodes.CANCEL)
            self.flush()
            self._end_if_done()

    def expire(self, before: float) -> None:
        """Ends what began before this time. One answer that does not come may mean that none does:
        the connection is retired."""
        late = []
        for request in self.under_way.values():
            if request.began > before:
                break
            late.append(request)
        for request in late:
            self.retired = True
            self.cancel(request)
            request.end(answers.no_answer(TimeoutError(), sent=True))

    def ping(self) -> None:
        """Once; whatever comes from the peer counts as its answer."""
        if not self._asked:
            self._asked = True
            self._h2.ping(b"are you?")
            self.flush()

    def retire(self) -> None:
        self.retired = True
        self._end_if_done()

    def close(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._h2.close_connection()
            self.flush()
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # The peer's side

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._h2.local_settings.enable_push = 0
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(WINDOW)
        self.flush()

    def data_received(self, data: bytes) -> None:
        self.heard, self._asked = time.monotonic(), False
        try:
            for event in self._h2.receive_data(data):
                self._hear(event)
        except H2Error as error:
            self.flush()  # tells the peer what was wrong
            self._fail(error)
            self.abort()
            return
        self._owner.pump()
        self.flush()
        self._end_if_done()

    def _hear(self, event: Event) -> None:
        if isinstance(event, ResponseReceived):
            headers = {name.decode(): value.decode("latin-1") for name, value in event.headers}
            self._replies[event.stream_id] = (int(headers[":status"]), headers, bytearray())
        elif isinstance(event, StreamEnded):
            self._finish(event.stream_id)
        elif isinstance(event, DataReceived):
            # The whole window is given back, or the peer would have to stop sending some day:
            # that is what makes aioapns hang after some 1,340 errors.
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            reply = self._replies.get(event.stream_id)
            if reply is not None:
                reply[2].extend(event.data[: MAX_ANSWER - len(reply[2])])
        elif isinstance(event, StreamReset):
            self._reset(event)
        elif isinstance(event, RemoteSettingsChanged):
            found = self._h2.remote_settings.get(SettingCodes.MAX_CONCURRENT_STREAMS, MAX_STREAMS)
            self._max_streams = min(found, MAX_STREAMS)
            if not self.ready.done():
                self.ready.set_result(None)
        elif isinstance(event, ConnectionTerminated):
            self.retired = True
            last = event.last_stream_id or 0
            for stream in [each for each in self.under_way if each > last]:
                self._again(stream)

    def _finish(self, stream: int) -> None:
        request, reply = self._take(stream), self._replies.pop(stream, None)
        if request is None:
            return
        if reply is None:
            request.end(answers.no_answer(H2Error(), sent=True))
            return
        status, headers, body = reply
        self.answered += 1
        named = {"Retry-After": headers["retry-after"]} if "retry-after" in headers else {}
        answer = Answer(status, {**headers, **named}, bytes(body))
        if status != 200 and self._owner.is_stale(answer):
            self.retired = True
        request.end(answer)

    def _reset(self, event: StreamReset) -> None:
        if event.stream_id in self._replies:
            self._finish(event.stream_id)  # the status is there; more than that is only its reason
        elif event.error_code == ErrorCodes.REFUSED_STREAM:
            self._again(event.stream_id)
        else:
            request = self._take(event.stream_id)
            if request is not None:
                request.end(reset_by_peer(sent=True))

    def _again(self, stream: int) -> None:
        request = self._take(stream)
        self._replies.pop(stream, None)
        if request is not None:
            request.connection = None
            self._owner.again(request)

    def _take(self, stream: int) -> Request | None:
        request = self.under_way.pop(stream, None)
        if request is not None:
            self._h2.under_way -= 1
        return request

    def _end_if_done(self) -> None:
        if self.retired and not self.under_way:
            self.close()

    def connection_lost(self, error: Exception | None) -> None:
        self.error = error
        self._fail(error or ConnectionResetError())
        for waiting in (self.ready, self.lost):
            if not waiting.done():
                waiting.set_result(None)
        self._owner.ended(self)

    def _fail(self, error: Exception) -> None:
        self.retired = True
        under_way, self.under_way = list(self.under_way.values()), {}
        outcome = lost(error, sent=True)
        for request in under_way:
            request.end(outcome)


def reset_by_peer(*, sent: bool) -> Outcome:
    return Outcome(verdict=Verdict.RETRY, reason="stream reset", may_have_arrived=sent)


def lost(error: BaseException, *, sent: bool) -> Outcome:
    """For a connection that ended or did not come about. With TLS 1.3 a client certificate is
    refused by an alert after the handshake."""
    said = str(getattr(error, "reason", "") or "") if isinstance(error, ssl.SSLError) else ""
    if "ALERT" in said and ("CERTIFICATE" in said or "UNKNOWN_CA" in said):
        return Outcome(
            verdict=Verdict.MISCONFIGURED,
            reason="APNs refused our certificate",
            scope=Scope.APPLICATION,
        )
    return answers.no_answer(error, sent=sent)
