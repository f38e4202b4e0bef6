"""A push service for a real Firefox: the client's half over a WebSocket, the sender's over HTTP.

It speaks what autopush speaks and Firefox expects (`push-notification` over WebSocket), and is as
strict with senders as Mozilla's: VAPID is verified, and what Firefox could not decrypt is known,
because Firefox says so in its acknowledgement.
"""

import asyncio
import base64
import json
import threading
import time
import uuid
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import jwt
from aiohttp import WSMsgType, web
from cryptography.hazmat.primitives.asymmetric import ec

from routing.push.vapid import decode, encode

SUBPROTOCOL = "push-notification"
#: What Firefox says of a message: it reached the service worker, or it could not be decrypted.
DELIVERED, NOT_DECRYPTED = 100, 101
MAX_BODY = 4096
START = 10.0  # seconds


@dataclass
class Subscription:
    """One channel of one browser: where a service worker is pushed to."""

    channel: str
    uaid: str
    #: The public key that alone may push here, if the page named one.
    key: str
    endpoint: str
    live: bool = True


@dataclass
class Relay:
    """Runs in a thread of its own, beside a test that is not asynchronous."""

    port: int = 0
    #: By the last part of the endpoint.
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    #: What senders were answered.
    answers: list[int] = field(default_factory=list)
    #: Headers of what was accepted, in lower case.
    accepted: list[dict[str, str]] = field(default_factory=list)
    #: What the browser said of each message.
    acks: list[int] = field(default_factory=list)
    _sockets: dict[str, web.WebSocketResponse] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="autopush", daemon=True)
        started = threading.Event()
        self._loop.call_soon(lambda: self._loop.create_task(self._start(started)))
        self._thread.start()
        assert started.wait(START), "the relay did not start"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(START)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(START)
        self._loop.close()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def server_url(self) -> str:
        """Firefox's `dom.push.serverURL`."""
        return f"ws://127.0.0.1:{self.port}/"

    @property
    def live(self) -> list[Subscription]:
        return [found for found in self.subscriptions.values() if found.live]

    def subscription_at(self, endpoint: str) -> Subscription:
        return self.subscriptions[endpoint.rpartition("/")[2]]

    def forget(self, subscription: Subscription) -> None:
        """As Mozilla does with a browser that it has lost: all its addresses end, and it learns so
        when it comes back, which is at once."""
        for found in self.subscriptions.values():
            found.live = found.live and found.uaid != subscription.uaid
        socket = self._sockets.pop(subscription.uaid)
        asyncio.run_coroutine_threadsafe(socket.close(), self._loop).result(START)

    def deliver(self, subscription: Subscription, body: bytes) -> None:
        """A message as it is, past every check."""
        self._say(subscription, message(subscription, body))

    def _say(self, subscription: Subscription, words: dict[str, Any]) -> None:
        sending = self._sockets[subscription.uaid].send_json(words)
        asyncio.run_coroutine_threadsafe(sending, self._loop).result(START)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    async def _start(self, started: threading.Event) -> None:
        app = web.Application()
        app.add_routes([web.get("/", self._client), web.post("/wpush/{name}", self._sender)])
        # What a test leaves open shall not hold it up.
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        started.set()

    # The browser's half

    async def _client(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=[SUBPROTOCOL])
        await socket.prepare(request)
        uaid = ""
        async for frame in socket:
            if frame.type is not WSMsgType.TEXT:
                continue
            words = json.loads(frame.data)
            kind = words.get("messageType")
            if kind == "hello":
                uaid = self._known(words.get("uaid", ""))
                self._sockets[uaid] = socket
            for answer in self._answer(uaid, kind, words):
                await socket.send_json(answer)
        return socket

    def _answer(self, uaid: str, kind: str | None, words: dict[str, Any]) -> list[dict[str, Any]]:
        if kind is None:
            return [{}]  # a ping
        if kind == "hello":
            return [{"messageType": "hello", "uaid": uaid, "status": 200, "use_webpush": True}]
        if kind == "register":
            made = self._register(uaid, words["channelID"], words.get("key", ""))
            return [
                {
                    "messageType": "register",
                    "channelID": made.channel,
                    "status": 200,
                    "pushEndpoint": made.endpoint,
                }
            ]
        if kind == "unregister":
            for found in self.subscriptions.values():
                if found.channel == words["channelID"]:
                    found.live = False
            return [{"messageType": kind, "channelID": words["channelID"], "status": 200}]
        if kind == "ack":
            self.acks += [update["code"] for update in words["updates"]]
        return []

    def _known(self, uaid: str) -> str:
        """The browser's own name, or another where nothing of it is left."""
        lives = any(found.uaid == uaid for found in self.live)
        return uaid if lives else uuid.uuid4().hex

    def _register(self, uaid: str, channel: str, key: str) -> Subscription:
        name = uuid.uuid4().hex
        made = Subscription(channel, uaid, encode(decode(key)), f"{self.base}/wpush/{name}")
        self.subscriptions[name] = made
        return made

    # The sender's half

    async def _sender(self, request: web.Request) -> web.Response:
        subscription = self.subscriptions.get(request.match_info["name"])
        body = await request.read()
        status = self._judge(subscription, request, body)
        self.answers.append(status)
        if status == 201 and subscription is not None:
            self.accepted.append({name.lower(): value for name, value in request.headers.items()})
            await self._sockets[subscription.uaid].send_json(message(subscription, body))
        return web.json_response({"code": status}, status=status)

    def _judge(self, subscription: Subscription | None, request: web.Request, body: bytes) -> int:
        if subscription is None:
            return 404
        if not subscription.live:
            return 410
        if len(body) > MAX_BODY:
            return 413
        if "TTL" not in request.headers:
            return 400
        if body and request.headers.get("Content-Encoding") != "aes128gcm":
            return 400
        allowed = is_signed(request.headers.get("Authorization", ""), subscription.key, self.base)
        return 201 if allowed else 401


def message(subscription: Subscription, body: bytes) -> dict[str, Any]:
    """The words with which a browser is given a message."""
    said: dict[str, Any] = {
        "messageType": "notification",
        "channelID": subscription.channel,
        "version": uuid.uuid4().hex,
    }
    if body:
        said |= {
            "data": base64.urlsafe_b64encode(body).decode().rstrip("="),
            "headers": {"encoding": "aes128gcm"},
        }
    return said


def is_signed(header: str, key: str, origin: str) -> bool:
    """RFC 8292: signed with the key of the subscription, for this origin, for a day at most."""
    scheme, _, rest = header.partition(" ")
    parts = dict(part.strip().split("=", 1) for part in rest.split(",") if "=" in part)
    if scheme != "vapid" or parts.get("k") != key:
        return False
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), decode(key))
    try:
        claims = jwt.decode(parts["t"], public, algorithms=["ES256"], audience=origin)
    except jwt.InvalidTokenError:
        return False
    return bool(claims.get("sub")) and time.time() < claims["exp"] <= time.time() + 24 * 3600
