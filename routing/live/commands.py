"""What clients ask for over a socket, done by the functions of the inbox."""

import logging
from typing import TYPE_CHECKING

from django.db import Error as DatabaseError

from notifications import inbox
from notifications.errors import HubError
from notifications.models import EventType
from routing.live.messages import Key
from routing.live.protocol import Ack, Command, Delete, FrameError, Mark, Sync, done_frame
from routing.live.reading import read_page
from routing.live.sockets import Socket

if TYPE_CHECKING:
    from routing.live.consumer import LiveConsumer

logger = logging.getLogger(__name__)


async def do(command: Command, *, socket: Socket, consumer: "LiveConsumer") -> str:
    """The `done` frame of a command. Raises `FrameError` when nothing of it was done."""
    try:
        if isinstance(command, Ack):
            changed, version = 0, _ack(command, socket=socket, consumer=consumer)
        elif isinstance(command, Sync):
            await _sync(command, socket=socket, consumer=consumer)
            changed, version = 0, socket.sent
        elif isinstance(command, Mark | Delete):
            result = await consumer.runtime.executor.run(_change, socket.key, command=command)
            changed, version = result.changed, result.version
        else:
            changed, version = 0, socket.sent
    except HubError as error:
        raise FrameError(error.code, error.detail) from None
    except DatabaseError as error:
        logger.warning("command user=%s failed error=%r", socket.key, error)
        raise FrameError("unavailable", "The database did not answer in time.") from None
    except FrameError:
        raise
    except Exception:
        logger.exception("command user=%s failed", socket.key)
        raise FrameError("server_error", "The server made a mistake.") from None
    return done_frame(ref=command.ref, changed=changed, version=version)


def _ack(command: Ack, *, socket: Socket, consumer: "LiveConsumer") -> int:
    if command.version > socket.highest:
        raise FrameError("invalid_ack", f"This socket was not sent version {command.version}.")
    consumer.runtime.leases.acknowledge(socket.key, version=command.version, epoch=socket.epoch)
    return command.version


async def _sync(command: Sync, *, socket: Socket, consumer: "LiveConsumer") -> None:
    """Sends again from a cursor. Meanwhile the socket takes no live frames, it only notes them."""
    socket.live = False
    try:
        page = await consumer.runtime.executor.run(
            read_page, socket.key, epoch=socket.epoch, since=command.since
        )
        await socket.drained()
        socket.answer(page)
        await consumer.finish_answer(socket)
    finally:
        socket.cursor = None
        consumer.runtime.registry.settled(socket)


def _change(key: Key, *, command: Mark | Delete) -> inbox.Result:
    if isinstance(command, Delete):
        return inbox.delete(key, ids=command.ids)
    if command.type is not None and not EventType.objects.filter(name=command.type).exists():
        raise FrameError("unknown_event_type", f"There is no event type {command.type[:100]}.")
    return inbox.mark(
        key, state=command.state, ids=command.ids, up_to=command.up_to, type=command.type
    )
