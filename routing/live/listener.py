"""The one subscription of this process: takes messages from the layer, and notices when it is deaf.

A layer may lose its connection without ever saying so. A canary, a message that this process
sends itself through every shard, is the only proof that it still hears.
"""

import asyncio
import logging
import random
import time
import uuid
from collections.abc import Callable
from typing import Any

from channels import DEFAULT_CHANNEL_LAYER
from channels.layers import channel_layers, get_channel_layer

from routing.live.layer import LocalChannelLayer
from routing.live.messages import EVERYBODY, Message
from routing.live.subscriptions import Subscriptions

logger = logging.getLogger(__name__)

CALL_LIMIT = 5.0  # seconds for one call to the layer
CANARY_EVERY = 2.0  # seconds
CANARY_LIMIT = 2.0  # seconds a canary may take; after two lost ones the connection is given up
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0  # seconds before subscribing again
SLICE = 0.01  # seconds of messages after which sockets get their turn


class Deaf(Exception):
    """Canaries do not come back."""


class Listener:
    def __init__(
        self,
        *,
        handle: Callable[[Message], None],
        subscriptions: Subscriptions,
        turned: Callable[[bool], None],
    ) -> None:
        #: Whether messages may be lost now; `turned` is told of every change.
        self.deaf = True
        self._handle = handle
        self._subscriptions = subscriptions
        self._turned = turned
        self._layer: Any = None
        self._name = uuid.uuid4().hex
        self._sent = 0
        self._heard: dict[str, int] = {}
        self._canary_back = asyncio.Event()

    async def run(self) -> None:
        pause = FIRST_PAUSE
        while True:
            started = time.monotonic()
            try:
                await self._listen()
            except Exception as error:
                logger.warning("layer lost error=%r", error)
            finally:
                self._turn(deaf=True)
                self._subscriptions.use(self._layer, None)
            if time.monotonic() - started > LONGEST_PAUSE:
                pause = FIRST_PAUSE
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            pause = min(pause * 2, LONGEST_PAUSE)
            await self._drop_connection()

    async def _listen(self) -> None:
        """Returns never; raises what ended it."""
        if self._layer is None:
            self._layer = _open_layer()
        layer = self._layer
        async with asyncio.timeout(CALL_LIMIT):
            channel = await layer.new_channel()
            canaries = _canary_groups(layer, self._name)
            for group in (EVERYBODY, *canaries):
                await layer.group_add(group, channel)
        self._subscriptions.use(layer, channel)
        tasks = {
            asyncio.ensure_future(self._receive(layer, channel)),
            asyncio.ensure_future(self._send_canaries(layer, canaries)),
        }
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=CALL_LIMIT)

    async def _receive(self, layer: Any, channel: str) -> None:
        turn = time.monotonic()
        while True:
            message = await layer.receive(channel)
            try:
                self._take(message)
            except Exception:
                logger.exception("message failed type=%s", message.get("type"))
            # a full mailbox is answered without a pause: others need the loop too
            if time.monotonic() - turn > SLICE:
                await asyncio.sleep(0)
                turn = time.monotonic()

    def _take(self, message: Message) -> None:
        if message["type"] != "hub.canary":
            self._handle(message)
        elif message["from"] == self._name:
            self._heard[message["group"]] = message["number"]
            if all(number == self._sent for number in self._heard.values()):
                self._canary_back.set()

    async def _send_canaries(self, layer: Any, groups: list[str]) -> None:
        self._heard = dict.fromkeys(groups, 0)
        lost = 0
        while lost < 2:
            self._sent += 1
            self._canary_back.clear()
            try:
                async with asyncio.timeout(CANARY_LIMIT):
                    for group in groups:
                        await layer.group_send(group, self._canary(group))
                    await self._canary_back.wait()
            except TimeoutError:
                lost += 1
                self._turn(deaf=True)
            else:
                lost = 0
                self._turn(deaf=False)
                await asyncio.sleep(CANARY_EVERY)
        raise Deaf

    def _canary(self, group: str) -> Message:
        return {"type": "hub.canary", "from": self._name, "group": group, "number": self._sent}

    def _turn(self, *, deaf: bool) -> None:
        if deaf != self.deaf:
            self.deaf = deaf
            self._turned(deaf)

    async def _drop_connection(self) -> None:
        """So that the next subscription is made over a new one."""
        layer, flush = self._layer, getattr(self._layer, "flush", None)
        if isinstance(layer, LocalChannelLayer) or flush is None:
            return
        try:
            async with asyncio.timeout(CALL_LIMIT):
                await flush()
        except Exception as error:
            # it cannot even be closed: leave it behind
            logger.warning("layer not flushed error=%r", error)
            self._layer = None

    async def stop(self) -> None:
        if self._layer is not None:
            await self._drop_connection()


def _open_layer() -> Any:
    """A connection of our own, which may be dropped without harm to other consumers."""
    shared = get_channel_layer()
    if shared is None or isinstance(shared, LocalChannelLayer):
        return shared
    return channel_layers.make_backend(DEFAULT_CHANNEL_LAYER)


def _canary_groups(layer: Any, name: str) -> list[str]:
    """Groups of this process alone, one on every shard of the layer."""
    try:
        inner = layer._get_layer()
        shards = inner._shards
        found: dict[int, str] = {}
        for number in range(100 * len(shards)):
            group = f"hub.canary.{name}.{number}"
            shard = inner._get_shard(inner._get_group_channel_name(group))
            found.setdefault(shards.index(shard), group)
            if len(found) == len(shards):
                break
        return list(found.values())
    except AttributeError:
        return [f"hub.canary.{name}.0"]  # another layer: it is taken as one piece
