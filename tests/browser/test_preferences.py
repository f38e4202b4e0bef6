"""Preferences in a real browser: what is switched holds, and what is refused is said there."""

from collections.abc import Callable
from typing import Any

import pytest

from notifications import filters
from notifications.models import EventType
from routing.push import quiet_hours
from routing.push.models import Application, Device
from routing.push.registration import register
from tests.browser.test_inbox import SOON, expect, opened, send, serious, titles
from tests.security.conftest import server, standing_server
from tests.waiting import wait_for

#: One server for all of these tests: none of them harms it.
__all__ = ["server", "standing_server"]

pytestmark = [pytest.mark.embedded, pytest.mark.timeout(240)]

ANSWERED = 10_000  # ms that a provider may take, the worker's turn included

Open = Callable[..., Any]


@pytest.fixture
def phones(transactional_db: None) -> None:
    Application.objects.create(name="phones", backend="dummy", is_default=True)


@pytest.fixture
def phone(phones: None, alice: Any) -> Device:
    return register(alice, backend="dummy", token="ok-1", name="Alice's phone", type="android")[0]


@pytest.fixture
def page(alice: Any, person: Open) -> Any:
    """Alice's preferences, with the browser's clock in Berlin."""
    return preferences(person("alice", timezone_id="Europe/Berlin"))


def preferences(context: Any) -> Any:
    page = context.new_page()
    page.goto("/preferences/")
    expect(page.locator("#devices")).not_to_have_attribute("aria-busy", "true")
    return page


def switch(page: Any, kind: str, channel: str) -> Any:
    return page.get_by_role("group", name=kind).get_by_role("switch", name=channel)


def card(page: Any, name: str) -> Any:
    return page.get_by_role("article", name=name)


def saved(part: Any) -> None:
    expect(part.locator(".outcome").first).to_have_text("Saved", timeout=5 * SOON)


def chosen(user: Any, kind: str) -> dict[str, bool]:
    return next(dict(row.channels) for row in filters.read(user.pk) if row.type.name == kind)


def test_who_mutes_a_type_gets_none_of_it(page: Any, alice: Any) -> None:
    inbox = opened(page.context)
    likes = page.get_by_role("group", name="Likes")
    switch(page, "Likes", "Inbox").click()
    saved(likes)
    expect(likes).to_contain_text("Muted")
    expect(switch(page, "Likes", "Push")).to_be_disabled()
    inbox.select_option("#type", "post_like")
    send(inbox, "A like")
    inbox.select_option("#type", "post_comment")
    send(inbox, "A comment")
    expect(titles(inbox)).to_have_text(["A comment"], timeout=5 * SOON)
    page.reload()
    expect(switch(page, "Likes", "Inbox")).not_to_be_checked()
    expect(switch(page, "Likes", "Live")).to_be_disabled()
    switch(page, "Likes", "Inbox").click()
    saved(likes)
    inbox.select_option("#type", "post_like")
    send(inbox, "Another like")
    expect(titles(inbox)).to_have_text(["Another like", "A comment"], timeout=5 * SOON)


def test_each_channel_is_a_choice_of_its_own(page: Any, alice: Any) -> None:
    switch(page, "Comments", "Push").click()
    switch(page, "Comments", "Live").click()
    saved(page.get_by_role("group", name="Comments"))
    wanted = {"inbox": True, "live": False, "push": False}
    wait_for(lambda: chosen(alice, "post_comment") == wanted)
    assert all(chosen(alice, "post_like").values())


def test_a_critical_type_is_locked_and_says_why(alice: Any, person: Open) -> None:
    EventType.objects.create(name="sign_in", title="Sign-ins", critical=True)
    page = preferences(person("alice"))
    row = page.get_by_role("group", name="Sign-ins")
    expect(row).to_contain_text("Always on")
    for channel in ("Inbox", "Live", "Push"):
        expect(switch(page, "Sign-ins", channel)).to_be_checked()
        expect(switch(page, "Sign-ins", channel)).to_be_disabled()


