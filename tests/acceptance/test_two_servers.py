"""Two servers, a worker and fifty people: whatever happens, every client equals the database."""

import asyncio
import random
from contextlib import AsyncExitStack
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from notifications import inbox, tokens
from notifications.inbox import Changes
from tests.processes import Processes
from tests.sockets import Client
from tests.waiting import await_for

pytestmark = [pytest.mark.production, pytest.mark.timeout(240)]

USERS = 50
SEED = 20261123


@pytest.mark.parametrize("kind", ["serve", "runserver"])
async def test_every_client_equals_the_database(
    processes: Processes, make_user: Any, kind: str
) -> None:
    users = [await sync_to_async(make_user)(f"user{number}") for number in range(USERS)]
    texts = [await sync_to_async(tokens.make)(user) for user in users]
    start = getattr(processes, kind)
    servers = [await asyncio.to_thread(start) for _ in range(2)]
    await asyncio.to_thread(processes.start, "worker")
    async with AsyncExitStack() as stack:
        # everybody is on one of the servers, every fifth on both
        clients: list[tuple[Any, Client]] = []
        for number, (user, text) in enumerate(zip(users, texts, strict=True)):
            chosen = servers if number % 5 == 0 else [servers[number % 2]]
            for server in chosen:
                client = Client(server.ws_url, text)
                clients.append((user, await stack.enter_async_context(client)))
        load = [
            await asyncio.to_thread(processes.start, "shell", "-c", command(SEED + number))
            for number in range(2)
        ]
        await disturb([client for _, client in clients], until=load)
        for process in load:
            assert process.returncode == 0, process.log
        for user, client in clients:
            await await_for(lambda u=user, c=client: equals(u, c), 30, what=f"{user} to be equal")
        for user, client in clients:
            assert client.faults == [], (user, client.faults)
            assert_dense(client)
    for server in servers:
        assert "Traceback" not in server.log, server.log


def command(seed: int) -> str:
    return f"from tests.acceptance.load import run; run(seed={seed}, actions=250, every=0.01)"


async def disturb(clients: list[Client], *, until: list[Any]) -> None:
    """Clients come and go, mark, acknowledge and ask again while the load goes on."""
    chance = random.Random(SEED)
    while any(process.is_running for process in until):
        client = chance.choice(clients)
        assert client.socket is not None
        try:
            match chance.randrange(5):
                case 0:
                    await client.socket.close()
                case 1:
                    await client.say(action="mark", state="seen", up_to=client.version)
                case 2:
                    ids = list(client.rows)[:3]
                    await client.say(action="mark", state="read", ids=ids)
                case 3:
                    await client.say(action="sync", since=max(client.version - 5, 0))
                case 4:
                    await client.say(action="ack", version=client.version)
        except OSError:
            pass
        except Exception as error:  # closed meanwhile: it comes back by itself
            assert type(error).__name__.startswith("ConnectionClosed"), error
        await asyncio.sleep(0.02)


async def equals(user: Any, client: Client) -> bool:
    """Rows with all their keys, counters, cursor."""
    everything: Changes = await sync_to_async(inbox.changes)(
        user.pk, epoch=client.epoch, since=0, limit=100_000
    )
    rows = {row["id"]: row for row in everything.changes if not row.get("deleted")}
    counters = {"unread": everything.unread, "unseen": everything.unseen}
    return (
        client.version == everything.version and client.rows == rows and client.counters == counters
    )


def assert_dense(client: Client) -> None:
    """Live frames of one connection have no holes and come once."""
    stands: int | None = None
    for frame in client.frames:
        match frame["action"]:
            case "hello" | "reset":
                stands = None
            case "sync":
                stands = frame["version"]
            case "new" | "marked" | "deleted":
                assert stands is None or frame["version"] == stands + 1, (stands, frame)
                stands = frame["version"]
