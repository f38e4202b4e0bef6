"""What another process sends shows in an open client: at once through Redis, soon on SQLite."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from notifications import tokens
from tests.conftest import STACK
from tests.processes import Processes
from tests.sockets import next_frame, open_socket

LIMIT = {"embedded": 2.0, "production": 0.5}[STACK]  # seconds from the send to the frame


@pytest.mark.parametrize("kind", ["serve", "runserver"])
async def test_a_command_of_another_process_is_seen(
    processes: Processes, alice: Any, kind: str
) -> None:
    token = await sync_to_async(tokens.make)(alice)
    server = await asyncio.to_thread(getattr(processes, kind))
    async with open_socket(server.ws_url, token=token) as socket:
        assert (await next_frame(socket))["action"] == "hello"
        for number in range(1, 3):
            words = ["--user", "alice", "--title", f"number {number}"]
            sending = asyncio.create_task(
                asyncio.to_thread(processes.run, "send_notification", "post_comment", *words)
            )
            frame = await next_frame(socket, within=20)
            arrived = datetime.now(UTC)
            rows = frame["changes"] if frame["action"] == "sync" else [frame["notification"]]
            assert rows[0]["event"]["title"] == f"number {number}"
            sent = datetime.fromisoformat(rows[0]["event"]["timestamp"])
            assert (arrived - sent).total_seconds() < LIMIT
            await sending
