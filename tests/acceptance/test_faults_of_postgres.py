"""PostgreSQL restarted, killed and hanging; connections terminated."""

from collections.abc import Callable

import pytest

from tests.acceptance.database import Database, PostgresDatabase
from tests.acceptance.hub import Hub
from tests.services import PostgresServer

pytestmark = pytest.mark.production

USERS = ("user0", "user1", "user2")


@pytest.fixture
def breakable(
    make_hub: Callable[..., Hub], own_database: Database, own_postgres: PostgresServer
) -> Hub:
    hub = make_hub(database=own_database)
    worker = hub.begin_worker()
    hub.serve()
    hub.await_worker(worker)
    hub.come(*USERS)
    return hub


def test_postgres_restarted_under_load_loses_nothing(
    breakable: Hub, own_postgres: PostgresServer
) -> None:
    with breakable.load(*USERS) as load:
        load.until(20)
        own_postgres.restart()
        load.until(20)
    breakable.check()


def test_postgres_killed_under_load_loses_nothing(
    breakable: Hub, own_postgres: PostgresServer
) -> None:
    with breakable.load(*USERS) as load:
        load.until(20)
        own_postgres.kill()
        own_postgres.start()
        load.until(20)
    breakable.check()


def test_connections_terminated_under_load_lose_nothing(running: Hub) -> None:
    running.come(*USERS)
    assert isinstance(running.database, PostgresDatabase)
    with running.load(*USERS) as load:
        for _ in range(5):
            load.until(10)
            assert running.database.terminate_sessions()
        load.until(10)
    running.check()
