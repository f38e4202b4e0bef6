"""The servers that tests stand on do what their names say: fault tests rely on it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from tests.services import PostgresServer, RedisServer
from tests.waiting import wait_for

pytestmark = pytest.mark.production

ROOT = Path(__file__).resolve().parent.parent


def redis_at(server: RedisServer) -> redis.Redis:
    return redis.Redis.from_url(server.url, socket_timeout=0.3, socket_connect_timeout=0.3)


def test_a_paused_redis_takes_connections_and_answers_nothing(redis_server):
    redis_server.pause()
    with redis_at(redis_server) as client, pytest.raises(redis.TimeoutError):
        client.ping()
    redis_server.resume()
    with redis_at(redis_server) as client:
        assert client.ping()


def test_a_killed_redis_is_gone_and_comes_back_empty_at_the_same_address(redis_server):
    before = redis_server.url
    with redis_at(redis_server) as client:
        client.set("key", "value")
    redis_server.kill()
    with redis_at(redis_server) as client, pytest.raises(redis.ConnectionError):
        client.ping()
    redis_server.start()
    assert redis_server.url == before
    with redis_at(redis_server) as client:
        assert client.get("key") is None


def test_a_killed_postgres_keeps_what_was_committed(postgres_server):
    with psycopg.connect(postgres_server.url) as connection:
        connection.execute("CREATE TABLE kept (n int)")
        connection.execute("INSERT INTO kept VALUES (1)")
    postgres_server.kill()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(postgres_server.url, connect_timeout=1)
    postgres_server.start()
    with psycopg.connect(postgres_server.url) as connection:
        assert connection.execute("SELECT n FROM kept").fetchall() == [(1,)]


def test_a_paused_postgres_answers_no_session(postgres_server):
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute("SET statement_timeout = 0")
        backend = psutil.Process(connection.info.backend_pid)
        postgres_server.pause()
        wait_for(lambda: backend.status() == psutil.STATUS_STOPPED)
        postgres_server.resume()
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_stopped_postgres_starts_again(postgres_server):
    postgres_server.restart()
    with psycopg.connect(postgres_server.url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
@pytest.mark.parametrize("kind", [RedisServer.__name__, PostgresServer.__name__])
def test_servers_die_with_a_killed_test_run(kind):
    code = (
        f"from tests.services import {kind}\n"
        f"server = {kind}().start()\n"
        "print(server.pid, server.folder, flush=True)\n"
        "input()"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ,
    )
    pid, folder = run.stdout.readline().decode().split()
    server = psutil.Process(int(pid))
    run.kill()
    run.communicate()
    wait_for(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE)
    shutil.rmtree(folder)
