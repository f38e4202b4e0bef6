"""A push service of ours that answers what a test asks for, in all the ways one can go wrong."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from routing.push.vapid import encode

REASONS = {201: "Created", 302: "Found", 410: "Gone"}


@dataclass
class Received:
    path: str
    headers: dict[str, str]  # names in lower case
    body: bytes


@dataclass
class Reply:
    status: int = 201
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    #: Sent as it is instead of status, headers and body; the connection is closed after it.
    raw: bytes = b""
    #: "answer", "cut" (closes without an answer), "hang", or "drip" (a body without an end).
    manner: str = "answer"


class PushService:
    """Speaks HTTP/1.1 by hand, so that it can also break it."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.replies: dict[str, Reply] = {}
        self.connections = 0
        self.under_way = 0
        self.most_under_way = 0
        self.port = 0
        self.base = ""

    def url(self, path: str = "/push/one") -> str:
        return self.base + path

    def answers(self, path: str, status: int = 201, body: object = b"", **headers: str) -> str:
        """Says how requests to this path are answered; returns its URL."""
        said = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.replies[path] = Reply(status, named, said)
        return self.url(path)

    def behaves(self, path: str, manner: str) -> str:
        self.replies[path] = Reply(manner=manner)
        return self.url(path)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while await self.one(reader, writer):
                pass
        writer.close()

    async def one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        exact = dict(line.split(": ", 1) for line in head[1:] if line)
        headers = {name.lower(): value for name, value in exact.items()}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        path = head[0].split(" ")[1]
        self.received.append(Received(path, headers, body))
        reply = self.replies.get(path, Reply())
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            return await self.reply(reply, writer)
        finally:
            self.under_way -= 1

    async def reply(self, reply: Reply, writer: asyncio.StreamWriter) -> bool:
        if reply.manner == "cut":
            return False
        if reply.manner == "hang":
            await asyncio.sleep(3600)
        if reply.raw:
            writer.write(reply.raw)
            await writer.drain()
            return False
        lines = [f"HTTP/1.1 {reply.status} {REASONS.get(reply.status, 'Said')}"]
        if reply.manner == "drip":
            writer.write("\r\n".join([*lines, "", ""]).encode())
            while True:
                writer.write(b"x" * 1000)
                await writer.drain()
        lines += [f"{name}: {value}" for name, value in reply.headers.items()]
        lines += [f"Content-Length: {len(reply.body)}", "", ""]
        writer.write("\r\n".join(lines).encode() + reply.body)
        await writer.drain()
        return True


@asynccontextmanager
async def push_service(tls: ssl.SSLContext | None = None) -> AsyncIterator[PushService]:
    service = PushService()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with suppress(asyncio.CancelledError):
            await service.serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    service.port = server.sockets[0].getsockname()[1]
    service.base = (
        f"https://localhost:{service.port}" if tls else f"http://127.0.0.1:{service.port}"
    )
    try:
        yield service
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass
class Browser:
    """The keys of one subscription, as `PushSubscription.toJSON()` gives them."""

    p256dh: str
    auth: str

    @classmethod
    def new(cls) -> "Browser":
        key = ec.generate_private_key(ec.SECP256R1()).public_key()
        raw = key.public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        return cls(encode(raw), encode(b"sixteen bytes ok"))

    @property
    def keys(self) -> dict[str, str]:
        return {"p256dh": self.p256dh, "auth": self.auth}
