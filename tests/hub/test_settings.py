"""The settings are safe where they are not for trying out."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.embedded  # processes of their own, without a database: once is enough

ROOT = Path(__file__).resolve().parent.parent.parent
SECRET = "".join(chr(33 + number % 90) for number in range(0, 540, 7))

SHOW = """
import json
from hub import settings
names = [name for name in vars(settings) if name.isupper()]
print(json.dumps({name: getattr(settings, name) for name in names}, default=str))
"""


def python(*arguments: str, tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": "/usr/bin:/bin", "HUB_DATA": str(tmp_path), **environment}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)


def settings_with(tmp_path: Path, **environment: str) -> dict[str, Any]:
    done = python("-c", SHOW, tmp_path=tmp_path, **environment)
    assert done.returncode == 0, done.stderr
    values: dict[str, Any] = json.loads(done.stdout)
    return values


def test_a_proper_environment_passes_the_deployment_check(tmp_path: Path) -> None:
    done = python(
        *["manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        tmp_path=tmp_path,
        SECRET_KEY=SECRET,
        HUB_HTTPS="1",
        ALLOWED_HOSTS="hub.example.com",
        ALLOWED_ORIGINS="https://hub.example.com",
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_with_https_nothing_goes_without(tmp_path: Path) -> None:
    values = settings_with(tmp_path, SECRET_KEY=SECRET, HUB_HTTPS="1")
    assert values["SESSION_COOKIE_SECURE"] is values["CSRF_COOKIE_SECURE"] is True
    assert values["SECURE_SSL_REDIRECT"] is True
    assert values["SECURE_HSTS_SECONDS"] == 30 * 24 * 3600
    assert values["SECURE_PROXY_SSL_HEADER"] == ["HTTP_X_FORWARDED_PROTO", "https"]
    # but what is asked for on the machine itself
    assert values["SECURE_REDIRECT_EXEMPT"] == ["^health/", "^metrics$"]


def test_without_https_browsers_are_not_told_to_insist_on_it(tmp_path: Path) -> None:
    values = settings_with(tmp_path, SECRET_KEY=SECRET)
    assert "SECURE_HSTS_SECONDS" not in values
    # a client could say that it came by https
    assert "SECURE_PROXY_SSL_HEADER" not in values
    assert values["SESSION_COOKIE_SECURE"] is False


def test_debug_is_off_unless_asked_for(tmp_path: Path) -> None:
    values = settings_with(tmp_path, SECRET_KEY=SECRET)
    assert values["DEBUG"] is False
    assert values["SERVESTATIC_AUTOREFRESH"] is False
    assert len(values["AUTH_PASSWORD_VALIDATORS"]) == 4


def test_a_wrong_value_stops_the_start(tmp_path: Path) -> None:
    done = python("manage.py", "check", tmp_path=tmp_path, SECRET_KEY=SECRET, PORT="eighty")
    assert done.returncode != 0
    assert "PORT must be a whole number; it is 'eighty'" in done.stderr
