"""Scripts and styles are served under ASGI, with DEBUG and without, and never block the loop."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.embedded  # no database is asked: once is enough

ROOT = Path(__file__).resolve().parent.parent.parent

# A process of its own: whether there is DEBUG is settled when the settings are read.
ASK = """
import asyncio, os, sys
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hub.settings")
from django.core.asgi import get_asgi_application
from routing.live.http import http_application

async def ask(application, path):
    sent = []
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
             "path": path, "raw_path": path.encode(), "root_path": "", "scheme": "http",
             "query_string": b"", "headers": [(b"host", b"localhost")],
             "server": ("localhost", 80), "client": ("127.0.0.1", 1)}
    body = asyncio.Queue()
    body.put_nowait({"type": "http.request", "body": b"", "more_body": False})
    async def send(message):
        sent.append(message)
    await application(scope, body.get, send)
    start = sent[0]
    headers = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    size = sum(len(message.get("body", b"")) for message in sent[1:])
    print(start["status"], headers.get("content-type"), size, headers.get("cache-control"))

application = {"hub": http_application, "django": get_asgi_application}[sys.argv[1]]()
for path in sys.argv[2:]:
    asyncio.run(ask(application, path))
"""


def ask(*paths: str, tmp_path: Path, debug: str, handler: str = "hub") -> list[str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ASK, handler, *paths],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "HUB_DATA": str(tmp_path), "DEBUG": debug, "SECRET_KEY": "x"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("handler", ["hub", "django"])
@pytest.mark.parametrize("debug", ["1", "0"])
def test_served_under_asgi_without_a_step_before(tmp_path: Path, debug: str, handler: str) -> None:
    script, style, admin = ask(
        "/static/hub/inbox.js",
        "/static/hub/hub.css",
        "/static/admin/css/base.css",
        tmp_path=tmp_path,
        debug=debug,
        handler=handler,
    )
    size = (ROOT / "hub/static/hub/inbox.js").stat().st_size
    assert script.startswith(f'200 text/javascript; charset="utf-8" {size} ')
    assert style.startswith("200 text/css")
    assert admin.startswith("200 text/css")
    assert script.endswith("max-age=0, public" if debug == "1" else "max-age=60, public")


def test_what_is_not_there_is_not_found(tmp_path: Path) -> None:
    paths = ["/static/nope.js", "/static/../hub/settings.py", "/static/%2e%2e/settings.py"]
    for answer in ask(*paths, tmp_path=tmp_path, debug="0"):
        assert answer.startswith("404 ")


def test_runserver_leaves_them_to_the_same_door() -> None:
    from django.core.management import get_commands, load_command_class

    command = load_command_class(get_commands()["runserver"], "runserver")
    parser = command.create_parser("manage.py", "runserver")
    assert parser.parse_args([]).use_static_handler is False
    assert any(cls.__module__.startswith("daphne.") for cls in type(command).__mro__)
