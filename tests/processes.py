"""Real processes of ours, `manage.py serve`, `worker` and the rest, in the hands of a test.

    def test_a_second_process_is_heard(processes):
        server = processes.serve()
        processes.run("send_notification", "post_like", "--user", "alice", "--title", "Hello")
        assert "Hello" in httpx.get(server.url + "/...").text

They work on the test database, so the fixture `processes` makes the test transactional.
"""

import http.client
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Self, TypeVar

from tests import tether
from tests.servers import free_port
from tests.waiting import wait_for

ROOT = Path(__file__).resolve().parent.parent

START = 30.0  # seconds a server may take to answer /health/live
STOP = 20.0  # seconds a process may take to end after SIGTERM: its own grace and some
RUN = 60.0  # seconds a command may take

P = TypeVar("P", bound="HubProcess")


def child_environment(overrides: Mapping[str, str] | None = None) -> dict[str, str]:
    """Ours, with the database that this test runs in."""
    from django.db import connection

    name = str(connection.settings_dict["NAME"])
    if connection.vendor == "sqlite":
        url = f"sqlite:///{name}"
    else:
        parts = urllib.parse.urlsplit(os.environ["DATABASE_URL"])
        url = parts._replace(path="/" + urllib.parse.quote(name, safe="")).geturl()
    return os.environ | {"DATABASE_URL": url, "PYTHONUNBUFFERED": "1"} | dict(overrides or {})


class HubProcess:
    """One `manage.py` process in a process group of its own, its output in a file."""

    def __init__(self, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        self.arguments = arguments
        self.folder = Path(tempfile.mkdtemp(prefix="hub-process-"))
        self._env = dict(env or {})
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"manage.py {' '.join(self.arguments)}"

    def start(self) -> Self:
        assert not self.is_running, f"{self} is running already"
        self._process = tether.start(
            [sys.executable, ROOT / "manage.py", *self.arguments],
            log=self.folder / "log",
            cwd=ROOT,
            env=child_environment(self._env),
        )
        return self

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self} was not started"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def returncode(self) -> int | None:
        return None if self._process is None else self._process.poll()

    @property
    def is_gone(self) -> bool:
        """Neither it nor any process it started is left."""
        if self.is_running:
            return False
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return True
        return False

    @property
    def log(self) -> str:
        file = self.folder / "log"
        return file.read_text(errors="replace") if file.exists() else ""

    def stop(self, timeout: float = STOP) -> int:
        """SIGTERM; the exit status. It and its children must be gone in time."""
        return self._end(signal.SIGTERM, timeout)

    def interrupt(self, timeout: float = STOP) -> int:
        """Ctrl-C, which reaches every process of the group; the exit status."""
        assert self._process is not None
        os.killpg(self.pid, signal.SIGINT)
        return self._ended(timeout)

    def kill(self) -> None:
        """kill -9: it can do nothing more. Its children are left as they are, as in life."""
        self._end(signal.SIGKILL, STOP, alone=True)

    def pause(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def wait(self, timeout: float = RUN) -> int:
        """Wait until it ends by itself; the exit status."""
        assert self._process is not None
        return self._process.wait(timeout)

    def close(self) -> None:
        """Leave nothing behind, whatever state the test left it in."""
        if self._process is not None:
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self._process.wait(STOP)
            wait_for(lambda: self.is_gone, STOP, what=f"{self} to be gone")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self, number: signal.Signals, timeout: float, *, alone: bool = False) -> int:
        assert self._process is not None
        if self.is_running:
            self._process.send_signal(number)
        return self._ended(timeout, alone=alone)

    def _ended(self, timeout: float, *, alone: bool = False) -> int:
        assert self._process is not None
        try:
            status = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self} did not end in {timeout:g} s\n{self.log}") from None
        if not alone:
            wait_for(lambda: self.is_gone, timeout, what=f"the children of {self} to be gone")
        return status


class ServerProcess(HubProcess):
    """A server of ours on a free port of the loopback address."""

    def __init__(
        self, *arguments: str, port: int | None = None, env: Mapping[str, str] | None = None
    ) -> None:
        self.port = port or free_port()
        super().__init__(
            *(part.replace("{port}", str(self.port)) for part in arguments),
            env={"PORT": str(self.port), **(env or {})},
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws/notifications"

    def start(self) -> Self:
        super().start()
        wait_for(lambda: not self.is_running or self.is_live(), START, what=f"{self} to be live")
        assert self.is_running, f"{self} ended at its start\n{self.log}"
        return self

    def is_live(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/health/live")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


class Processes:
    """What one test started; `close` ends all of it."""

    def __init__(self) -> None:
        self._started: list[HubProcess] = []

    def serve(
        self, *options: str, port: int | None = None, env: Mapping[str, str] | None = None
    ) -> ServerProcess:
        """`manage.py serve`, answering."""
        return self._begin(ServerProcess("serve", "--port", "{port}", *options, port=port, env=env))

    def runserver(
        self, *options: str, port: int | None = None, env: Mapping[str, str] | None = None
    ) -> ServerProcess:
        """`manage.py runserver`, which is daphne, answering."""
        return self._begin(
            ServerProcess(
                "runserver", "127.0.0.1:{port}", "--noreload", *options, port=port, env=env
            )
        )

    def start(self, *arguments: str, env: Mapping[str, str] | None = None) -> HubProcess:
        """Any other command, left to run: `processes.start("worker")`."""
        return self._begin(HubProcess(*arguments, env=env))

    def run(self, *arguments: str, env: Mapping[str, str] | None = None) -> str:
        """A command from start to end; what it printed. A failure is an AssertionError."""
        process = self.start(*arguments, env=env)
        status = process.wait()
        assert status == 0, f"{process} ended with {status}\n{process.log}"
        return process.log

    def close(self) -> None:
        while self._started:
            self._started.pop().close()

    def _begin(self, process: P) -> P:
        self._started.append(process)
        return process.start()
