"""The hub's page in a real browser: what arrives is seen, and every tab shows the same."""

import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import SCREENSHOTS
from tests.processes import Processes, ServerProcess

pytestmark = [pytest.mark.embedded, pytest.mark.timeout(240)]

SOON = 1_000  # ms until what happens is seen in every tab
HEALED = 15_000  # ms until a fault that is over is forgotten

Open = Callable[..., Any]


def expect(locator: Any) -> Any:
    from playwright.sync_api import expect

    return expect(locator)


def opened(context: Any) -> Any:
    """The hub's page, live."""
    page = context.new_page()
    page.goto("/")
    is_live(page)
    return page


def is_live(page: Any, within: float = HEALED) -> None:
    until(
        page,
        "document.querySelector('notification-inbox').client?.getState().status === 'live'",
        within,
    )


def until(page: Any, expression: str, within: float = HEALED) -> None:
    """Not `wait_for_function`, which evaluates in the page: its policy forbids that."""
    end = time.monotonic() + within / 1000
    while not page.evaluate(expression):
        assert time.monotonic() < end, f"not within {within} ms: {expression}"
        page.wait_for_timeout(25)


LIST = "fetch('/api/notifications/').then(a => a.json())"


def in_list(page: Any) -> Any:
    return page.locator("notification-inbox[layout=inline] .item")


def titles(page: Any) -> Any:
    return page.locator("notification-inbox[layout=inline] .item .name")


def badge(page: Any) -> Any:
    return page.locator("notification-inbox[layout=popover] .badge")


def send(page: Any, title: str) -> None:
    page.fill("#title", title)
    with page.expect_response("**/send/"):
        page.click("#send button.main")


@pytest.fixture
def alice_is(alice: Any, person: Open) -> Any:
    return person("alice")


def test_two_tabs_show_what_is_sent_and_what_is_read(alice_is: Any) -> None:
    first, second = opened(alice_is), opened(alice_is)
    send(first, "Hello")
    for page in (first, second):
        expect(titles(page)).to_have_text(["Hello"], timeout=SOON)
        expect(badge(page)).to_have_text("1", timeout=SOON)
    in_list(second).first.hover()
    second.get_by_role("button", name="Mark as read", exact=True).last.click()
    for page in (first, second):
        expect(in_list(page).first).not_to_have_class(re.compile("unread"), timeout=SOON)
        expect(badge(page)).to_be_hidden(timeout=SOON)
    tabs = [page.evaluate("navigator.locks.query().then(q => q.held.length)") for page in (first,)]
    assert tabs == [1], "one tab holds the lock, and with it the only socket"


def test_one_socket_for_all_tabs_which_another_tab_takes_over(alice_is: Any) -> None:
    sockets: list[str] = []
    alice_is.on(
        "page", lambda page: page.on("websocket", lambda socket: sockets.append(socket.url))
    )
    first, second = opened(alice_is), opened(alice_is)
    assert len(sockets) == 1
    first.close()
    send(second, "After the first tab")
    expect(titles(second)).to_have_text(["After the first tab"], timeout=HEALED)
    assert len(sockets) == 2


def test_the_server_is_killed_and_nothing_is_missing(
    alice_is: Any, server: ServerProcess, processes: Processes
) -> None:
    page = opened(alice_is)
    send(page, "Before")
    expect(titles(page)).to_have_text(["Before"], timeout=SOON)
    server.kill()
    expect(page.locator("notification-inbox[layout=inline] .banner")).to_be_visible()
    processes.run("send_notification", "post_like", "--user", "alice", "--title", "Meanwhile")
    server.start()
    expect(titles(page)).to_have_text(["Meanwhile", "Before"], timeout=HEALED)
    expect(page.locator("notification-inbox[layout=inline] .banner")).to_be_hidden(timeout=HEALED)
    send(page, "After")
    expect(titles(page)).to_have_text(["After", "Meanwhile", "Before"], timeout=SOON)


