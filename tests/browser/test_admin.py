"""The admin as staff see it: compose, look it over, send now, trace; on a desktop and a phone."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import SCREENSHOTS, Open
from tests.browser.test_inbox import serious
from tests.conftest import STACK
from tests.processes import Processes
from tests.waiting import wait_for

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def people(make_user: Callable[..., Any], alice: Any, bob: Any) -> None:
    from notifications import filters

    make_user("root", is_staff=True, is_superuser=True)
    make_user("gone", is_active=False)
    filters.set_channels(bob.pk, types={"post_like": {"inbox": False}})


def shown(page: Any, axe: str, name: str) -> None:
    """Kept as a picture, and held against axe-core; nothing is wider than the screen."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"admin-{name}.png", full_page=True)
    assert serious(page, axe, preload=False) == []
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(wide) <= 0, name


@pytest.mark.parametrize("width", [1280, 390])
def test_compose_look_over_send_now_and_trace(
    people: None, person: Open, processes: Processes, axe: str, width: int
) -> None:
    if STACK == "production":
        processes.start("worker")  # the embedded server has one within itself
    context = person("root", viewport={"width": width, "height": 844})
    refused: list[str] = []
    context.on("console", lambda message: refused.append(message.text))
    page = context.new_page()
    page.goto("/admin/hub_notifications/event/")
    page.click("text=Add event")
    expect(page.get_by_role("heading", name="Add announcement")).to_be_visible()
    page.select_option("#id_type", label="post_like")
    page.fill("#id_title", "The harbour is closed tonight")
    page.fill("#id_message", "From ten to eleven.\nSorry for that.")
    page.get_by_label("Users by name").check()
    page.fill("#id_names", "alice\nbob\ngone")
    shown(page, axe, f"compose-{width}")
    page.click("text=Save and look it over")

    expect(page.locator("[data-count]")).to_have_text("1")
    expect(page.get_by_text("3 in all")).to_be_visible()
    shown(page, axe, f"preview-{width}")
    page.get_by_role("button", name="Send now").click()
    # the browser itself asks for the confirmation
    expect(page.locator("[data-state=draft]")).to_be_visible()
    page.get_by_label("I have looked it over").check()
    page.get_by_role("button", name="Send now").click()
    expect(page.get_by_text("Queued. The worker sends it.")).to_be_visible()

    def sent() -> bool:
        page.reload()
        return bool(page.locator("[data-state=sent]").count())

    wait_for(sent, timeout=20)
    shown(page, axe, f"sent-{width}")
    page.get_by_role("link", name=re.compile("Trace event")).click()
    expect(page.get_by_role("heading", name="The harbour is closed tonight")).to_be_visible()
    for name, verdict in (
        ("alice", "It is in the inbox, not seen yet."),
        ("bob", "They had muted post_like"),
        ("gone", "They were inactive."),
        ("root", "Not addressed."),
    ):
        page.get_by_label("User name, e-mail address or id").fill(name)
        page.get_by_role("button", name="Trace").click()
        expect(page.locator(".hub-verdict")).to_contain_text(verdict)
        if name in ("alice", "bob"):
            shown(page, axe, f"trace-{name}-{width}")
    policy = [text for text in refused if "Content Security Policy" in text]
    assert policy == []


def test_the_lists_keep_the_strict_policy_and_are_usable(
    people: None, alice: Any, person: Open, axe: str
) -> None:
    from notifications import send_notification

    for n in range(3):
        send_notification("post_like", users=alice, title=f"Number {n}")
    context = person("root")
    refused: list[str] = []
    context.on("console", lambda message: refused.append(message.text))
    page = context.new_page()
    for name in (
        "hub_notifications/notification",
        "hub_notifications/audience",
        "hub_routing/device",
    ):
        page.goto(f"/admin/{name}/")
        expect(page.locator("#changelist")).to_be_visible()
        page.screenshot(path=SCREENSHOTS / f"admin-{name.replace('/', '-')}.png")
    assert [text for text in refused if "Content Security Policy" in text] == []
