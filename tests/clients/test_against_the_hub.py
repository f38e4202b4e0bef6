"""The JavaScript client: its own tests, and a real hub behind a proxy that breaks things.

`HUB_TEST_SEEDS=4,5,6 HUB_TEST_SECONDS=20` tries other faults, and for longer.
"""

import os
import subprocess
from typing import Any

import httpx
import pytest

from tests.clients import npm
from tests.processes import Processes

SEEDS = [int(seed) for seed in os.environ.get("HUB_TEST_SEEDS", "1,2,3").split(",")]
SECONDS = int(os.environ.get("HUB_TEST_SECONDS", "6"))  # of faults, in a test
RUN = 100 + SECONDS  # seconds


def node(*arguments: str, **environment: str) -> str:
    """Runs `node --test`; a failure shows what it printed."""
    command = [npm.program("node"), "--experimental-websocket", "--test", *arguments]
    env = npm.environment() | environment
    done = subprocess.run(
        command, cwd=npm.CLIENT, env=env, capture_output=True, text=True, timeout=RUN
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.embedded
@pytest.mark.parametrize("file", ["client", "push", "replica", "service-worker", "tabs"])
def test_the_client_by_itself(file: str) -> None:
    assert "fail 0" in node(f"test/{file}.test.js")


@pytest.mark.parametrize("seed", SEEDS)
def test_after_faults_the_client_equals_the_database(
    alice: Any, make_user: Any, password: str, processes: Processes, seed: int
) -> None:
    make_user("sender", is_superuser=True)
    server = processes.serve()

    def token(name: str) -> str:
        body = {"username": name, "password": password}
        answer = httpx.post(f"{server.url}/api/auth/token/", json=body).raise_for_status()
        return str(answer.json()["token"])

    said = node(
        "test/real.chaos.js",
        HUB_URL=server.url,
        HUB_TOKEN=token("alice"),
        HUB_SENDER=token("sender"),
        HUB_USER="alice",
        HUB_SEED=str(seed),
        HUB_SECONDS=str(SECONDS),
    )
    print(said)  # noqa: T201 - what was broken, for `pytest -s`
    assert "fail 0" in said