def test_offline_and_back(alice_is: Any, processes: Processes) -> None:
    page = opened(alice_is)
    send(page, "Before")
    expect(titles(page)).to_have_text(["Before"], timeout=SOON)
    alice_is.set_offline(True)
    banner = page.locator("notification-inbox[layout=inline] .banner")
    expect(banner).to_contain_text("You are offline", timeout=HEALED)
    in_list(page).first.hover()
    in_list(page).get_by_role("button", name="Mark as read").click()
    expect(in_list(page).first).not_to_have_class(re.compile("unread"), timeout=SOON)
    processes.run("send_notification", "post_like", "--user", "alice", "--title", "Meanwhile")
    alice_is.set_offline(False)
    expect(titles(page)).to_have_text(["Meanwhile", "Before"], timeout=HEALED)
    expect(banner).to_be_hidden()
    until(page, f"{LIST}.then(list => list.results.at(-1).read_at !== null)")


def test_archive_undo_and_delete(alice_is: Any) -> None:
    page = opened(alice_is)
    for title in ("One", "Two", "Three"):
        send(page, title)
    expect(titles(page)).to_have_text(["Three", "Two", "One"], timeout=SOON)
    item = in_list(page).nth(1)
    item.hover()
    item.get_by_role("button", name="Archive", exact=True).click()
    expect(titles(page)).to_have_text(["Three", "One"], timeout=SOON)
    page.locator("notification-inbox[layout=inline] .toast button").click()
    expect(titles(page)).to_have_text(["Three", "Two", "One"], timeout=SOON)
    in_list(page).first.hover()
    in_list(page).first.get_by_role("button", name="Delete").click()
    expect(titles(page)).to_have_text(["Two", "One"], timeout=SOON)
    until(page, f"{LIST}.then(list => list.count === 2)")


def test_filters(alice_is: Any, alice: Any) -> None:
    from notifications import send_notification

    send_notification("post_like", users=[alice], title="A like")
    send_notification("post_comment", users=[alice], title="A comment")
    page = opened(alice_is)
    inline = page.locator("notification-inbox[layout=inline]")
    inline.locator("select").select_option("post_comment")
    expect(titles(page)).to_have_text(["A comment"], timeout=SOON)
    inline.get_by_role("button", name="Archived").click()
    expect(inline.locator(".empty")).to_contain_text("Nothing archived", timeout=SOON)
    inline.locator("select").select_option("")
    inline.get_by_role("button", name="All", exact=True).click()
    expect(titles(page)).to_have_text(["A comment", "A like"], timeout=SOON)


def test_a_link_is_followed_and_the_notification_is_read(alice_is: Any, alice: Any) -> None:
    from notifications import send_notification

    send_notification("post_like", users=[alice], title="Go on", url="/logout/")
    page = opened(alice_is)
    titles(page).first.click()
    page.wait_for_url("**/logout/")
    until(page, f"{LIST}.then(list => list.results.at(-1).read_at !== null)")


def test_a_router_keeps_the_page(alice_is: Any, alice: Any) -> None:
    from notifications import send_notification

    send_notification("post_like", users=[alice], title="Go on", url="/logout/")
    page = opened(alice_is)
    page.evaluate("""() => {
        globalThis.opened = [];
        document.addEventListener('notification-open', (event) => {
            event.preventDefault();
            globalThis.opened.push(event.detail.notification.event.url);
        });
    }""")
    in_list(page).first.click(position={"x": 300, "y": 50})  # beside the link
    expect(in_list(page).first).not_to_have_class(re.compile("unread"), timeout=SOON)
    titles(page).first.click()
    assert page.evaluate("globalThis.opened") == ["/logout/", "/logout/"]
    assert page.evaluate("location.pathname") == "/"


