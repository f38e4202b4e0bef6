"""The trace in a project whose users have UUIDs."""

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.conftest import STACK, services

ROOT = Path(__file__).resolve().parent.parent.parent

pytestmark = pytest.mark.timeout(120)


def run(folder: Path, database: str) -> Any:
    env = os.environ | {
        "DJANGO_SETTINGS_MODULE": "forum.settings",
        "PYTHONPATH": f"{ROOT / 'examples'}:{ROOT}",
        "FORUM_DATABASE": str(folder / "forum.sqlite3"),
        "DATABASE_URL": database,
        "REDIS_URL": "",
    }
    program = [sys.executable, ROOT / "tests/notifications/uuid_trace.py"]
    done = subprocess.run(
        program, env=env, cwd=folder, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


def told(folder: Path) -> Any:
    if STACK != "production":
        return run(folder, "")
    parts = urlsplit(services.urls["DATABASE_URL"])
    name = f"trace_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(parts.geturl(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        try:
            return run(folder, parts._replace(path=f"/{name}").geturl())
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def test_who_was_left_out_is_found_again(tmp_path: Path) -> None:
    found = told(tmp_path)
    inbox = "It is in the inbox, not seen yet."
    muted = next(text for text in found["alone"][1] if "muted" in text)
    three = [inbox, muted, "Not addressed."]
    assert found.pop("alone") == [{"muted": 1}, three]
    assert found.pop("unknown") == [{"muted": 1, "unknown": 1}, three]
    assert found.pop("late") == [{"muted": 1}, three]
    back = "Addressed, as everybody. It arrives when they come back."
    assert found.pop("everyone") == [{"muted": 1}, [inbox, muted, back]]
    assert found == {
        "parked": "They are addressed; the fan-out to them is parked.",
        "dropped": "They were addressed, and somebody dropped the parked audience.",
        "named": ["ada", "eve"],
        "page": [True, 4],
    }
