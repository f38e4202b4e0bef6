"""What a socket held is free when it has gone."""

import asyncio
import gc
import weakref
from typing import Any

import pytest
import websockets

from routing.live.floodgate import HeadGate
from routing.live.server import HubProtocol, HubServer, configuration, listening_socket
from tests.waiting import await_for


async def accepting(scope: Any, receive: Any, send: Any) -> None:
    """Takes every socket, and says nothing."""
    while True:
        kind = (await receive())["type"]
        if kind == "websocket.connect":
            await send({"type": "websocket.accept"})
        elif kind.startswith("lifespan."):
            await send({"type": f"{kind}.complete"})
        if kind in ("websocket.disconnect", "lifespan.shutdown"):
            return


@pytest.mark.parametrize("client_closes", [True, False])
async def test_a_socket_that_went_is_freed_at_once(
    monkeypatch: pytest.MonkeyPatch, client_closes: bool
) -> None:
    """And not when the garbage collector looks at everything, which is seldom."""
    alive: weakref.WeakSet[Any] = weakref.WeakSet()
    for protocol in (HubProtocol, HeadGate):
        made = protocol.connection_made

        def noted(self: Any, transport: Any, made: Any = made) -> None:
            alive.add(self)
            made(self, transport)

        monkeypatch.setattr(protocol, "connection_made", noted)
    listener = listening_socket("127.0.0.1", 0)
    server = HubServer(configuration(accepting), ready=lambda: None)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    gc.collect()
    gc.disable()
    try:
        await await_for(lambda: server.started)
        for _ in range(3):
            url = f"ws://127.0.0.1:{listener.getsockname()[1]}/"
            async with websockets.connect(url, ping_interval=None) as socket:
                await await_for(lambda: any(isinstance(one, HubProtocol) for one in alive))
                if not client_closes:
                    socket.transport.abort()
        await await_for(lambda: not alive)
    finally:
        gc.enable()
        server.should_exit = True
        await serving