def test_by_keyboard_alone(alice_is: Any) -> None:
    page = opened(alice_is)
    for title in ("One", "Two", "Three"):
        send(page, title)
    expect(titles(page)).to_have_text(["Three", "Two", "One"], timeout=SOON)
    bell = page.get_by_role("button", name="Notifications")
    bell.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Notifications")
    expect(dialog).to_be_visible()
    expect(bell).to_have_attribute("aria-expanded", "true")
    articles = dialog.get_by_role("article")
    page.keyboard.press("ArrowDown")
    expect(articles.nth(0)).to_be_focused()
    page.keyboard.press("PageDown")
    expect(articles.nth(1)).to_be_focused()
    page.keyboard.press("e")
    expect(articles).to_have_count(2)
    expect(articles.nth(1)).to_be_focused()
    page.keyboard.press("Home")
    expect(articles.nth(0)).to_be_focused()
    page.keyboard.press("r")
    expect(articles.nth(0)).not_to_have_class(re.compile("unread"), timeout=SOON)
    page.keyboard.press("Tab")
    expect(articles.nth(0).get_by_role("button", name="Mark as unread")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(bell).to_be_focused()
    expect(bell).to_have_attribute("aria-expanded", "false")


def test_what_arrives_is_said_and_does_not_move_what_is_read(alice_is: Any, alice: Any) -> None:
    from notifications import send_notification

    for i in range(60):
        send_notification("post_like", users=[alice], title=f"Old {i}")
    page = opened(alice_is)
    inline = page.locator("notification-inbox[layout=inline]")
    inline.locator(".scroller").evaluate("scroller => { scroller.scrollTop = 900 }")
    place = """host => {
        const root = host.shadowRoot;
        const { top } = root.querySelector('.scroller').getBoundingClientRect();
        for (const item of root.querySelectorAll('.item')) {
            const box = item.getBoundingClientRect();
            if (box.bottom > top + 5) return [item.dataset.id, Math.round(box.top)];
        }
    }"""
    page.wait_for_timeout(200)
    before = inline.evaluate(place)
    send(page, "While you read")
    expect(inline.locator(".news")).to_have_text("1 new notification", timeout=SOON)
    expect(inline.locator("[aria-live]")).to_contain_text("While you read", timeout=2 * SOON)
    assert inline.evaluate(place) == before
    inline.locator(".news").click()
    expect(titles(page).first).to_have_text("While you read")
    expect(in_list(page).first).to_be_in_viewport()


def test_endless_list(alice_is: Any, alice: Any) -> None:
    from notifications import send_notification

    for i in range(100):
        send_notification("post_like", users=[alice], title=f"Number {i}")
    page = opened(alice_is)
    inline = page.locator("notification-inbox[layout=inline]")
    end = time.monotonic() + 15
    while inline.evaluate("host => host.client.getState().hasMore") and time.monotonic() < end:
        inline.locator(".scroller").evaluate("scroller => scroller.scrollTop += 2000")
        page.wait_for_timeout(50)
    inline.locator(".scroller").evaluate("scroller => scroller.scrollTop = 1e6")
    expect(titles(page).last).to_have_text("Number 0")
    assert inline.evaluate("host => host.client.getState().items.length") == 100
    assert in_list(page).count() < 60, "only what is near the viewport is in the document"


TEN_THOUSAND = """
async () => {
    const type = { id: 1, name: 'post_like', title: 'Likes', description: '' };
    const at = new Date().toISOString();
    const make = (id) => ({
        id, arrived: id, version: id, seen_at: null, read_at: id % 3 ? at : null,
        archived_at: null, expired_at: null, silent: false,
        event: {
            id, type, author: { id: 1, name: 'Bob ' + (id % 50) }, title: 'Notification ' + id,
            message: 'Word '.repeat(id % 40), url: id % 2 ? '/posts/' + id : '', data: null,
            tag: '', priority: 'normal', timestamp: at, expires_at: null,
        },
    });
    let state = {
        status: 'live', error: null, unread: 3334, unseen: 0, filter: { state: 'inbox', type: '' },
        items: Array.from({ length: 10000 }, (_, i) => make(10000 - i)),
        loaded: true, loading: false, hasMore: false, position: { epoch: 'e', version: 10000 },
    };
    let tell = () => {};
    const never = () => new Promise(() => {});
    const client = {
        start() {}, stop() {}, retry() {}, getState: () => state, onArrival: () => () => {},
        subscribe: (listener) => ((tell = listener), () => {}),
        mark: never, markAll: never, delete: never, loadMore: never, eventTypes: never,
    };
    const host = document.createElement('notification-inbox');
    host.setAttribute('layout', 'inline');
    host.client = client;
    document.body.replaceChildren(host);
    await new Promise((done) => setTimeout(done, 500));

    const scroller = host.shadowRoot.querySelector('.scroller');
    let frames = 0, arrived = 10000;
    const end = performance.now() + 6000;
    const height = scroller.scrollHeight;
    while (performance.now() < end) {
        await new Promise(requestAnimationFrame);
        frames += 1;
        // Now in steps as a wheel makes them, now in leaps as a scrollbar does.
        scroller.scrollTop = frames % 40 ? scroller.scrollTop + 240 : Math.random() * height;
        if (frames % 25 === 0) {
            state = { ...state, items: [make(++arrived), ...state.items] };
            tell();
        }
    }
    const shown = host.shadowRoot.querySelectorAll('.item').length;
    return { frames, shown, total: state.items.length };
}
"""


def test_no_long_task_while_scrolling_ten_thousand(alice_is: Any, chromium: Any) -> None:
    page = opened(alice_is)
    # Time on the processor: on the clock a task also waits for other programs.
    chromium.start_tracing(page=page, categories=["disabled-by-default-devtools.timeline"])
    seen = page.evaluate(TEN_THOUSAND)
    trace = json.loads(chromium.stop_tracing())["traceEvents"]
    ended = [event for event in trace if event["name"] == "RunTask" and "tdur" in event]
    tasks = [event["tdur"] / 1000 for event in ended]
    assert len(tasks) > 1000
    assert max(tasks) < 50  # ms
    assert seen["frames"] > 60
    assert seen["total"] > 10_000
    assert seen["shown"] < 60


def test_log_out_ends_it(alice_is: Any) -> None:
    page, other = opened(alice_is), opened(alice_is)
    send(page, "Secret")
    expect(titles(other)).to_have_text(["Secret"], timeout=SOON)
    page.click("text=Log out")
    page.wait_for_url("**/login/")
    inline = other.locator("notification-inbox[layout=inline]")
    expect(inline.locator(".empty")).to_contain_text("You are signed out", timeout=70_000)
    expect(titles(other)).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_looks_right_and_everybody_can_use_it(
    alice: Any, bob: Any, person: Open, width: int, scheme: str, axe: str
) -> None:
    fill(alice, bob)
    phone = width < 500
    context = person(
        "alice",
        viewport={"width": width, "height": 844 if phone else 800},
        color_scheme=scheme,
        has_touch=phone,
        is_mobile=phone,
        reduced_motion="reduce",
    )
    page = opened(context)
    expect(in_list(page)).to_have_count(7)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"page-{width}-{scheme}.png")
    assert serious(page, axe) == []
    page.get_by_role("button", name="Notifications").click()
    expect(page.get_by_role("dialog").get_by_role("article")).to_have_count(7)
    page.screenshot(path=SCREENSHOTS / f"open-{width}-{scheme}.png")
    assert serious(page, axe) == []
    scrolls_sideways = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    assert not page.evaluate(scrolls_sideways)


