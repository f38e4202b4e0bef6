"""A server process that belongs to a test: started, paused, killed and restarted at one address.

It listens on a free port of the loopback address, keeps its data in a temporary folder, and is
ended by its own pid.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Self

import psutil

from tests import tether
from tests.waiting import wait_for

START = 30.0  # seconds a server may take to answer
STOP = 10.0  # seconds it may take to end when asked
TRIES = 3  # a free port may be taken by somebody else before the server has it


class Missing(Exception):
    """There is no such server to be had on this machine."""


class Server:
    """A server process of our own: started on a free port, which it keeps over restarts."""

    name = "server"
    asked_to_end = signal.SIGTERM
    account = tether.OURS

    def __init__(self) -> None:
        self.folder = _temporary_folder(self.name)
        self.log = self.folder / "log"
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._paused = False

    @property
    def url(self) -> str:
        raise NotImplementedError

    @property
    def version(self) -> str:
        raise NotImplementedError

    def command(self) -> list[str | Path]:
        raise NotImplementedError

    def answers(self) -> bool:
        raise NotImplementedError

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} is not running"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        assert not self.is_running, f"{self.name} is running already"
        fresh = not self.port
        for last in (False,) * (TRIES - 1) + (True,):
            if fresh:
                self.port = free_port()
            self._process = tether.start(
                self.command(),
                log=self.log,
                cwd=self.folder,
                env=clean_environment(),
                death=self.asked_to_end,
                account=self.account,
            )
            if self._came_up():
                return self
            if last or not fresh:
                break
        raise Missing(f"{self.name} did not start: {_tail(self.log)}")

    def _came_up(self) -> bool:
        try:
            wait_for(lambda: not self.is_running or self.answers(), START)
        except AssertionError:
            self.kill()
        return self.is_running

    def stop(self) -> None:
        """Ask it to end and wait; whatever is left then is killed."""
        if self._process is None:
            return
        self.resume()
        if self.is_running:
            self._process.send_signal(self.asked_to_end)
            try:
                self._process.wait(STOP)
            except subprocess.TimeoutExpired:
                self.kill()
        self._process = None

    def kill(self) -> None:
        """End it at once, as when the machine loses power: nobody is told, nothing is tidied."""
        family = self._family()
        for process in family:
            _quietly(process.kill)
        psutil.wait_procs(family, timeout=STOP)
        if self._process is not None:
            self._process.wait(STOP)
        self._process = None
        self._paused = False

    def restart(self) -> None:
        self.stop()
        self.start()

    def pause(self) -> None:
        """Connections stay open, and nothing is answered on them."""
        for process in self._family():
            _quietly(process.suspend)
        self._paused = True

    def resume(self) -> None:
        if self._paused:
            for process in self._family():
                _quietly(process.resume)
        self._paused = False

    def close(self) -> None:
        """Stop it for good, and remove its data."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self if self.is_running else self.start()

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _family(self) -> list[psutil.Process]:
        """The process and its children, the parent first so that it cannot make new ones unseen."""
        if not self.is_running:
            return []
        try:
            parent = psutil.Process(self.pid)
            return [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _temporary_folder(name: str) -> Path:
    """A new folder, at a place that another account can reach too."""
    places = [Path(tempfile.gettempdir()).resolve(), Path("/tmp"), Path("/var/tmp")]
    reachable = [
        place
        for place in places
        if all(folder.stat().st_mode & 0o001 for folder in (place, *place.parents))
    ]
    place = places[0] if os.geteuid() != 0 or not reachable else reachable[0]
    return Path(tempfile.mkdtemp(prefix=f"hub-{name}-", dir=place))


def clean_environment() -> dict[str, str]:
    """Ours without what would steer PostgreSQL's programs."""
    return {key: value for key, value in os.environ.items() if not key.startswith("PG")}


def _quietly(act: Callable[[], object]) -> None:
    try:
        act()
    except psutil.NoSuchProcess:
        pass


def _tail(log: Path, lines: int = 5) -> str:
    try:
        return " | ".join(log.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return "no log"