def test_what_the_server_refuses_moves_back_and_is_said_there(page: Any, alice: Any) -> None:
    # Meanwhile somebody has made it critical: the page does not know yet.
    EventType.objects.filter(name="post_like").update(critical=True)
    switch(page, "Likes", "Push").click()
    row = page.get_by_role("group", name="Likes")
    expect(row.get_by_role("alert")).to_contain_text("cannot be switched off", timeout=5 * SOON)
    expect(switch(page, "Likes", "Push")).to_be_checked()


def test_offline_nothing_is_lost_silently(page: Any, alice: Any) -> None:
    page.context.set_offline(True)
    expect(page.locator("#offline")).to_be_visible()
    switch(page, "Likes", "Push").click()
    row = page.get_by_role("group", name="Likes")
    expect(row.get_by_role("alert")).to_contain_text("cannot be reached", timeout=5 * SOON)
    expect(switch(page, "Likes", "Push")).to_be_checked()
    page.context.set_offline(False)
    expect(page.locator("#offline")).to_be_hidden()
    switch(page, "Likes", "Push").click()
    saved(row)
    assert chosen(alice, "post_like")["push"] is False


def test_who_is_logged_out_meanwhile_is_shown_the_way_in(page: Any) -> None:
    page.context.clear_cookies(name="sessionid")
    switch(page, "Likes", "Push").click()
    alert = page.get_by_role("group", name="Likes").get_by_role("alert")
    expect(alert).to_contain_text("You are logged out", timeout=5 * SOON)
    alert.get_by_role("link", name="Log in again").click()
    page.wait_for_url("**/login/?next=/preferences/")


def test_quiet_hours(page: Any, alice: Any) -> None:
    page.get_by_role("switch", name="Quiet hours").click()
    expect(page.locator("#quiet-outcome")).to_have_text("Quiet hours are on", timeout=5 * SOON)
    row = quiet_hours.read(alice.pk)
    assert (str(row.quiet_start), row.time_zone) == ("22:00:00", "Europe/Berlin")
    page.get_by_label("From").fill("21:30")
    page.get_by_label("Time zone").fill("Asia/Tokyo")
    expect(page.locator("#zone-hint")).to_contain_text("There it is")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#quiet-outcome")).to_have_text("Saved", timeout=5 * SOON)
    row = quiet_hours.read(alice.pk)
    assert (str(row.quiet_start), str(row.quiet_end)) == ("21:30:00", "07:00:00")
    assert row.time_zone == "Asia/Tokyo"
    page.reload()
    expect(page.get_by_label("From")).to_have_value("21:30")
    page.get_by_role("button", name="Use Europe/Berlin").click()
    expect(page.get_by_label("Time zone")).to_have_value("Europe/Berlin")
    page.get_by_role("switch", name="Quiet hours").click()
    expect(page.locator("#quiet-outcome")).to_have_text("Quiet hours are off", timeout=5 * SOON)
    assert quiet_hours.read(alice.pk).quiet_start is None


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("Time zone", "Mars/Olympus", "name of a time zone"),
        ("To", "22:00", "must not start and end at the same time"),
        ("From", "", "must be a time of day"),
    ],
)
def test_refused_quiet_hours_are_said_at_the_field(
    page: Any, alice: Any, axe: str, field: str, value: str, words: str
) -> None:
    page.get_by_role("switch", name="Quiet hours").click()
    expect(page.locator("#quiet-outcome")).to_have_text("Quiet hours are on", timeout=5 * SOON)
    page.get_by_label(field, exact=True).fill(value)
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#quiet-problem")).to_contain_text(words, timeout=5 * SOON)
    expect(page.get_by_label(field, exact=True)).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label(field, exact=True)).to_be_focused()
    assert serious(page, axe) == []
    assert quiet_hours.read(alice.pk).time_zone == "Europe/Berlin"


