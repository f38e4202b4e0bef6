"""The live road as it is usually written: a Channels consumer per socket, each in a group.

Same database, same tokens, same Redis, the pub/sub layer. An ASGI application for daphne.
"""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hub.settings")

from django.core.asgi import get_asgi_application

http = get_asgi_application()

from typing import Any  # noqa: E402 - needs Django set up

from channels.db import database_sync_to_async  # noqa: E402
from channels.generic.websocket import AsyncJsonWebsocketConsumer  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.urls import path  # noqa: E402

from notifications import tokens  # noqa: E402

GROUP = "everybody"


class Consumer(AsyncJsonWebsocketConsumer):
    async def connect(self) -> None:
        headers = dict(self.scope["headers"])
        text = headers.get(b"authorization", b"").decode().removeprefix("Bearer ")
        token = await database_sync_to_async(tokens.find)(text)
        if token is None:
            await self.close(4501)
            return
        await self.channel_layer.group_add(GROUP, self.channel_name)
        await self.accept()
        await self.send_json({"action": "hello"})

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard(GROUP, self.channel_name)

    async def arrived(self, message: dict[str, Any]) -> None:
        await self.send_json(message["frame"])


application = ProtocolTypeRouter(
    {"http": http, "websocket": URLRouter([path("ws/notifications", Consumer.as_asgi())])}
)
