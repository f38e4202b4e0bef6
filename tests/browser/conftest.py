"""A real browser before a real server: Chromium, driven by Playwright."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients import npm
from tests.processes import Processes, ServerProcess

ROOT = Path(__file__).resolve().parent.parent.parent
SCREENSHOTS = ROOT / "var" / "screenshots"

# The browser does nothing but what the test asks of it: no updates, no sync, no look at the net.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def executable() -> str | None:
    named = os.environ.get("HUB_TEST_CHROMIUM")
    found = (named, "/usr/bin/chromium", shutil.which("chromium"), shutil.which("google-chrome"))
    return next((path for path in found if path and Path(path).exists()), None)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Not for the session: Playwright's event loop would be in the way of async tests."""
    path = executable()
    if path is None:
        pytest.skip("no browser: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with pytest.MonkeyPatch.context() as patch, sync_playwright() as driver:
        # That loop waits while a test runs, but Django sees it and would refuse the database.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        browser = driver.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def axe() -> str:
    """axe-core, as npm has installed it."""
    return (npm.modules() / "axe-core" / "axe.min.js").read_text()


@pytest.fixture
def server(processes: Processes) -> ServerProcess:
    return processes.serve(env={"DEBUG": "1"})


Open = Callable[..., Any]


@pytest.fixture
def person(chromium: Any, server: ServerProcess, password: str) -> Iterator[Open]:
    """`person("alice")` logs in and gives a browser context; its pages must not log errors."""
    problems: list[str] = []
    with contextlib.ExitStack() as stack:

        def enter(name: str, **options: Any) -> Any:
            options = {"viewport": {"width": 1280, "height": 800}, "locale": "en"} | options
            context = chromium.new_context(base_url=server.url, **options)
            stack.callback(context.close)
            context.set_default_timeout(10_000)
            context.on("weberror", lambda error: problems.append(str(error.error)))
            context.on("console", lambda message: _note(problems, message))
            page = context.new_page()
            page.goto("/login/")
            page.fill("#username", name)
            page.fill("#password", password)
            page.click("button.main")
            page.wait_for_url("**/")
            page.close()
            return context

        yield enter
    assert problems == []


def _note(problems: list[str], message: Any) -> None:
    # What a browser says of a server that is away, or refuses, is the point of some tests.
    expected = ("net::ERR", "WebSocket", "Failed to load resource")
    if message.type == "error" and not any(part in message.text for part in expected):
        problems.append(message.text)
