"""Several server processes on one port: started, started again when they die, ended together."""

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from types import FrameType

from django.utils.autoreload import get_child_arguments

logger = logging.getLogger(__name__)

LOOK_EVERY = 0.2  # seconds
SHORT_LIFE = 5.0  # seconds: one that dies sooner waits before the next is started
STOP_LIMIT = 20.0  # seconds from the signal until a process is killed


class Child:
    """One place for a server process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._born = time.monotonic()
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        # the command line that started us, for the same settings and options
        command = get_child_arguments()
        command += ["--child-of", str(os.getpid()), str(self._descriptor)]
        return subprocess.Popen(command, pass_fds=[self._descriptor])  # noqa: S603 - our own

    def look(self) -> None:
        status = self._process.poll()
        if status is None or time.monotonic() - self._born < SHORT_LIFE:
            return
        logger.error("server process died pid=%d status=%d", self._process.pid, status)
        self._born = time.monotonic()
        self._process = self._start()

    def ask_to_end(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def wait(self, until: float) -> None:
        try:
            self._process.wait(max(until - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            logger.error("server process killed pid=%d", self._process.pid)
            self._process.kill()
            self._process.wait()


def supervise(count: int, listener: socket.socket, *, ready: Callable[[], None]) -> None:
    """Returns when a signal came and all processes have ended."""
    ends: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        ends.append(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    listener.set_inheritable(True)
    children = [Child(listener.fileno()) for _ in range(count)]
    # connections wait in the backlog until the first process takes them
    ready()
    while not ends:
        time.sleep(LOOK_EVERY)
        for child in children:
            child.look()
    for child in children:
        child.ask_to_end()
    until = time.monotonic() + STOP_LIMIT
    for child in children:
        child.wait(until)
    sys.stdout.flush()
