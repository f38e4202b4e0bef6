"""The load client (C, benchmarks/wsload.c) as the benchmarks of the live road use it."""

import re
import resource
import select
import shutil
import struct
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from benchmarks.stand import LOAD, Missing, on_core

FOLDER = Path(__file__).resolve().parent
SOURCES = ("wsload.c", "wsload_publish.c")
BESIDES = 200  # descriptors that a server has for other things

PATH = "/ws/notifications"
AT_ONCE = 64  # connects under way
OPENING = 180.0  # seconds until all sockets are open
RUNNING = 300.0  # seconds of a run
LIMIT = 5.0  # seconds for one event to reach all
PATIENCE = 15.0  # seconds without an arrival
LOOK = 20.0  # milliseconds between two looks of the load client at its sockets


class Run(NamedTuple):
    """What the load client tells of a run; times in nanoseconds."""

    sent: int
    arrived: int
    took: int  # from the first request to the last arrival
    late: int  # how far the publisher fell behind its own schedule at most
    p50: int
    p99: int
    most: int


class Load:
    """The load client on its core. `tokens`: a file of bearer tokens, one a line."""

    def __init__(
        self, program: Path, port: int, tokens: Path, *, path: str = PATH, look: float = LOOK
    ) -> None:
        self.process = subprocess.Popen(
            [str(program), str(port), path, str(tokens), str(look)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=on_core(LOAD),
        )

    def open(self, number: int, *, frames: int = 1, at_once: int = AT_ONCE) -> float:
        """Opens sockets until there are so many; the seconds until each was told its `frames`."""
        found = self._ask(f"open {number} {at_once} {frames}", 3, OPENING)
        return self._all(number, found)

    def churn(self, number: int, *, frames: int = 1, at_once: int = AT_ONCE) -> float:
        """Opens and closes so many, a few at a time; the seconds it took."""
        return self._all(number, self._ask(f"churn {number} {at_once} {frames}", 3, OPENING))

    def close_all(self, number: int) -> float:
        return self._all(number, self._ask("close", 3, OPENING))

    def publish_to(self, port: int, requests: Path) -> int:
        """Who takes what `run` hands over, and the file of it; how many requests it has."""
        return self._ask(f"publish {port} {requests}", 1, OPENING)[0]

    def run(
        self,
        first: int,
        count: int,
        *,
        rate: float = 0,
        window: int = 0,
        reach: int,
        patience: float = PATIENCE,
    ) -> Run:
        """Hands over `count` requests from the `first` on, `rate` a second or as fast as `window`
        under way allow; each is for `reach` sockets. Ends when all have arrived, or when nothing
        has for `patience` seconds."""
        command = f"run {first} {count} {rate} {window} {reach} {patience}"
        return Run(*self._ask(command, 7, RUNNING))

    def close(self) -> None:
        self.process.kill()
        self.process.wait()

    def _all(self, number: int, found: tuple[int, ...]) -> float:
        if found[:2] != (number, 0):
            raise SystemExit(f"of {number} sockets {found[0]} did, {found[1]} failed")
        return found[2] / 1e9

    def _ask(self, command: str, numbers: int, within: float) -> tuple[int, ...]:
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        found = self._read(command.split()[0], numbers, within)
        if found is None:
            raise SystemExit(f"the load client did not end in {within:.0f} s: {command}")
        return found

    def _read(self, word: str, numbers: int, within: float) -> tuple[int, ...] | None:
        """The numbers of the next line; None if none comes in time."""
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], within)
        if not ready:
            return None
        line = self.process.stdout.readline().strip()
        if re.fullmatch(word + r"( \d+)" * numbers, line) is None:
            raise SystemExit(f"the load client said {line!r}")
        return tuple(int(part) for part in line.split()[1:])


def compiled(folder: str, *, sockets: int) -> Path:
    """The load client. Raises `Missing` where there is no compiler, or no room for so many sockets
    in one process."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise Missing("there is no C compiler (cc) for the load client")
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if sockets + BESIDES > most:
        raise Missing(f"a process has only {most:,} descriptors here (ulimit -Hn)")
    program = Path(folder, "wsload")
    sources = [str(FOLDER / name) for name in SOURCES]
    subprocess.run([compiler, "-O2", "-o", str(program), *sources], check=True)
    return program


def write_requests(file: Path, requests: Iterable[bytes]) -> Path:
    """As wsload_publish.c reads them."""
    with file.open("wb") as output:
        for request in requests:
            output.write(struct.pack("<I", len(request)) + request)
    return file


def http_post(path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
