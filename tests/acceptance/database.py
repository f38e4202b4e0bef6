"""The database of one scenario, made from a template, and looked into without the application."""

import contextlib
import json
import shutil
import sqlite3
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from tests.acceptance.client import Person
from tests.processes import ROOT

MAKE_LIMIT = 120.0  # seconds


def make_people(environment: dict[str, str], count: int) -> dict[str, Person]:
    """Tables and users in the database that the environment names."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.acceptance.runner", "--", "people", str(count)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=MAKE_LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("people "))
    found = json.loads(line.removeprefix("people "))
    return {name: Person(name, it["id"], it["token"]) for name, it in found.items()}


class Database:
    """`rows` works while the hub is down, and whatever the hub thinks of itself."""

    url: str

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        raise NotImplementedError

    def sessions(self) -> int:
        """Connections that processes of the hub hold."""
        return 0

    def idle_in_transaction(self) -> int:
        return 0

    def back_up(self) -> None:
        raise NotImplementedError

    def restore(self) -> None:
        """Puts the backup in place; nobody may be connected."""
        raise NotImplementedError

    def drop(self) -> None:
        raise NotImplementedError


class PostgresDatabase(Database):
    def __init__(self, cluster_url: str, name: str, *, template: str | None = None) -> None:
        self.cluster_url, self.name = cluster_url, name
        parts = urllib.parse.urlsplit(cluster_url)
        self.url = parts._replace(path=f"/{name}").geturl()
        self.replace_by(template)

    def replace_by(self, template: str | None) -> None:
        """Made anew, as a copy of another database."""
        like = f' TEMPLATE "{template}"' if template else ""
        self.server(f'DROP DATABASE IF EXISTS "{self.name}" WITH (FORCE)')
        self.server(f'CREATE DATABASE "{self.name}"{like}')

    def server(self, command: str) -> list[tuple[Any, ...]]:
        """A statement outside of this database."""
        with psycopg.connect(self.cluster_url, autocommit=True) as connection:
            cursor = connection.execute(command)
            return cursor.fetchall() if cursor.description else []

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(query).fetchall()

    def sessions(self) -> int:
        return self._count("")

    def idle_in_transaction(self) -> int:
        return self._count("AND state LIKE 'idle in transaction%'")

    def _count(self, more: str) -> int:
        query = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{self.name}' {more}"  # noqa: S608
        return int(self.server(query)[0][0])

    def terminate_sessions(self) -> int:
        query = f"SELECT pid FROM pg_stat_activity WHERE datname = '{self.name}'"  # noqa: S608
        pids = [pid for (pid,) in self.server(query)]
        for pid in pids:
            self.server(f"SELECT pg_terminate_backend({pid})")
        return len(pids)

    def back_up(self) -> None:
        # A template may have no other sessions for the moment that the copy takes.
        copy = f"{self.name}_backup"
        self.server(f'DROP DATABASE IF EXISTS "{copy}" WITH (FORCE)')
        with psycopg.connect(self.cluster_url, autocommit=True) as connection:
            connection.execute(f'ALTER DATABASE "{self.name}" ALLOW_CONNECTIONS false')
            self.terminate_sessions()
            connection.execute(f'CREATE DATABASE "{copy}" TEMPLATE "{self.name}"')
            connection.execute(f'ALTER DATABASE "{self.name}" ALLOW_CONNECTIONS true')

    def restore(self) -> None:
        self.replace_by(f"{self.name}_backup")

    def drop(self) -> None:
        for name in (self.name, f"{self.name}_backup"):
            self.server(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


class SqliteDatabase(Database):
    def __init__(self, path: Path, *, template: Path | None = None) -> None:
        self.path = path
        self.url = f"sqlite:///{path}"
        self._backup = path.with_suffix(".backup")
        if template is not None:
            shutil.copy(template, path)

    @contextlib.contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self.path, timeout=20, isolation_level=None)
        try:
            yield connection
        finally:
            connection.close()

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.connection() as connection:
            return connection.execute(query).fetchall()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Somebody else writes, for as long as this lasts."""
        with self.connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("ROLLBACK")

    def settle(self) -> None:
        """Everything into the one file, so that it can be copied."""
        with self.connection() as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def back_up(self) -> None:
        with (
            self.connection() as source,
            contextlib.closing(sqlite3.connect(self._backup)) as target,
        ):
            source.backup(target)

    def restore(self) -> None:
        for suffix in ("-wal", "-shm"):
            Path(f"{self.path}{suffix}").unlink(missing_ok=True)
        shutil.copy(self._backup, self.path)

    def drop(self) -> None:
        for file in self.path.parent.glob(f"{self.path.stem}*"):
            file.unlink()


def moment(value: Any) -> datetime | None:
    """A time from either database or from JSON."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if value is None:
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)