def test_a_device_is_renamed_tested_and_removed(phone: Device, page: Any) -> None:
    found = card(page, "Alice's phone")
    found.get_by_role("button", name="Send a test").click()
    expect(found.get_by_role("status")).to_contain_text("test provider", timeout=ANSWERED)
    found.get_by_role("button", name="Rename").click()
    expect(found.get_by_role("textbox", name="Name")).to_be_focused()
    found.get_by_role("textbox", name="Name").fill("<b>My phone</b>")
    page.keyboard.press("Enter")
    found = card(page, "<b>My phone</b>")
    saved(found)
    expect(found.get_by_role("button", name="Rename")).to_be_focused()
    phone.refresh_from_db()
    assert phone.name == "<b>My phone</b>"
    found.get_by_role("button", name="Remove").click()
    expect(found.get_by_role("button", name="Keep")).to_be_focused()
    page.keyboard.press("Escape")
    expect(found.get_by_role("button", name="Remove")).to_be_focused()
    found.get_by_role("button", name="Remove").click()
    found.get_by_role("button", name="Remove", exact=True).click()
    expect(page.get_by_text("No devices yet")).to_be_visible()
    assert not Device.objects.exists()


def test_what_became_of_a_test_is_said_in_the_providers_words(
    phones: None, alice: Any, person: Open
) -> None:
    register(alice, backend="dummy", token="reject-1", name="Refused")
    register(alice, backend="dummy", token="ok-off", name="Switched off", active=False)
    page = preferences(person("alice"))
    refused = card(page, "Refused")
    refused.get_by_role("button", name="Send a test").click()
    expect(refused.get_by_role("alert")).to_contain_text("Not sent: reject", timeout=ANSWERED)
    off = card(page, "Switched off")
    expect(off).to_contain_text("off")
    off.get_by_role("button", name="Send a test").click()
    expect(off.get_by_role("alert")).to_have_text("This device is switched off.", timeout=5 * SOON)


def test_a_refused_name_stays_to_be_mended(phone: Device, page: Any) -> None:
    found = card(page, "Alice's phone")
    found.get_by_role("button", name="Rename").click()
    found.get_by_role("textbox", name="Name").evaluate("field => { field.value = 'a\\u0007b' }")
    page.keyboard.press("Enter")
    expect(found.get_by_role("alert")).to_contain_text("printable", timeout=5 * SOON)
    expect(found.get_by_role("textbox", name="Name")).to_be_visible()
    phone.refresh_from_db()
    assert phone.name == "Alice's phone"


def test_a_device_that_is_gone_elsewhere_goes_here(phone: Device, page: Any) -> None:
    phone.delete()
    found = card(page, "Alice's phone")
    found.get_by_role("button", name="Remove").click()
    found.get_by_role("button", name="Remove", exact=True).click()
    expect(page.get_by_text("No devices yet")).to_be_visible()


def test_this_device_is_turned_on_here_and_then_listed(phones: None, page: Any, alice: Any) -> None:
    expect(page.locator("push-switch").get_by_role("button")).to_be_visible()
    device, _ = register(alice, backend="dummy", token="ok-here", name="Here", type="web")
    told = "device => document.dispatchEvent(new CustomEvent('push-change', { detail: device }))"
    page.evaluate(told, {"status": "on", "busy": False, "device": device.pk})
    expect(card(page, "Here")).to_contain_text("this device")
    page.evaluate("""() => {
        const state = { status: 'on', busy: false, device: 1, error: null };
        document.querySelector('push-switch').device = {
            start() {}, stop() {}, subscribe: () => () => {}, getState: () => state,
            sync: () => { globalThis.synced = true; },
        };
    }""")
    page.evaluate(told, {"status": "on", "busy": False, "device": device.pk})
    card(page, "Here").get_by_role("button", name="Remove").click()
    card(page, "Here").get_by_role("button", name="Remove", exact=True).click()
    expect(page.get_by_text("No devices yet")).to_be_visible()
    assert page.evaluate("globalThis.synced"), "the switch looks again whether it is on"


def test_by_keyboard_alone(page: Any, alice: Any) -> None:
    page.locator("body").focus()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(switch(page, "Friend requests", "Inbox")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(switch(page, "Friend requests", "Push")).not_to_be_checked()
    saved(page.get_by_role("group", name="Friend requests"))
    assert chosen(alice, "become_friends_request")["push"] is False
