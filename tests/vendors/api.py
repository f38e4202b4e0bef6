"""A provider's HTTP API on this machine: answers what a test asks for and remembers what came."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class Request:
    method: str
    path: str  # with the query, as it came
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Said:
    status: int = 200
    body: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    #: Seconds after which it is said.
    after: float = 0.0


class Api:
    """`answer` decides; tests replace it."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answer: Callable[[Request], Said] = lambda _: Said()
        self.base = ""

    def always(self, status: int, body: Any = "", **headers: str) -> None:
        said = Said(status, body, {name.replace("_", "-"): text for name, text in headers.items()})
        self.answer = lambda _: said

    async def handle(self, request: web.Request) -> web.Response:
        came = Request(request.method, request.raw_path, request.headers, await request.read())
        self.requests.append(came)
        said = self.answer(came)
        await asyncio.sleep(said.after)
        body = said.body if isinstance(said.body, bytes | str) else json.dumps(said.body)
        raw = body.encode() if isinstance(body, str) else body
        return web.Response(status=said.status, body=raw, headers=said.headers)


@asynccontextmanager
async def api() -> AsyncIterator[Api]:
    found = Api()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", found.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield found
    finally:
        await runner.cleanup()
