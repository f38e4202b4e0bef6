"""A hub per test, on a database of its own, which is a copy of one that was made once."""

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.database import Database, PostgresDatabase, SqliteDatabase, make_people
from tests.acceptance.hub import Hub
from tests.acceptance.proxy import Proxy
from tests.conftest import STACK
from tests.servers import Missing
from tests.services import PostgresServer, RedisServer

PEOPLE = 1_300  # more than two Audience rows hold
TEMPLATE = "hub_acceptance_people"

numbers = itertools.count()


class Place:
    """Where databases are made: a folder, or a cluster of PostgreSQL."""

    def __init__(self, *, cluster_url: str | None = None) -> None:
        self.cluster_url = cluster_url
        self.folder = Path(tempfile.mkdtemp(prefix="hub-acceptance-"))
        template = self._make(TEMPLATE, None)
        env = os.environ | {"DATABASE_URL": template.url, "REDIS_URL": ""}
        self.people = make_people(env, PEOPLE)
        if isinstance(template, SqliteDatabase):
            template.settle()
        self.template = template

    def _make(self, name: str, template: Any) -> Database:
        if self.cluster_url is None:
            return SqliteDatabase(self.folder / f"{name}.sqlite3", template=template)
        return PostgresDatabase(self.cluster_url, name, template=template)

    def make(self) -> Database:
        name = f"hub_acceptance_{os.getpid()}_{next(numbers)}"
        template = self.template
        if isinstance(template, SqliteDatabase):
            return self._make(name, template.path)
        return self._make(name, TEMPLATE)

    def close(self) -> None:
        self.template.drop()
        self.folder.rmdir()


@pytest.fixture(scope="session")
def place() -> Iterator[Place]:
    made = Place(cluster_url=os.environ["DATABASE_URL"] if STACK == "production" else None)
    yield made
    made.close()


@pytest.fixture
def make_hub(place: Place) -> Iterator[Callable[..., Hub]]:
    """Hubs on databases of their own; by default with the Redis of this run."""
    made: list[Hub] = []

    def make(*, redis_url: str | None = None, database: Database | None = None) -> Hub:
        if STACK == "production" and redis_url is None:
            redis_url = os.environ["REDIS_URL"]
        hub = Hub(database=database or place.make(), redis_url=redis_url, people=place.people)
        made.append(hub)
        return hub

    yield make
    for hub in made:
        hub.close()
        hub.database.drop()


@pytest.fixture
def hub(make_hub: Callable[..., Hub]) -> Hub:
    return make_hub()


@pytest.fixture
def make_proxy() -> Iterator[Callable[..., Proxy]]:
    made: list[Proxy] = []

    def make(*targets: int) -> Proxy:
        made.append(Proxy(*targets))
        return made[-1]

    yield make
    for proxy in made:
        proxy.close()


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    try:
        server = RedisServer()
    except Missing as reason:
        pytest.skip(f"no Redis: {reason}")
    with server:
        yield server


@pytest.fixture(scope="session")
def own_cluster() -> Iterator[tuple[PostgresServer, Place]]:
    """A PostgreSQL that may be stopped, killed and paused; it runs again after each test."""
    try:
        server = PostgresServer(durable=True)
    except Missing as reason:
        pytest.skip(f"no PostgreSQL: {reason}")
    with server:
        made = Place(cluster_url=server.url)
        yield server, made
        made.close()


@pytest.fixture
def own_postgres(own_cluster: tuple[PostgresServer, Place]) -> Iterator[PostgresServer]:
    server, _ = own_cluster
    yield server
    server.resume()
    if not server.is_running:
        server.start()


@pytest.fixture
def own_database(
    own_cluster: tuple[PostgresServer, Place], own_postgres: PostgresServer
) -> Database:
    """In `own_postgres`; its people are those of every other database here."""
    return own_cluster[1].make()


@pytest.fixture
def running(hub: Hub) -> Hub:
    """A hub as it usually is: a server, and a worker in it or beside it."""
    worker = hub.begin_worker() if STACK == "production" else None
    hub.serve()
    if worker is not None:
        hub.await_worker(worker)
    return hub
