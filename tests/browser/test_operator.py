"""The operator's page in a real browser: plots that move by themselves, and the same as tables."""

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission

from notifications.counts.models import Count
from tests.browser.conftest import SCREENSHOTS
from tests.browser.test_inbox import expect, serious
from tests.processes import Processes

pytestmark = [pytest.mark.embedded, pytest.mark.timeout(240)]

MOVED = 20_000  # ms: a flush of the server, and the page's next question
SPANS = {60: 62, 600: 1_020}  # seconds, and how many of them are kept for these tests

IS_DRAWN = """canvas => {
    const { width, height } = canvas;
    return canvas.getContext('2d').getImageData(0, 0, width, height).data.some(Boolean);
}"""

Open = Callable[..., Any]


@pytest.fixture
def olga(transactional_db: None, make_user: Any) -> Any:
    user = make_user("olga", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_count"))
    return user


@pytest.fixture
def olga_is(olga: Any, person: Open) -> Any:
    return person("olga")


def operations(context: Any, query: str = "") -> Any:
    page = context.new_page()
    page.goto(f"/operator/{query}")
    expect(page.locator("#facts")).not_to_have_attribute("aria-busy", "true")
    return page


def plot(page: Any, name: str) -> Any:
    return page.get_by_role("region", name=name, exact=True)


def legend(page: Any, name: str) -> Any:
    return plot(page, name).locator(".legend")


def put(series: str, per_minute: float, *, gauge: bool = False) -> None:
    """A past in which it went up and down, the same in every run."""
    now = int(time.time())
    rows = []
    for step, kept in SPANS.items():
        for back in range(1, kept):
            swing = 1 + 0.5 * ((back * 37) % 11) / 11
            value = per_minute * swing * (1 if gauge else step / 60)
            at = (now // step - back) * step
            rows.append(Count(step=step, at=at, series=series, value=int(value)))
    Count.objects.bulk_create(rows, ignore_conflicts=True)


def fill() -> None:
    put("hub_sends_total|accepted", 240)
    put("hub_sends_total|refused", 4)
    put("hub_notifications_total", 1_900)
    put("hub_live_notifications_total", 700)
    for backend, count in (("apns", 120), ("fcm", 200), ("webpush", 300)):
        for outcome, share in (("sent", 1), ("retry", 0.08), ("gone", 0.02), ("skipped", 0.3)):
            put(f"hub_push_outcomes_total|{backend}|{outcome}", count * share)
    put("hub_audience_age_seconds", 1_500, gauge=True)
    put("hub_delivery_age_seconds|webpush", 4_000, gauge=True)
    put("hub_sockets", 4_200_000, gauge=True)
    put("hub_connected_users", 3_100_000, gauge=True)


def test_what_is_sent_is_seen_without_a_reload(
    olga_is: Any, alice: Any, processes: Processes
) -> None:
    page = operations(olga_is)
    page.evaluate("globalThis.same = true")
    expect(plot(page, "Sends").locator(".empty")).to_have_text("Nothing in the last hour.")
    processes.run("send_notification", "post_like", "--user", "alice")
    expect(legend(page, "Sends")).to_contain_text("accepted1", timeout=MOVED)
    expect(plot(page, "Sends").locator(".empty")).to_be_hidden()
    inbox = olga_is.new_page()
    inbox.goto("/")
    expect(page.locator("[data-fact=sockets] b")).to_have_text("1", timeout=MOVED)
    expect(legend(page, "Live connections")).to_contain_text("sockets1", timeout=MOVED)
    assert page.evaluate("globalThis.same")


def test_hour_day_and_week_by_keyboard(olga_is: Any) -> None:
    fill()
    page = operations(olga_is)
    for name, per, points in (("Day", "per 10 minutes", 144), ("Week", "per hour", 168)):
        page.locator("input[name=span]:checked").focus()
        page.keyboard.press("ArrowRight")
        expect(page.get_by_role("radio", name=name)).to_be_checked()
        expect(plot(page, "Sends")).to_contain_text(per)
        plot(page, "Sends").locator("summary").click()
        expect(plot(page, "Sends").locator("tbody tr")).to_have_count(points)
        plot(page, "Sends").locator("summary").click()
    assert page.evaluate("location.search") == "?span=week"
    page.reload()
    expect(page.get_by_role("radio", name="Week")).to_be_checked()
    expect(plot(page, "Sends")).to_contain_text("per hour")


def test_the_table_has_the_numbers_of_the_picture(olga_is: Any) -> None:
    fill()
    page = operations(olga_is)
    summary = plot(page, "Deliveries").locator("summary")
    summary.focus()
    page.keyboard.press("Enter")
    table = plot(page, "Deliveries").get_by_role("table")
    assert table.locator("thead th").all_inner_texts() == [
        "Time", "sent", "retry", "skipped", "gone",
    ]  # fmt: skip
    expect(table.locator("tbody tr")).to_have_count(60)
    sent = [_number(cell) for cell in table.locator("tbody td:nth-child(2)").all_inner_texts()]
    said = legend(page, "Deliveries").locator("li").first.inner_text()
    assert sum(sent) == _number(said)
    picture = plot(page, "Deliveries").get_by_role("img")
    in_words = re.compile(r"^Deliveries, last hour: sent [\d,]+, at most [\d,]+; retry")
    expect(picture).to_have_attribute("aria-label", in_words)
    page.get_by_label("Provider").select_option("apns")
    only = [_number(cell) for cell in table.locator("tbody td:nth-child(2)").all_inner_texts()]
    assert 0 < sum(only) < sum(sent)


def _number(text: str) -> int:
    return int(re.sub(r"\D", "", text))


def test_a_server_that_is_away_is_said_and_forgotten(olga_is: Any, server: Any) -> None:
    page = operations(olga_is)
    server.kill()
    expect(page.get_by_role("alert")).to_contain_text("cannot be reached", timeout=MOVED)
    server.start()
    expect(page.locator("#problem")).to_be_hidden(timeout=MOVED)


def test_who_is_logged_out_comes_to_the_login(olga_is: Any) -> None:
    page = operations(olga_is)
    other = olga_is.new_page()
    other.goto("/")
    other.click("text=Log out")
    page.wait_for_url("**/login/?next=/operator/**", timeout=MOVED)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_looks_right_and_everybody_can_use_it(
    olga: Any, person: Open, width: int, scheme: str, axe: str
) -> None:
    phone = width < 500
    context = person(
        "olga",
        viewport={"width": width, "height": 844 if phone else 800},
        color_scheme=scheme,
        has_touch=phone,
        is_mobile=phone,
        reduced_motion="reduce",
    )
    empty = operations(context)
    assert serious(empty, axe) == []
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    empty.screenshot(path=SCREENSHOTS / f"operator-empty-{width}-{scheme}.png", full_page=True)
    empty.close()
    fill()
    page = operations(context, "?span=day")
    expect(legend(page, "Deliveries").locator("li")).to_have_count(5)
    page.screenshot(path=SCREENSHOTS / f"operator-{width}-{scheme}.png", full_page=True)
    for summary in page.locator("summary").all():
        summary.click()
    assert serious(page, axe) == []
    page.screenshot(path=SCREENSHOTS / f"operator-tables-{width}-{scheme}.png", full_page=True)
    scrolls_sideways = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    assert not page.evaluate(scrolls_sideways)
    for picture in page.locator(".picture canvas").all():
        assert picture.evaluate(IS_DRAWN)
