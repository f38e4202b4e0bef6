"""The hub inside another project: the wheel in an empty environment, users whose keys are UUIDs,
and a database in which django-notifications-hq has left its tables."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from django.contrib.auth.hashers import make_password

from tests import tether
from tests.conftest import STACK, services
from tests.examples.leftovers import statements
from tests.security.doors import (
    browser_on,
    closed_with,
    cookies_of,
    csrf,
    is_open,
    knock,
    next_frame,
    socket_to,
    ticket_for,
)
from tests.servers import free_port
from tests.waiting import wait_for

pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).resolve().parent.parent.parent
RUN = 120.0  # seconds for one command
ADA = uuid.UUID("0f1e2d3c-4b5a-4978-8695-a4b3c2d1e0f0")
PASSWORD = "correct horse battery"

#: What the wheel is made of: not the whole folder, in which others work meanwhile.
SOURCES = ["pyproject.toml", "README.md", "LICENSE", "requirements.txt"]


class Forum:
    """A copy of the example project, with a Python that has the wheel and what it requires."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "forum"
        shutil.copytree(ROOT / "examples", self.folder, ignore=ignored)
        self.python = environment(folder, wheel(folder))
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONWARNINGS": "error",
            "FORUM_DATABASE": str(folder / "forum.sqlite3"),
            "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
        }

    def manage(self, *arguments: str) -> str:
        return run([self.python, "manage.py", *arguments], cwd=self.folder, env=self.env)

    def execute(self, sql: list[str]) -> list[Any]:
        """The rows of the last statement."""
        script = (
            "import json, sys\nfrom django.db import connection\n"
            "with connection.cursor() as cursor:\n"
            "    for one in json.loads(sys.argv[1]): cursor.execute(one)\n"
            "    rows = cursor.fetchall() if cursor.description else []\n"
            "print(json.dumps(rows, default=str))"
        )
        setup = "import django; django.setup()\n"
        env = self.env | {"DJANGO_SETTINGS_MODULE": "forum.settings"}
        printed = run(
            [self.python, "-c", setup + script, json.dumps(sql)], cwd=self.folder, env=env
        )
        rows: list[Any] = json.loads(printed.splitlines()[-1])
        return rows


