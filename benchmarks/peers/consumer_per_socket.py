"""The live road as it is usually written: a Channels consumer per socket, each in a group.

Same database, same tokens, same Redis, the pub/sub layer. An ASGI application for daphne or
uvicorn. The group is everybody's, or each user's own with HUB_PEER_GROUPS=users; a socket that
comes with `since` is told what is newer, by the ORM.
"""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hub.settings")

from django.core.asgi import get_asgi_application

http = get_asgi_application()

from typing import Any  # noqa: E402 - needs Django set up
from urllib.parse import parse_qs  # noqa: E402

from channels.db import database_sync_to_async  # noqa: E402
from channels.generic.websocket import AsyncJsonWebsocketConsumer  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.urls import path  # noqa: E402

from notifications import tokens  # noqa: E402
from notifications.models import Inbox, Notification  # noqa: E402

GROUP = "everybody"
OWN_GROUPS = os.environ.get("HUB_PEER_GROUPS") == "users"
PAGE = 200


class Consumer(AsyncJsonWebsocketConsumer):
    async def connect(self) -> None:
        headers = dict(self.scope["headers"])
        text = headers.get(b"authorization", b"").decode().removeprefix("Bearer ")
        token = await database_sync_to_async(tokens.find)(text)
        if token is None:
            await self.close(4501)
            return
        self.group = f"user.{token.user_id}" if OWN_GROUPS else GROUP
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()
        since = parse_qs(self.scope["query_string"].decode()).get("since")
        if since is None:
            await self.send_json({"action": "hello"})
            return
        hello, sync = await database_sync_to_async(start)(token.user_id, int(since[0]))
        await self.send_json(hello)
        await self.send_json(sync)

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard(self.group, self.channel_name)

    async def arrived(self, message: dict[str, Any]) -> None:
        await self.send_json(message["frame"])


def start(user_id: int, since: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Where the inbox stands, and what came after `since`."""
    inbox = Inbox.objects.get(user_id=user_id)
    rows = Notification.objects.filter(user_id=user_id, version__gt=since, deleted_at=None)
    newest = rows.select_related("event__type", "event__author").order_by("version")[:PAGE]
    hello = {"action": "hello", "version": inbox.version, "unread": inbox.unread}
    return hello, {
        "action": "sync",
        "version": inbox.version,
        "unread": inbox.unread,
        "changes": [shown(row) for row in newest],
    }


def shown(row: Notification) -> dict[str, Any]:
    event = row.event
    kind, author = event.type, event.author
    return {
        "id": event.pk,
        "version": row.version,
        "seen_at": row.seen_at and row.seen_at.isoformat(),
        "read_at": row.read_at and row.read_at.isoformat(),
        "event": {
            "id": event.pk,
            "type": {"id": kind.pk, "name": kind.name, "title": kind.title},
            "author": author and {"id": author.pk, "name": author.get_username()},
            "title": event.title,
            "message": event.message,
            "url": event.url,
            "data": event.data,
            "timestamp": event.timestamp.isoformat(),
        },
    }


application = ProtocolTypeRouter(
    {"http": http, "websocket": URLRouter([path("ws/notifications", Consumer.as_asgi())])}
)
