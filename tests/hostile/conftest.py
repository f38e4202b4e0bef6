"""A real server under fire, and the measure of what that costs it."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
from django.contrib.auth.models import Permission

from notifications import tokens
from tests.processes import Processes, ServerProcess
from tests.waiting import wait_for

MB = 1024 * 1024


@pytest.fixture(scope="module")
def standing_server(django_db_setup: None) -> Iterator[ServerProcess]:
    """One server for all tests of a module: that it survives the others is part of each test."""
    running = Processes()
    yield running.serve()
    running.close()


@pytest.fixture
def server(standing_server: ServerProcess, transactional_db: None) -> Iterator[ServerProcess]:
    """The standing server. Afterwards it lives, has made no fault, and is idle."""
    seen = len(standing_server.log)
    yield standing_server
    assert standing_server.is_running, standing_server.log
    assert not faults_in(standing_server.log[seen:])
    assert standing_server.is_live()
    process = psutil.Process(standing_server.pid)
    wait_for(
        lambda: (
            not [
                it
                for it in process.net_connections("tcp")
                if it.status == "ESTABLISHED" and it.laddr.port == standing_server.port
            ]
        ),
        20,
        what="the server to be idle",
    )


def faults_in(log: str) -> list[str]:
    """The log's lines with a trace, but of requests that Django refused; and errors of ours."""
    found, line = [], ""
    for text in log.splitlines():
        if text[:2] == "20":  # it begins with the date
            line = text
        refused = " django.security." in line
        if (text.startswith("Traceback") and not refused) or "server_error" in text:
            found.append(line)
    return found


@pytest.fixture
def token(alice: Any) -> str:
    """Of Alice, who may send."""
    alice.user_permissions.add(Permission.objects.get(codename="add_event"))
    return tokens.make(alice)


class Memory:
    """What a process holds in memory, now and at its highest since this was made."""

    def __init__(self, pid: int) -> None:
        self.process = psutil.Process(pid)
        self.before = self.now

    @property
    def now(self) -> int:
        return int(self.process.memory_info().rss)

    @property
    def peak(self) -> int:
        """The kernel's own record, which no look in between can miss."""
        with open(f"/proc/{self.process.pid}/status") as file:
            [line] = [line for line in file if line.startswith("VmHWM")]
        return int(line.split()[1]) * 1024

    @property
    def grown(self) -> float:
        """MB since the beginning."""
        return (self.now - self.before) / MB


@pytest.fixture
def memory(server: ServerProcess) -> Memory:
    return Memory(server.pid)


def quick(action: Callable[[], Any]) -> tuple[Any, float]:
    """What it answers, and the seconds it took."""
    began = time.monotonic()
    return action(), time.monotonic() - began
