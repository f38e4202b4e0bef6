"""Uses the hub as a newcomer does: `make run`, log in, be sent something, see it, Ctrl-C.

    .venv/bin/python .ci/walk.py

Works on a free port and on data of its own; ends with status 1 and a sentence when something is
not as promised.
"""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
from websockets.sync.client import connect

ROOT = Path(__file__).resolve().parent.parent

START = 180.0  # seconds until it answers: the environment may have to be built first
SEEN = 2.0  # seconds until a second process's notification shows, from the end of its command
STOP = 15.0  # seconds from Ctrl-C to the end

# Where we were started with SIGINT ignored `make run` would inherit that, and Ctrl-C do nothing.
signal.signal(signal.SIGINT, signal.default_int_handler)


class Broken(Exception):
    """Something is not as a new user was promised."""


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="hub-walk-") as scratch:
        log = Path(scratch, "make-run.log")
        environment = os.environ | {
            "PORT": str(free_port()),
            "HUB_DATA": str(Path(scratch, "data")),
        }
        for name in ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "DEBUG", "ALLOWED_ORIGINS"):
            environment.pop(name, None)
        try:
            with running(environment, log) as base:
                walk(base, environment)
            promise(not answers(base), "the port is free after Ctrl-C")
            noise = [word for word in ("Traceback", "make: ***") if word in log.read_text()]
            promise(not noise, f"the log is free of {', '.join(noise)}")
        except (Broken, AssertionError, OSError, httpx.HTTPError, TimeoutError) as problem:
            print(f"{type(problem).__name__}: {problem}", file=sys.stderr)
            print(log.read_text(errors="replace")[-4000:], file=sys.stderr)
            return 1
    return 0


def walk(base: str, environment: dict[str, str]) -> None:
    with httpx.Client(base_url=base, follow_redirects=True, timeout=10) as client:
        log_in(client)
        cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
        socket_url = base.replace("http", "ws", 1) + "/ws/notifications"
        with connect(socket_url, origin=base, additional_headers={"Cookie": cookie}) as live:
            hello = json.loads(live.recv(timeout=10))
            promise(hello["action"] == "hello", f"the first frame is hello, not {hello}")
            say("logged in, connected")
            send_from_a_second_process(environment)
            sent = time.monotonic()
            frame = next_with_title(live, "Hello from a second process")
            say(f"seen live as `{frame['action']}` after {time.monotonic() - sent:.2f} s")
        inbox = client.get("/api/notifications/").raise_for_status().json()
        titles = [row["event"]["title"] for row in inbox["results"]]
        promise(titles == ["Hello from a second process"], f"it is in the inbox: {titles}")
        say("read over REST")


def log_in(client: httpx.Client) -> None:
    page = client.get("/login/").raise_for_status().text
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    promise(token is not None, "the login page has a form")
    form = {"username": "alice", "password": "demo", "csrfmiddlewaretoken": token[1]}
    answer = client.post("/login/", data=form, headers={"Referer": str(client.base_url)})
    promise(answer.status_code == 200, f"alice can log in: {answer.status_code}")
    promise("/login/" not in str(answer.url), "alice is led on from the login page")


def send_from_a_second_process(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [
            *(ROOT / ".venv/bin/python", "manage.py", "send_notification", "post_like"),
            *("--user", "alice", "--title", "Hello from a second process"),
        ],
        cwd=ROOT,
        env=environment | {"DEBUG": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    promise(done.returncode == 0, f"send_notification succeeds: {done.stderr[-1000:]}")


def next_with_title(live, title: str) -> dict:
    """The first `new` or `sync` that carries it; `ping` and the like may come between."""
    end = time.monotonic() + SEEN
    while (left := end - time.monotonic()) > 0:
        try:
            frame = json.loads(live.recv(timeout=left))
        except TimeoutError:
            break
        if frame["action"] == "new" and frame["notification"]["event"]["title"] == title:
            return frame
        changes = frame.get("changes", ()) if frame["action"] == "sync" else ()
        if any(change.get("event", {}).get("title") == title for change in changes):
            return frame
    raise Broken(f"the notification was not seen live within {SEEN:g} s")


@contextlib.contextmanager
def running(environment: dict[str, str], log: Path) -> Iterator[str]:
    """`make run` until the block ends; then Ctrl-C, and it must end by itself, cleanly."""
    base = f"http://127.0.0.1:{environment['PORT']}"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["make", "run"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a process group of its own, as a terminal gives it
        )
    try:
        wait_until(lambda: answers(base) or process.poll() is not None, START, "make run answers")
        promise(process.poll() is None, "make run stays")
        say(f"make run answers on {base}")
        yield base
        os.killpg(process.pid, signal.SIGINT)
        status = process.wait(STOP)
        promise(status in (0, 130, -signal.SIGINT), f"Ctrl-C ends it cleanly: status {status}")
        say(f"Ctrl-C: status {status}")
    except subprocess.TimeoutExpired as problem:
        raise Broken(f"it is still there {STOP:g} s after Ctrl-C") from problem
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(base: str) -> bool:
    try:
        return httpx.get(f"{base}/health/live", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def wait_until(condition, timeout: float, what: str) -> None:
    end = time.monotonic() + timeout
    while not condition():
        promise(time.monotonic() < end, f"{what} within {timeout:g} s")
        time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def promise(kept: object, what: str) -> None:
    if not kept:
        raise Broken(f"not so: {what}")


def say(line: str) -> None:
    print(f"    {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
