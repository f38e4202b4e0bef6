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

from routing.live.intake import Intake, intake_for
from routing.live.layer import LocalChannelLayer
from routing.live.messages import EVERYBODY, Message
from routing.live.subscriptions import Subscriptions

logger = logging.getLogger(__name__)

CALL_LIMIT = 5.0  # seconds for one call to the layer
CANARY_EVERY = 2.0  # seconds
CANARY_LIMIT = 2.0  # seconds a canary may take; after two lost ones the connection is given up
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0  # seconds before subscribing again


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
        self._intake: Intake | None = None
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
                self._subscriptions.use(None)
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
        intake = self._intake = intake_for(layer)
        async with asyncio.timeout(CALL_LIMIT):
            await intake.open()
            canaries = intake.canary_groups(self._name)
            for group in (EVERYBODY, *canaries):
                await intake.add(group)
        self._subscriptions.use(intake)
        tasks = {asyncio.ensure_future(reader) for reader in intake.readers(self._take)}
        tasks.add(asyncio.ensure_future(self._send_canaries(layer, canaries)))
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=CALL_LIMIT)

    def _take(self, message: Message) -> None:
        """Never raises: a message that cannot be handled costs only itself."""
        try:
            if message["type"] != "hub.canary":
                self._handle(message)
            elif message["from"] == self._name:
                self._heard[message["group"]] = message["number"]
                if all(number == self._sent for number in self._heard.values()):
                    self._canary_back.set()
        except Exception:
            logger.exception("message failed type=%s", message.get("type"))

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
        intake, self._intake = self._intake, None
        layer, flush = self._layer, getattr(self._layer, "flush", None)
        try:
            async with asyncio.timeout(CALL_LIMIT):
                if intake is not None:
                    await intake.close()
                if flush is not None and not isinstance(layer, LocalChannelLayer):
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
