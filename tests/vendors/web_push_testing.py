"""The npm package web-push-testing: a push service of others, which decrypts and checks VAPID."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.vendors import node

START_SECONDS = 20


@dataclass
class WebPushTesting:
    base: str
    http: aiohttp.ClientSession

    async def subscribe(self, public_key: str) -> dict[str, Any]:
        """`{endpoint, keys, clientHash}`, as a browser would have it."""
        found = await self._post(
            "/subscribe", {"userVisibleOnly": "true", "applicationServerKey": public_key}
        )
        data: dict[str, Any] = found["data"]
        return data

    async def received(self, subscription: dict[str, Any]) -> list[str]:
        """The decrypted texts of all notifications."""
        found = await self._post("/get-notifications", {"clientHash": subscription["clientHash"]})
        messages: list[str] = found["data"]["messages"]
        return messages

    async def expire(self, subscription: dict[str, Any]) -> None:
        async with self.http.post(f"{self.base}/expire-subscription/{subscription['clientHash']}"):
            pass

    async def _post(self, path: str, said: dict[str, Any]) -> dict[str, Any]:
        async with self.http.post(self.base + path, json=said) as response:
            found: dict[str, Any] = await response.json()
            assert response.status == 200, found
            return found


@asynccontextmanager
async def web_push_testing() -> AsyncIterator[WebPushTesting]:
    script = node.packages() / "web-push-testing" / "src" / "bin" / "server.js"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        node.program("node"), str(script), str(port), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_SECONDS):
            line = await process.stdout.readline()
        assert b"running" in line, line
        async with aiohttp.ClientSession() as http:
            yield WebPushTesting(f"http://localhost:{port}", http)
    finally:
        process.kill()
        await process.wait()