def test_empty_loading_and_broken_are_right_too(alice_is: Any, axe: str) -> None:
    page = opened(alice_is)
    inline = page.locator("notification-inbox[layout=inline]")
    expect(inline.locator(".empty")).to_contain_text("All caught up")
    assert serious(page, axe) == []
    page.screenshot(path=SCREENSHOTS / "empty.png")
    page.route("**/api/notifications/**", lambda route: None)
    page.reload()
    expect(inline.locator(".loading")).to_be_visible()
    assert serious(page, axe) == []
    page.screenshot(path=SCREENSHOTS / "loading.png")
    page.unroute("**/api/notifications/**")
    gone = {
        "status": 500,
        "headers": {"Retry-After": "3600"},  # or it tries again by itself, and the button is gone
        "json": {"code": "server_error", "detail": "Out of order."},
    }
    page.route("**/api/notifications/**", lambda route: route.fulfill(**gone))
    page.reload()
    expect(inline.locator(".empty")).to_contain_text("Out of order.")
    assert serious(page, axe) == []
    page.screenshot(path=SCREENSHOTS / "broken.png")
    page.unroute("**/api/notifications/**")
    inline.get_by_role("button", name="Try again").click()
    expect(inline.locator(".empty")).to_contain_text("All caught up", timeout=HEALED)


