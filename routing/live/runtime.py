"""Everything the live road runs in one process: made at the first need, bound to its event loop."""

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from channels.layers import get_channel_layer

from notifications import counts
from notifications.worker import Worker
from routing import duties
from routing.conf import conf
from routing.live import measures
from routing.live.data_version import Watcher, sqlite_file
from routing.live.executor import Executor
from routing.live.heartbeat import Heartbeat
from routing.live.layer import LocalChannelLayer
from routing.live.leases import Leases
from routing.live.listener import Listener
from routing.live.messages import Message
from routing.live.protocol import RESTART, NewFrames, ready
from routing.live.reading import Reader
from routing.live.reconcile import Reconciler
from routing.live.registry import Registry, UserSockets
from routing.live.sockets import Socket
from routing.live.subscriptions import Subscriptions
from routing.live.verification import Verifier

logger = logging.getLogger(__name__)

RESTART_PAUSE = 1.0  # seconds before a part of the runtime that failed begins again
STOP_LIMIT = 10.0  # seconds the worker inside may take for the chunk in hand
BACKGROUND_THREADS = 2


class Runtime:
    """Use `running()`; tests make their own, with a place of theirs to work on the database."""

    def __init__(self, *, place: Executor | None = None) -> None:
        settings = conf()
        self.loop = asyncio.get_running_loop()
        self.closing = False
        self._tasks: set[asyncio.Task[Any]] = set()
        #: For what sockets ask, and for what the process does by itself: neither starves the other.
        self.executor = place or Executor(settings.live_threads, name="hub-live")
        self.background = place or Executor(BACKGROUND_THREADS, name="hub-background")
        self.reader = Reader(self.executor, spawn=self.spawn)
        self.registry = Registry(
            self.reader,
            sockets_per_user=settings.sockets_per_user,
            joined=self._joined,
            left=self._left,
        )
        self.reconciler = Reconciler(self.registry, self.background, every=settings.reconcile)
        self.subscriptions = Subscriptions(spawn=self.spawn, young=self.reconciler.soon)
        self.listener = Listener(
            handle=self.handle, subscriptions=self.subscriptions, turned=self.reconciler.turned
        )
        self.heartbeat = Heartbeat(self.registry)
        self.leases = Leases(self.registry, self.background)
        self.verifier = Verifier(self.registry, self.background, every=settings.verify)
        self._watcher: Watcher | None = None
        self._worker: Worker | None = None
        self._worker_thread: threading.Thread | None = None

    def start(self) -> None:
        counts.report("server", self._report)
        self.start_parts()
        file = sqlite_file()
        if file is not None:
            self._watcher = Watcher(file, changed=self._database_changed)
            self._watcher.start()
        if works_inside():
            self._worker = Worker(duties.all_duties())
            self._worker_thread = threading.Thread(
                target=self._worker.run, name="hub-worker", daemon=True
            )
            self._worker_thread.start()

    def start_parts(self) -> None:
        """What serves sockets; without the worker, and without an eye on other processes."""
        parts = (self.listener, self.reconciler, self.heartbeat, self.leases, self.verifier)
        for part in parts:
            self.spawn(_kept_running(part.run))

    async def stop(self) -> None:
        self.closing = True
        counts.retire("server")
        if self._watcher is not None:
            await asyncio.to_thread(self._watcher.stop)
        if self._worker is not None and self._worker_thread is not None:
            self._worker.stop()
            await asyncio.to_thread(self._worker_thread.join, STOP_LIMIT)
        self.reconciler.stop()
        self.verifier.stop()
        self.subscriptions.stop()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_LIMIT)
        await self.listener.stop()
        await self.executor.stop()
        await self.background.stop()

    def abandon(self) -> None:
        """What can be ended when the event loop has gone without a word, as in tests."""
        if self._watcher is not None:
            self._watcher.stop()
        if self._worker is not None:
            self._worker.stop()
        self.executor.abandon()
        self.background.abandon()

    def _report(self) -> dict[str, float]:
        """Called in the thread of the counts."""
        return measures.of_server(
            sockets=self.registry.count,
            users=len(self.registry.users),
            groups=self.subscriptions.count,
            deaf=self.listener.deaf,
            reconciled_at=self.reconciler.compared_at,
        )

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task that is held until it ends: the loop itself keeps only a weak hand on it."""
        task = self.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def join(self, socket: Socket) -> None:
        self.registry.add(socket)
        self.heartbeat.add(socket)
        measures.OPENED.add()
        if self.closing:
            socket.close(RESTART)

    def leave(self, socket: Socket) -> None:
        socket.leave()
        self.heartbeat.remove(socket)
        self.registry.remove(socket)

    def say_goodbye(self, code: int = RESTART) -> None:
        """Bye to every socket, in one go: the server closes them right afterwards."""
        self.closing = True
        for socket in self.registry.sockets():
            socket.close(code)

    def handle(self, message: Message) -> None:
        """A message of the layer."""
        kind = message["type"]
        if kind == "hub.arrived":
            self._arrived(message)
        elif kind == "hub.changed":
            user = self.registry.users.get(message["user"])
            if user is not None:
                frame = ready(message["frame"])
                self.registry.offer(user, message["version"], frame)
        elif kind == "hub.hint":
            self.registry.hint(message["user"], version=message["version"])
        elif kind == "hub.broadcast":
            self.reconciler.heard_broadcast(message["number"])
        elif kind == "hub.ended":
            self.verifier.hint(message["user"])

    def _arrived(self, message: Message) -> None:
        frames = NewFrames(message["event"], event_id=message["id"])
        told = self.registry.offer_each(zip(*message["to"], strict=True), frames.frame)
        measures.written(message, told)

    def _joined(self, user: UserSockets) -> None:
        self.subscriptions.want(user.key)

    def _left(self, user: UserSockets) -> None:
        self.subscriptions.unwant(user.key)

    def _database_changed(self) -> None:
        """Called in the watcher's thread."""
        try:
            self.loop.call_soon_threadsafe(self.reconciler.now)
        except RuntimeError:
            pass  # the loop has ended first