@dataclass(frozen=True)
class Served:
    """What the doors want of a server."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws/notifications"


def ignored(folder: str, names: list[str]) -> set[str]:
    return {name for name in names if name == "__pycache__" or name.endswith(".sqlite3")}


def wheel(folder: Path) -> Path:
    source = folder / "source"
    source.mkdir()
    for name in SOURCES:
        shutil.copy(ROOT / name, source)
    for package in ("notifications", "routing"):
        shutil.copytree(ROOT / package, source / package, ignore=ignored)
    options = ["--wheel", "--no-isolation", "--outdir", str(folder)]
    run([sys.executable, "-m", "build", *options, str(source)], cwd=folder, env=None)
    [found] = folder.glob("*.whl")
    return found


def environment(folder: Path, package: Path) -> Path:
    """An environment with the wheel in it; what it requires is borrowed from ours."""
    home = folder / "env"
    run([sys.executable, "-m", "venv", "--without-pip", str(home)], cwd=folder, env=None)
    python = home / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--quiet", "install"]
    run([*pip, "--no-deps", "--no-index", str(package)], cwd=folder, env=None)
    where = run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], folder)
    Path(where.strip(), "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def run(command: list[Any], cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=RUN,
        check=False,
    )
    assert done.returncode == 0, f"{command[:3]}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """A new database on the PostgreSQL of this run; empty for SQLite."""
    if STACK != "production":
        yield ""
        return
    parts = urlsplit(services.urls["DATABASE_URL"])
    name = f"forum_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(parts.geturl(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        yield parts._replace(path=f"/{name}").geturl()
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture(scope="module")
def forum(tmp_path_factory: pytest.TempPathFactory, database: str) -> Forum:
    """Migrated into a database that had django-notifications-hq before."""
    made = Forum(tmp_path_factory.mktemp("forum"))
    if database:
        made.env |= {"DATABASE_URL": database, "REDIS_URL": services.urls["REDIS_URL"]}
    made.manage("migrate", "people", "--verbosity", "0")
    made.manage("migrate", "contenttypes", "--verbosity", "0")
    vendor = "postgresql" if database else "sqlite"
    made.execute(statements(vendor, key=ADA, password=make_password(PASSWORD)))
    made.manage("migrate", "--verbosity", "0")
    made.manage("createsuperuser", "--noinput", "--username", "grace", "--email", "g@example.com")
    return made


@pytest.fixture
def server(forum: Forum, tmp_path: Path) -> Iterator[Any]:
    """`manage.py serve` of the forum."""
    served = Served(free_port())
    log = tmp_path / "log"
    process = tether.start(
        [forum.python, forum.folder / "manage.py", "serve", "--port", str(served.port)],
        log=log,
        cwd=forum.folder,
        env=forum.env | {"PORT": str(served.port)},
    )
    try:
        wait_for(lambda: process.poll() is not None or answers(served), 60, what="the forum")
        assert process.poll() is None, log.read_text()
        yield served
        process.terminate()
        assert process.wait(20) == 0, log.read_text()
        assert "Traceback" not in log.read_text(), log.read_text()
    finally:
        process.kill()
        process.wait()


def answers(served: Served) -> bool:
    try:
        return httpx.get(served.url, timeout=2, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def token_of(server: Served, name: str) -> str:
    body = {"username": name, "password": PASSWORD}
    answer = httpx.post(f"{server.url}/api/auth/token/", json=body, trust_env=False, timeout=20)
    return str(answer.raise_for_status().json()["token"])


def app_of(server: Served, token: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=server.url, headers=headers, trust_env=False, timeout=20)


def test_it_is_the_wheel_that_runs(forum: Forum) -> None:
    shown = "import notifications, routing; print(notifications.__file__, routing.__file__)"
    for place in run([forum.python, "-c", shown], forum.folder).split():
        assert Path(place).is_relative_to(forum.python.parent.parent)
    assert "no issues" in forum.manage("check")
    assert "No changes detected" in forum.manage("makemigrations", "--check", "--dry-run")


def test_what_was_left_there_stays_and_is_in_nobodys_way(forum: Forum) -> None:
    [[rows]] = forum.execute(["SELECT count(*) FROM notifications_notification"])
    assert rows == 1
    [[inboxes]] = forum.execute(["SELECT count(*) FROM hub_inbox"])
    assert inboxes == 2, "also of who was there before"
    plan = forum.manage("showmigrations", "--plan")
    assert "hub_notifications" in plan and "[ ]" not in plan


def test_what_was_left_there_can_be_imported(forum: Forum) -> None:
    said = forum.manage("import_from", "notifications-hq", "--dry-run")
    assert "notifications: 1 would be imported, 0 known already, 0 skipped" in said


def test_the_forums_own_tests_pass(forum: Forum) -> None:
    """They hold that keys which are UUIDs serve everywhere."""
    forum.manage("test", "--noinput")


def test_it_sends_and_receives(forum: Forum, server: Any) -> None:
    tokens = [token_of(server, name) for name in ("ada", "grace")]
    with (
        app_of(server, tokens[0]) as ada,
        app_of(server, tokens[1]) as grace,
        socket_to(server, token=tokens[0]) as adas,
        socket_to(server, token=tokens[1]) as graces,
    ):
        assert next_frame(adas)["version"] == next_frame(graces)["version"] == 0
        # by id and by name, with its author
        for number, users in enumerate([[str(ADA)], ["ada"], [ADA.hex, "grace"]], start=1):
            body = {"type": "reply", "users": users, "title": str(number), "data": {"post": 1}}
            answer = grace.post("/api/events/", json=body)
            assert answer.status_code == 201, answer.text
            frame = next_frame(adas)
            assert (frame["action"], frame["version"]) == ("new", number)
            assert frame["notification"]["event"]["author"]["name"] == "grace"
            assert uuid.UUID(frame["notification"]["event"]["author"]["id"])
        assert next_frame(graces)["version"] == 1

        # marks over the socket are seen over REST, and the other way round
        first = ada.get("/api/notifications/").json()["results"][-1]["id"]
        adas.send(json.dumps({"action": "mark", "state": "read", "ids": [first], "ref": 1}))
        told = {next_frame(adas)["action"] for _ in range(2)}
        assert told == {"marked", "done"}
        assert ada.get("/api/notifications/summary/").json()["unread"] == 2
        assert ada.delete(f"/api/notifications/{first}/").status_code == 204
        assert next_frame(adas) == {
            **{"action": "deleted", "version": 5, "unread": 2, "unseen": 2},
            "ids": [first],
        }
        # somebody else's is not there
        assert grace.get(f"/api/notifications/{first}/").status_code == 404

        # everybody, and by a command, which is another process
        body = {"type": "reply", "users": "everyone", "title": "All", "data": {"post": 1}}
        assert grace.post("/api/events/", json=body).status_code == 201
        assert next_frame(adas)["version"] == 6
        data = ["--data", '{"post": 1}', "--title", "By a command"]
        forum.manage("send_notification", "reply", "--user", "ada", *data)
        assert next_frame(adas, timeout=20)["version"] == 7

        # resume, acknowledge, tickets, and the end of a token
        adas.send(json.dumps({"action": "ack", "version": 7, "ref": "ack"}))
        assert next_frame(adas)["action"] == "done"
        wait_for(lambda: acked(forum) == 7, 20, every=0.5)
        ticket = ada.post("/api/ws-ticket/").json()["ticket"]
        assert knock(server, subprotocols=ticket_for(ticket)) == "hello"
        changes = ada.get("/api/notifications/changes/", params={"since": 0}).json()
        assert changes["reset"] is True
        [mine] = ada.get("/api/auth/tokens/").json()["results"]
        assert is_open(adas)
        assert ada.delete(f"/api/auth/tokens/{mine['id']}/").status_code == 204
        assert is_ended(adas)
        forum.manage("worker", "--once")


def test_a_person_who_has_logged_in(forum: Forum, server: Any) -> None:
    with browser_on(server) as browser:
        page = browser.get("/").text
        field = page.split('name="csrfmiddlewaretoken" value="')[1].split('"')[0]
        form = {"username": "grace", "password": PASSWORD, "csrfmiddlewaretoken": field}
        page = browser.post("/", data=form, follow_redirects=True).text
        assert "<notification-inbox" in page
        cookie, origin = cookies_of(browser), server.url
        assert knock(server, cookie=cookie, origin=origin) == "hello"
        assert knock(server, cookie=cookie, origin="https://evil.example") == 403
        answer = browser.post("/api/ws-ticket/", headers=csrf(browser))
        assert knock(server, subprotocols=ticket_for(answer.json()["ticket"])) == "hello"
        assert '<push-switch worker-url="/service-worker.js"' in page
        worker = browser.get("/service-worker.js")
        assert '"title": "Forum"' in worker.text
        assert worker.headers["service-worker-allowed"] == "/"
        script = browser.get("/static/notifications/index.js")
        assert script.status_code in (200, 404)  # served by runserver, or by a web server


def acked(forum: Forum) -> int:
    rows = forum.execute(["SELECT max(acked) FROM hub_presence"])
    return int(rows[0][0] or 0)


def is_ended(socket: Any) -> bool:
    return closed_with(socket, timeout=60) == 4501
