"""A TCP proxy in this process that breaks connections in all the ways that networks do."""

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Any

from tests.acceptance.loops import LoopThread

CHUNK = 64 * 1024
CONNECT = 1.0  # seconds


class Link:
    """One connection through the proxy."""

    def __init__(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self.near, self.far = near, far
        self.open = asyncio.Event()
        self.open.set()

    def close(self) -> None:
        self.near.transport.abort()
        self.far.transport.abort()

    def reset(self) -> None:
        """RST instead of FIN, in both directions."""
        for writer in (self.near, self.far):
            peer: socket.socket = writer.get_extra_info("socket")
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


class Proxy:
    """Listens on a free port and passes on to the first of `targets` that answers.

    `targets` are ports of the loopback address; a test may replace the list at any time.
    """

    def __init__(self, *targets: int) -> None:
        self.targets = list(targets)
        self.latency = 0.0  # seconds, in each direction
        self.refusing = False
        self.port = 0
        self._holding = False
        self._links: set[Link] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._thread = LoopThread("proxy")
        self._server: asyncio.Server = self._thread.run(
            asyncio.start_server(self._serve, "127.0.0.1", 0)
        )
        self.port = self._server.sockets[0].getsockname()[1]

    @property
    def links(self) -> int:
        return len(self._links)

    def black_hole(self) -> None:
        """Nothing arrives any more, in either direction, and nobody is told; new ones neither."""
        self._holding = True
        self._each(lambda link: link.open.clear())

    def freeze(self) -> None:
        """The connections that are open now are dead and do not know; new ones are fine."""
        self._each(lambda link: link.open.clear())

    def heal(self) -> None:
        """Whatever waited goes on."""
        self._holding = self.refusing = False
        self.latency = 0.0
        self._each(lambda link: link.open.set())

    def reset(self) -> None:
        self._each(Link.reset)

    def cut(self) -> None:
        """All connections end, and new ones are refused until `heal`."""
        self.refusing = True
        self._each(Link.close)

    def drop(self) -> None:
        """All connections end; new ones are fine."""
        self._each(Link.close)

    def half_close(self) -> None:
        """The target hears the end of what the client says, and may go on talking."""
        self._each(lambda link: link.far.can_write_eof() and link.far.write_eof())

    def close(self) -> None:
        async def end() -> None:
            self._server.close()
            for link in list(self._links):
                link.close()
            if self._serving:
                await asyncio.wait(self._serving)

        self._thread.call(lambda: [link.open.set() for link in self._links])
        self._thread.run(end())
        self._thread.close()

    def _each(self, act: Callable[[Link], Any]) -> None:
        self._thread.call(lambda: [act(link) for link in list(self._links)])

    async def _serve(self, reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        if self.refusing:
            near.transport.abort()
            return
        found = await self._connect()
        if found is None:
            near.transport.abort()
            return
        far_reader, far = found
        link = Link(near, far)
        self._links.add(link)
        if self._holding:
            link.open.clear()
        try:
            await asyncio.gather(self._pump(link, reader, far), self._pump(link, far_reader, near))
        finally:
            link.close()
            self._links.discard(link)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        for port in list(self.targets):
            try:
                async with asyncio.timeout(CONNECT):
                    return await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                continue
        return None

    async def _pump(
        self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            while data := await reader.read(CHUNK):
                await link.open.wait()
                if self.latency:
                    await asyncio.sleep(self.latency)
                writer.write(data)
                await writer.drain()
            await link.open.wait()
            if writer.can_write_eof():
                writer.write_eof()
        except OSError:
            link.close()
