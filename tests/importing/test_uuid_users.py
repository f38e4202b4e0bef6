"""Users whose keys are UUIDs: the import into a project with a user model of its own."""

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.conftest import STACK, services

ROOT = Path(__file__).resolve().parent.parent.parent

pytestmark = pytest.mark.timeout(120)


def run(folder: Path, database: str) -> dict[str, object]:
    env = os.environ | {
        "DJANGO_SETTINGS_MODULE": "forum.settings",
        "PYTHONPATH": f"{ROOT / 'examples'}:{ROOT}",
        "FORUM_DATABASE": str(folder / "forum.sqlite3"),
        "DATABASE_URL": database,
        "REDIS_URL": "",
    }
    done = subprocess.run(
        [sys.executable, ROOT / "tests/importing/uuid_users.py"],
        env=env,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_keys_that_are_uuids_are_found_again(tmp_path: Path) -> None:
    if STACK == "production":
        parts = urlsplit(services.urls["DATABASE_URL"])
        name = f"moving_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(parts.geturl(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
            try:
                found = run(tmp_path, parts._replace(path=f"/{name}").geturl())
            finally:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
    else:
        found = run(tmp_path, "")
    said = str(found.pop("said"))
    assert found.pop("author")["name"] == "ada"  # type: ignore[index]
    assert found == {
        "mine": True,
        "read": True,
        "total": 1,
        "muted": 1,
        "devices": ["apns", "fcm"],
    }, said
    assert said.count("its user is not there") == 2
