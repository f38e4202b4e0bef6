"""The whole way: from the call of `send_notification()` to the frame at one connected user.

    python -m benchmarks.way [--sends 300] [--json]

`manage.py serve` with PostgreSQL and Redis on one core; the sender and a socket, in one process,
on the other. One send at a time, each to another of 100 connected users.
"""

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.fanout import WORDS
from benchmarks.live_stand import make_tokens, serving
from benchmarks.stand import (
    LOAD,
    limit,
    make_users,
    on_core,
    percentile,
    report,
    say,
    servers,
    start_django,
    versions,
)

USERS = 100
LIMITS = {50: (10.0, 5.0), 99: (40.0, 15.0)}  # percentile: milliseconds at most, and aimed at
WITHIN = 10.0  # seconds for a frame


async def ways(port: int, ids: list[int], tokens: list[str], sends: int) -> list[float]:
    """Milliseconds of each send, the first ones left out."""
    import contextlib

    from asgiref.sync import sync_to_async

    from notifications import send_notification
    from tests.sockets import next_frame, open_socket

    found = []
    async with contextlib.AsyncExitStack() as stack:
        sockets = [
            await stack.enter_async_context(
                open_socket(f"ws://127.0.0.1:{port}/ws/notifications", token=token)
            )
            for token in tokens
        ]
        for socket in sockets:
            assert (await next_frame(socket))["action"] == "hello"
        await asyncio.sleep(2)  # subscriptions are young for a second
        for number in range(sends + 20):
            place = number % len(ids)

            def send(place: int = place) -> None:
                send_notification("post_comment", users=ids[place], data={"post": 12}, **WORDS)

            began = time.perf_counter()
            calling = asyncio.ensure_future(sync_to_async(send)())
            async with asyncio.timeout(WITHIN):
                while json.loads(await sockets[place].recv())["action"] != "new":
                    pass
            took = time.perf_counter() - began
            await calling
            if number >= 20:
                found.append(took * 1000)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sends", type=int, default=500)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.small:
        options.sends = 30
    on_core(LOAD)()
    with servers(redis=True) as found:
        start_django(found)
        from tests.servers import free_port

        ids = make_users(USERS)
        tokens = make_tokens(ids)
        port, log = free_port(), Path(found["HUB_DATA"], "log")
        say("the whole way")
        with serving(["manage.py", "serve", "--port", str(port)], port, log):
            took = asyncio.run(ways(port, ids, tokens, options.sends))
        known = versions("django", "uvicorn", PostgreSQL=found["postgres"], **redis_of(found))
    lines = [
        limit(
            f"send to frame, p{percent}",
            unit="ms",
            ours=percentile(took, percent),
            at_most=at_most,
            aim=aim,
            versions=known,
        )
        for percent, (at_most, aim) in LIMITS.items()
    ]
    report(lines, as_json=options.json)
    return 0


def redis_of(found: dict[str, str]) -> dict[str, Any]:
    return {"Redis server": found["redis"]}


if __name__ == "__main__":
    sys.exit(main())