def test_right_to_left_and_other_words(alice: Any, bob: Any, person: Open, axe: str) -> None:
    fill(alice, bob)
    page = opened(person("alice"))
    page.evaluate("""() => {
        document.documentElement.dir = 'rtl';
        document.documentElement.lang = 'ar';
        for (const host of document.querySelectorAll('notification-inbox')) {
            host.setAttribute('lang', 'ar');
            host.texts = {
                title: 'الإشعارات', all: 'الكل', unread: 'غير مقروءة', archived: 'الأرشيف',
                mark_all_read: 'تحديد الكل كمقروء', all_types: 'كل الأنواع',
            };
        }
    }""")
    page.locator("notification-inbox[layout=popover] .bell").click()
    expect(page.get_by_role("dialog", name="الإشعارات")).to_be_visible()
    box = page.locator("notification-inbox[layout=popover] .panel").bounding_box()
    assert 0 <= box["x"] and box["x"] + box["width"] <= 1280
    page.screenshot(path=SCREENSHOTS / "right-to-left.png")
    assert serious(page, axe) == []


def fill(alice: Any, bob: Any) -> None:
    from notifications import inbox, send_notification

    bob.first_name, bob.last_name = "Bob", "Lindqvist"
    bob.save()
    events = [
        send_notification("post_like", users=[alice], author=bob, title="Bob likes your post"),
        send_notification(
            "post_comment",
            users=[alice],
            author=bob,
            title="Bob commented on “Sunrise over the harbour”",
            message="This is stunning! Which lens did you use? I tried the same spot last week"
            " and the light was nothing like this, so I have to come back in spring.",
            url="/posts/12/",
        ),
        send_notification("post_like", users=[alice], title="Your post has 100 likes"),
        send_notification(
            "become_friends_request", users=[alice], author=bob, title="Bob wants to be your friend"
        ),
        send_notification("post_comment", users=[alice], author=bob, message="Two lines\nof it."),
        send_notification(
            "post_comment", users=[alice], title="A" * 200, message="<b>no HTML</b>", url="/x/"
        ),
        send_notification("post_like", users=[alice], author=bob),
    ]
    inbox.mark(alice.pk, state="read", ids=[event.pk for event in events[:3]])


def serious(page: Any, axe: str, *, preload: bool = True) -> list[str]:
    """What axe-core finds of weight, shadow roots included. Without `preload` it leaves out style
    sheets that others import, for which it would break the page's policy itself."""
    page.evaluate(axe)  # not a script element: the page's policy would rightly refuse it
    options = {"resultTypes": ["violations"], "preload": preload}
    found = page.evaluate("options => axe.run(document, options)", options)
    return [
        f"{violation['id']}: {node['html'][:120]} {node['failureSummary'][:300]}"
        for violation in found["violations"]
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]
