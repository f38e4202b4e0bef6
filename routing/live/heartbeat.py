"""Pings sockets, and closes those from which nothing was heard."""

import asyncio
import random

from routing.live.protocol import NOT_HEARD, PING
from routing.live.registry import Registry
from routing.live.sockets import Socket

PING_EVERY = 30  # seconds
HEARD_WITHIN = 90.0  # seconds
TICK = 1.0  # seconds: each second another part of the sockets has its turn


class Heartbeat:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._turns: list[set[Socket]] = [set() for _ in range(PING_EVERY)]
        self._turn_of: dict[Socket, int] = {}
        #: Silent for so long that they may have to go before their next turn.
        self._silent: set[Socket] = set()

    def add(self, socket: Socket) -> None:
        # at random, so that those who came together do not answer together
        turn = self._turn_of[socket] = random.randrange(len(self._turns))  # noqa: S311
        self._turns[turn].add(socket)

    def remove(self, socket: Socket) -> None:
        turn = self._turn_of.pop(socket, None)
        if turn is not None:
            self._turns[turn].discard(socket)
        self._silent.discard(socket)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        number = 0
        while True:
            await asyncio.sleep(TICK)
            number = (number + 1) % len(self._turns)
            now = loop.time()
            for socket in self._turns[number]:
                if now - socket.heard > HEARD_WITHIN - 2 * PING_EVERY:
                    self._silent.add(socket)
                if socket.ready:
                    socket.write(PING)
            for socket in list(self._silent):
                if now - socket.heard > HEARD_WITHIN:
                    socket.close(NOT_HEARD)
