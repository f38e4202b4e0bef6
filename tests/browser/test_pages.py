"""Every page of the hub that is not the admin's: how they hang together, and how they look."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from notifications import filters, send_notification
from notifications.models import EventType
from routing.push.registration import register
from tests.browser.conftest import SCREENSHOTS
from tests.browser.test_inbox import SOON, expect, opened, serious
from tests.browser.test_preferences import card, phones, preferences
from tests.security.conftest import server, standing_server

#: Shared: one server for all of these tests, and phones that the dummy backend reaches.
__all__ = ["phones", "server", "standing_server"]

pytestmark = [pytest.mark.embedded, pytest.mark.timeout(240)]

Open = Callable[..., Any]


def test_the_places_of_the_hub(alice: Any, make_user: Any, person: Open) -> None:
    page = opened(person("alice"))
    places = page.get_by_role("navigation", name="Pages")
    expect(places.get_by_role("link")).to_have_text(["Inbox", "Preferences"])
    places.get_by_role("link", name="Preferences").click()
    page.wait_for_url("**/preferences/")
    expect(places.get_by_role("link", name="Preferences")).to_have_attribute("aria-current", "page")
    places.get_by_role("link", name="Inbox").click()
    page.wait_for_url(re.compile(r"/$"))
    make_user("staff", is_staff=True)
    page = opened(person("staff"))
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Admin").click()
    page.wait_for_url("**/admin/")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_every_page_looks_right_and_everybody_can_use_it(
    alice: Any, phones: None, person: Open, width: int, scheme: str, axe: str
) -> None:
    EventType.objects.create(
        name="sign_in", title="Sign-ins", description="From a new place", critical=True
    )
    filters.set_channels(alice.pk, types={"post_like": {"inbox": False}})
    for number, kind in enumerate(("android", "web", "ios")):
        register(alice, backend="dummy", token=f"ok-{number}", name=f"My {kind}", type=kind)
    register(alice, backend="dummy", token="ok-off", type="windows", active=False)
    for number in range(3):
        send_notification("post_comment", users=[alice], title=f"Comment {number}")
    phone = width < 500
    context = person(
        "alice",
        viewport={"width": width, "height": 844 if phone else 800},
        color_scheme=scheme,
        has_touch=phone,
        is_mobile=phone,
        reduced_motion="reduce",
    )
    page = preferences(context)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    expect(page.get_by_role("article")).to_have_count(4)
    assert serious(page, axe) == []
    page.get_by_role("switch", name="Quiet hours").click()
    expect(page.locator("#quiet-outcome")).to_have_text("Quiet hours are on", timeout=5 * SOON)
    card(page, "My web").get_by_role("button", name="Rename").click()
    card(page, "My ios").get_by_role("button", name="Remove").click()
    shoot(page, f"preferences-{width}-{scheme}", axe)
    for path, name in (("/logout/", "logout"), ("/", "inbox")):
        page.goto(path)
        expect(page.get_by_role("heading", level=1)).to_be_attached()
        shoot(page, f"{name}-{width}-{scheme}", axe)
    context.clear_cookies()
    page.goto("/login/")
    shoot(page, f"login-{width}-{scheme}", axe)
    page.fill("#username", "alice")
    page.fill("#password", "wrong")
    page.click("button.main")
    expect(page.get_by_role("alert")).to_be_visible()
    shoot(page, f"login-refused-{width}-{scheme}", axe)


def shoot(page: Any, name: str, axe: str) -> None:
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)
    assert serious(page, axe) == []
    sideways = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    assert not page.evaluate(sideways)
