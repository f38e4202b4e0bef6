"""The button that turns push on and off, in Chromium, and what pages do by themselves."""

from collections.abc import Callable
from typing import Any

import pytest

from routing.push import applications
from routing.push.models import Device
from routing.push.vapid import VapidKey
from tests.browser.conftest import SCREENSHOTS
from tests.browser.desk import SOON, Desk, desk
from tests.browser.test_inbox import until
from tests.security.conftest import server, standing_server
from tests.waiting import wait_for

#: One server for all of these tests: none of them harms it.
__all__ = ["desk", "server", "standing_server"]

pytestmark = [pytest.mark.embedded, pytest.mark.timeout(180)]


def test_push_is_turned_on_and_off_by_a_button(desk: Callable[..., Desk], axe: str) -> None:
    alice = desk()
    alice.opens("/preferences/")
    button = alice.switch.locator("button")
    alice.is_turned("off")
    assert button.inner_text() == "Turn on notifications on this device"
    is_accessible(alice.page, axe)
    alice.turns("on")
    device = Device.objects.get()
    assert (device.token, device.active) == ("https://fcm.googleapis.com/wpush/1", True)
    assert device.name == "Chrome, Linux"
    assert button.inner_text() == "Turn off notifications on this device"
    is_accessible(alice.page, axe)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    alice.switch.screenshot(path=SCREENSHOTS / "push-switch-on.png")
    # A page load asks nobody, and changes nothing.
    alice.page.reload()
    alice.is_turned("on")
    assert list(Device.objects.values_list("pk", "token")) == [(device.pk, device.token)]
    alice.turns("off")
    assert not Device.objects.exists()
    assert alice.page.evaluate("localStorage.getItem('push-service')") == '{"made":1}'


def test_a_page_load_follows_what_has_happened_elsewhere(desk: Callable[..., Desk]) -> None:
    alice = desk()
    alice.opens("/preferences/")
    alice.turns("on")
    before = Device.objects.get()
    # The hub has another key: the old address takes nothing any more.
    application = applications.ensure_web_push()
    key = VapidKey.generate()
    credentials = applications.credentials_of(application)
    credentials["private_key"] = key.private_text()
    applications.set_credentials(application, credentials)
    alice.page.reload()
    alice.is_turned("on")
    now = Device.objects.get()
    assert (now.pk, now.token) == (before.pk, "https://fcm.googleapis.com/wpush/2")
    assert now.extra["vapid"] == key.id
    # Removed in the list below the button.
    alice.page.click("#devices [data-do=remove]")
    alice.page.click("#devices [data-do=really-remove]")
    alice.is_turned("off")
    assert not Device.objects.exists()
    assert alice.page.evaluate("localStorage.getItem('push-service')") == '{"made":2}'


def test_a_permission_that_is_refused_is_said_and_nothing_is_kept(
    desk: Callable[..., Desk], axe: str
) -> None:
    alice = desk(allowed=False)
    alice.page.add_init_script("""
        let permission = 'default';
        Object.defineProperty(Notification, 'permission', { get: () => permission });
        Notification.requestPermission = async () => (permission = window.answer ?? 'denied');
    """)
    alice.opens("/preferences/")
    alice.page.evaluate("window.answer = 'default'")
    alice.turns("off")
    hint = alice.switch.locator("[role=status]")
    assert "got no answer" in hint.inner_text()
    is_accessible(alice.page, axe)
    alice.page.evaluate("window.answer = 'denied'")
    alice.turns("denied")
    assert "blocked" in hint.inner_text()
    assert not alice.switch.locator("button").is_visible()
    is_accessible(alice.page, axe)
    assert not Device.objects.exists()
    assert alice.page.evaluate("localStorage.getItem('push-service')") is None


def test_any_page_knows_who_is_back_and_who_is_new(
    desk: Callable[..., Desk], bob: Any, password: str
) -> None:
    browser = desk()
    browser.opens("/preferences/")
    browser.turns("on")
    signed_in_next(browser.page, "alice", password)
    wait_for(lambda: Device.objects.get().active, SOON)
    # Bob gets nothing of Alice's, and nothing unasked.
    signed_in_next(browser.page, "bob", password)
    until(browser.page, """localStorage.getItem('push-service') === '{"made":1}'""")
    device = Device.objects.get()
    assert (device.user.username, device.active) == ("alice", False)
    browser.opens("/preferences/")
    browser.is_turned("off")


def test_the_hub_can_be_put_on_a_home_screen(desk: Callable[..., Desk]) -> None:
    """Where iPhones and iPads want it before they allow push."""
    alice = desk()
    alice.opens("/")
    tools = alice.context.new_cdp_session(alice.page)
    found = tools.send("Page.getAppManifest")
    assert (found["errors"], found["manifest"]["display"]) == ([], "kStandalone")
    problems = tools.send("Page.getInstallabilityErrors")["installabilityErrors"]
    # A window of its own keeps nothing, and so installs nothing.
    assert {one["errorId"] for one in problems} <= {"in-incognito"}


def signed_in_next(page: Any, name: str, password: str) -> None:
    page.goto("/logout/")
    page.click("button.main")
    page.fill("#username", name)
    assert not Device.objects.filter(active=True).exists()
    page.fill("#password", password)
    page.click("button.main")
    page.wait_for_url("**/")


def is_accessible(page: Any, axe: str) -> None:
    page.evaluate(axe + "; 0")
    found = page.evaluate("axe.run('push-switch').then(({ violations }) => violations)")
    assert [(one["id"], one["help"]) for one in found] == []