def works_inside() -> bool:
    """Whether this server process is a worker too."""
    wanted = conf().worker_in_server
    return wanted == "on" or (
        wanted == "auto" and isinstance(get_channel_layer(), LocalChannelLayer)
    )


async def _kept_running(run: Callable[[], Coroutine[Any, Any, None]]) -> None:
    while True:
        try:
            await run()
        except Exception:
            logger.exception("runtime part failed")
        await asyncio.sleep(RESTART_PAUSE)


#: One per event loop; a process that serves has one. `_running` is the newest.
_runtimes: dict[asyncio.AbstractEventLoop, Runtime] = {}
_running: Runtime | None = None


def running() -> Runtime:
    """The runtime of the running event loop; made and started where there is none yet."""
    runtime = _runtimes.get(asyncio.get_running_loop())
    if runtime is None:
        runtime = adopt(Runtime())
        runtime.start()
    return runtime


def adopt(runtime: Runtime) -> Runtime:
    """Makes it the one of its event loop."""
    global _running
    for ended in [one for one in _runtimes if one.is_closed()]:
        _runtimes.pop(ended).abandon()
    _running = _runtimes[runtime.loop] = runtime
    return runtime


def current() -> Runtime | None:
    """The runtime of this process, if it has one; for looking at from any thread."""
    return _running


async def stop() -> None:
    """Ends the runtime of the running event loop, if it has one."""
    global _running
    runtime = _runtimes.pop(asyncio.get_running_loop(), None)
    if runtime is None:
        return
    if _running is runtime:
        _running = None
    await runtime.stop()


def say_goodbye() -> None:
    """For a server that is about to close its sockets."""
    runtime = _runtimes.get(asyncio.get_running_loop())
    if runtime is not None:
        runtime.say_goodbye()
