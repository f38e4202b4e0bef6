"""What every test stands on: the stack it runs against, the people, and real processes.

`make test` runs the suite twice. HUB_TEST_STACK=embedded (the default) is SQLite with the local
layer, HUB_TEST_STACK=production a real PostgreSQL and a real Redis, found by tests/services.py.
"""

import inspect
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings

from tests.processes import Processes
from tests.servers import Missing
from tests.services import PostgresServer, RedisServer, Stack

STACKS = ("embedded", "production")
STACK = os.environ.get("HUB_TEST_STACK", "embedded")
PASSWORD = "correct horse battery"

# What hub/settings.py reads: whatever the shell has of it, tests start from the same place.
OF_THE_SHELL = ("DEBUG", "ALLOWED_HOSTS", "ALLOWED_ORIGINS", "PORT", "DATABASE_URL", "REDIS_URL")

services = Stack()
data = Path(tempfile.mkdtemp(prefix="hub-tests-"))


def prepare_environment() -> None:
    """Everything the settings read, before Django reads it."""
    if STACK not in STACKS:
        pytest.exit(f"HUB_TEST_STACK must be one of {', '.join(STACKS)}", returncode=4)
    if django_settings.configured:
        pytest.exit("unset DJANGO_SETTINGS_MODULE: tests set it themselves", returncode=4)
    if STACK == "production":
        services.start()
    (data / "static").mkdir()  # STATIC_ROOT, as after collectstatic: its lack is a warning
    for name in list(os.environ):
        if name in OF_THE_SHELL or (name.startswith("HUB_") and not name.startswith("HUB_TEST_")):
            del os.environ[name]
    os.environ.update(
        DJANGO_SETTINGS_MODULE="hub.settings",
        SECRET_KEY="only-for-tests-" + "x" * 40,
        HUB_DATA=str(data),
        HUB_THROTTLES="off",
        # A file, not memory: other threads and processes must see it too.
        HUB_TEST_DATABASE=str(data / "test.sqlite3"),
        **({} if services.missing else services.urls),
    )


def leave() -> None:
    services.close()
    shutil.rmtree(data, ignore_errors=True)


# At import, not in pytest_configure: the conftest files below this one may import models.
try:
    prepare_environment()
    import django

    django.setup()
except BaseException:
    leave()
    raise


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--no-skips", action="store_true", help="fail when a test was skipped (for the gate)"
    )


def pytest_unconfigure() -> None:
    leave()


def pytest_report_header() -> str:
    return f"stack: {STACK} ({', '.join(services.found) or 'SQLite, local layer'})"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # A test of the other run is not skipped, it is not there.
    others = {stack for stack in STACKS if stack != STACK}
    away = [
        item
        for item in items
        if {mark.name for mark in item.iter_markers()} & others
        and not item.get_closest_marker(STACK)
    ]
    if away:
        config.hook.pytest_deselected(items=away)
        items[:] = [item for item in items if item not in away]
    for item in items:
        if services.missing:
            item.add_marker(pytest.mark.skip(reason="no " + "; no ".join(services.missing)))
        # Async code works on the database from another thread, which cannot look into this one's
        # transaction.
        if inspect.iscoroutinefunction(getattr(item, "obj", None)) and _uses_database(item):
            item.add_marker(pytest.mark.django_db(transaction=True), append=False)


def _uses_database(item: pytest.Item) -> bool:
    fixtures = getattr(item, "fixturenames", ())
    return "db" in fixtures or item.get_closest_marker("django_db") is not None


def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.config.getoption("no_skips") and _skipped(session.config) and not session.exitstatus:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    skipped = _skipped(config)
    if not skipped:
        return
    terminalreporter.section("NOT EVERYTHING WAS TESTED", sep="!", red=True, bold=True)
    for reason, number in sorted(skipped.items()):
        terminalreporter.write_line(f"{number} skipped: {reason}", red=True)
    if config.getoption("no_skips"):
        terminalreporter.write_line("--no-skips: this run has failed", red=True)


def _skipped(config: pytest.Config) -> dict[str, int]:
    """How many tests were skipped, by reason."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    counts: dict[str, int] = {}
    for report in reporter.stats.get("skipped", ()) if reporter else ():
        where = report.longrepr
        reason = where[2] if isinstance(where, tuple) else str(where)
        reason = reason.removeprefix("Skipped: ")
        counts[reason] = counts.get(reason, 0) + 1
    return counts


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """The test database, left by every connection before it is dropped."""
    yield
    _close_connections_of_async_code()
    from django.db import connection

    if connection.vendor != "postgresql":
        return
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


@pytest.fixture(autouse=True)
def connections_of_async_code(request: pytest.FixtureRequest) -> Iterator[None]:
    """What an async test opened in the thread that Django's async functions use, it closes."""
    yield
    if inspect.iscoroutinefunction(getattr(request.node, "obj", None)):
        _close_connections_of_async_code()


def _close_connections_of_async_code() -> None:
    from asgiref.sync import SyncToAsync
    from django.db import connections

    SyncToAsync.single_thread_executor.submit(connections.close_all).result(timeout=10)


@pytest.fixture(scope="session", autouse=True)
def cheap_passwords() -> None:
    """Not another hasher: processes that a test starts must be able to check them too."""
    from django.contrib.auth.hashers import PBKDF2PasswordHasher

    PBKDF2PasswordHasher.iterations = 1


@pytest.fixture
def password() -> str:
    """Everybody's."""
    return PASSWORD


@pytest.fixture
def make_user(db: None) -> Callable[..., Any]:
    """`make_user("dora", is_staff=True)`; the password is the fixture `password`."""
    from django.contrib.auth import get_user_model

    def make(name: str, **fields: Any) -> Any:
        return get_user_model().objects.create_user(name, password=PASSWORD, **fields)

    return make


@pytest.fixture
def alice(make_user: Callable[..., Any]) -> Any:
    return make_user("alice")


@pytest.fixture
def bob(make_user: Callable[..., Any]) -> Any:
    return make_user("bob")


@pytest.fixture
def charlie(make_user: Callable[..., Any]) -> Any:
    """Has no access to anything of Alice's or Bob's."""
    return make_user("charlie")


@pytest.fixture
def processes(transactional_db: None) -> Iterator[Processes]:
    """Starts processes of ours on this test's database, and ends them after it."""
    running = Processes()
    yield running
    running.close()


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A Redis of this test's own, to be stopped, killed and paused."""
    try:
        server = RedisServer()
    except Missing as reason:
        pytest.skip(f"no Redis: {reason}")
    with server:
        yield server


@pytest.fixture
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL of this test's own, to be stopped, killed and paused."""
    try:
        server = PostgresServer(durable=True)
    except Missing as reason:
        pytest.skip(f"no PostgreSQL: {reason}")
    with server:
        yield server
