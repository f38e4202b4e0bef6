"""The service worker and the push switch in Chromium: what arrives is shown, clicked and read.

Chromium's own push service is Google's. Here pages are given another, in the page; what it would
bring is delivered to the worker by the browser itself, as its developer tools do.
"""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from notifications import send_notification
from notifications.models import Notification
from routing.push import applications
from routing.push.models import Device
from routing.push.vapid import VapidKey
from tests.browser.conftest import SCREENSHOTS
from tests.browser.test_inbox import until
from tests.processes import ServerProcess
from tests.security.conftest import server, standing_server
from tests.vendors.webpush import Browser
from tests.waiting import wait_for

#: One server for all of these tests: none of them harms it.
__all__ = ["server", "standing_server"]

pytestmark = [pytest.mark.embedded, pytest.mark.timeout(180)]

SOON = 15.0  # seconds

Open = Callable[..., Any]

#: A push service for the page's `PushManager`: it knows one subscription, over page loads.
PUSH_SERVICE = """
(() => {
  const kept = () => JSON.parse(localStorage.getItem('push-service') ?? '{"made": 0}');
  const keep = (what) => localStorage.setItem('push-service', JSON.stringify(what));
  const subscription = ({ made, key }) => ({
    endpoint: `https://fcm.googleapis.com/wpush/${made}`,
    options: { userVisibleOnly: true, applicationServerKey: Uint8Array.from(key).buffer },
    toJSON() { return { endpoint: this.endpoint, expirationTime: null, keys: KEYS }; },
    async unsubscribe() { keep({ made }); return true; },
  });
  PushManager.prototype.getSubscription = async () => kept().key ? subscription(kept()) : null;
  PushManager.prototype.subscribe = async ({ userVisibleOnly, applicationServerKey }) => {
    if (!userVisibleOnly) throw new DOMException('visible only', 'NotAllowedError');
    keep({ made: kept().made + 1, key: [...applicationServerKey] });
    return subscription(kept());
  };
})();
"""


class Desk:
    """Somebody's browser: its pages, its service worker, and who delivers to that."""

    def __init__(self, context: Any, server: ServerProcess) -> None:
        self.context, self.server = context, server
        self.page = context.new_page()

    def opens(self, path: str) -> None:
        self.page.goto(path)

    @property
    def switch(self) -> Any:
        return self.page.locator("push-switch")

    def turns(self, state: str) -> None:
        self.switch.locator("button").click()
        self.is_turned(state)

    def is_turned(self, state: str) -> None:
        now = "document.querySelector('push-switch').device.getState()"
        until(self.page, f"{now}.status === '{state}' && !{now}.busy")

    def registers(self) -> None:
        """The worker, without a page of ours that asks for it."""
        script = "navigator.serviceWorker.register('/service-worker.js')"
        self.page.evaluate(f"{script}.then(() => navigator.serviceWorker.ready).then(() => 0)")
        self.listens()

    def listens(self) -> None:
        found: list[Any] = []
        self.tools = self.context.new_cdp_session(self.page)
        self.tools.on(
            "ServiceWorker.workerRegistrationUpdated",
            lambda event: found.extend(event["registrations"]),
        )
        self.tools.send("ServiceWorker.enable")
        # Not `wait_for`, in which the browser would have no chance to say anything.
        end = time.monotonic() + SOON
        while not found and time.monotonic() < end:
            self.page.wait_for_timeout(10)
        self.registration = found[0]["registrationId"]
        # What the browser would not do without a real click, and what it shows nobody here.
        self.run(
            """() => {
                self.opened = []; self.focused = []; self.badges = [];
                clients.openWindow = async (url) => { self.opened.push(url); };
                WindowClient.prototype.focus = async function () { self.focused.push(this.url); };
                navigator.setAppBadge = async (count) => { self.badges.push(count); };
                navigator.clearAppBadge = async () => { self.badges.push(0); };
            }"""
        )

    def run(self, script: str, argument: Any = None) -> Any:
        """In the worker."""
        (worker,) = self.context.service_workers
        return worker.evaluate(script, argument)

    def is_pushed(self, said: Any) -> None:
        text = said if isinstance(said, str) else json.dumps(said)
        self.tools.send(
            "ServiceWorker.deliverPushMessage",
            {"origin": self.server.url, "registrationId": self.registration, "data": text},
        )

    @property
    def shown(self) -> list[dict[str, Any]]:
        script = """async () => (await registration.getNotifications()).map(
            ({ title, body, icon, image, tag, actions, silent, renotify, data }) =>
            ({ title, body, icon, image, tag, actions, silent, renotify, data }))"""
        found: list[dict[str, Any]] = self.run(script)
        return found

    def sees(self, count: int) -> list[dict[str, Any]]:
        return wait_for(
            lambda: shown if len(shown := self.shown) == count else None,
            SOON,
            what=f"{count} notifications",
        )

    def clicks(self, tag: str, action: str = "") -> None:
        """As the browser says it to the worker; done when the worker has done all of it."""
        self.run(
            """async ({ tag, action }) => {
                const [notification] = await registration.getNotifications({ tag });
                const event = new NotificationEvent('notificationclick', { notification, action });
                let done;
                event.waitUntil = (promise) => { done = promise; };
                self.dispatchEvent(event);
                await done;
            }""",
            {"tag": tag, "action": action},
        )


@pytest.fixture
def desk(alice: Any, person: Open, server: ServerProcess) -> Iterator[Callable[..., Desk]]:
    """`desk()` is Alice's; notifications are allowed unless told otherwise."""

    def make(*, allowed: bool = True) -> Desk:
        applications.ensure_web_push()
        context = person("alice")
        if allowed:
            context.grant_permissions(["notifications"], origin=server.url)
        keys = json.dumps(Browser.new().keys)
        context.add_init_script(PUSH_SERVICE.replace("KEYS", keys))
        return Desk(context, server)

    yield make


def sent(user: Any, title: str, **words: Any) -> Any:
    return send_notification("post_like", users=user, title=title, **words)


class TestWorker:
    def test_json_text_and_nothing_are_all_shown(self, desk: Callable[..., Desk]) -> None:
        alice = desk()
        alice.opens("/logout/")
        alice.registers()
        alice.is_pushed(
            {
                "title": "Bob",
                "body": "likes <b>your</b> post",
                "icon": "/static/hub/bell.svg",
                "url": "/preferences/",
                "tag": "event-5",
                "event": 5,
                "badge": 3,
                "data": {"post": 4},
                "actions": [{"action": "reply", "title": "Reply", "url": "/reply/"}],
            }
        )
        (shown,) = alice.sees(1)
        url = alice.server.url
        assert (shown["title"], shown["body"]) == ("Bob", "likes <b>your</b> post")
        assert shown["icon"] == f"{url}/static/hub/bell.svg"
        assert [(one["action"], one["title"]) for one in shown["actions"]] == [("reply", "Reply")]
        assert shown["data"]["own"] == {"post": 4}
        assert alice.page.evaluate(f"fetch('{shown['icon']}').then((answer) => answer.ok)")
        alice.is_pushed("Plain words")
        alice.is_pushed("")
        words = {(one["title"], one["body"]) for one in alice.sees(3)}
        assert words >= {("New notification", "Plain words"), ("New notification", "")}
        assert alice.run("() => self.badges") == [3]

    def test_a_push_that_comes_twice_is_shown_once(self, desk: Callable[..., Desk]) -> None:
        alice = desk()
        alice.opens("/logout/")
        alice.registers()
        for event, title in ((5, "Once"), (5, "Twice"), (6, "Another")):
            alice.is_pushed({"title": title, "tag": "match", "event": event})
            wait_for(lambda t=title: [one["title"] for one in alice.shown] == [t], SOON, what=title)
            # Only another event under the same tag alerts again.
            assert [one["renotify"] for one in alice.shown] == [event == 6]

    def test_a_click_opens_the_page_and_reads_the_notification(
        self, desk: Callable[..., Desk], alice: Any
    ) -> None:
        event = sent(alice, "Hello")
        browser = desk()
        browser.opens("/logout/")
        browser.registers()
        browser.is_pushed({"title": "Hello", "url": "/preferences/", "event": event.pk})
        browser.sees(1)
        browser.clicks(f"event-{event.pk}")
        assert browser.run("() => self.opened") == [f"{browser.server.url}/preferences/"]
        assert Notification.objects.get().read_at is not None
        assert browser.shown == []

    def test_a_page_that_shows_it_already_comes_to_the_front(
        self, desk: Callable[..., Desk]
    ) -> None:
        alice = desk()
        alice.opens("/logout/?now#here")
        alice.registers()
        url = f"{alice.server.url}/logout/?now"
        alice.is_pushed({"title": "A", "url": "/logout/?now", "tag": "a"})
        alice.is_pushed({"title": "B", "url": "javascript:alert(1)", "tag": "b"})
        alice.sees(2)
        alice.clicks("a")
        alice.clicks("b")
        assert alice.run("() => self.focused") == [f"{url}#here"] * 2
        assert alice.run("() => self.opened") == []

    def test_an_open_page_reads_it_where_the_worker_cannot(
        self, desk: Callable[..., Desk], alice: Any
    ) -> None:
        event = sent(alice, "Hello")
        browser = desk()
        browser.opens("/")
        browser.registers()
        browser.run("() => { self.fetch = () => Promise.reject(new TypeError('away')); }")
        browser.is_pushed({"title": "Hello", "url": "/", "event": event.pk})
        browser.sees(1)
        browser.clicks(f"event-{event.pk}")
        wait_for(lambda: Notification.objects.get().read_at is not None, SOON)

    def test_where_nobody_can_the_next_page_reads_it(
        self, desk: Callable[..., Desk], alice: Any
    ) -> None:
        event = sent(alice, "Hello")
        browser = desk()
        browser.opens("/preferences/")
        browser.turns("on")
        browser.opens("/logout/")
        browser.listens()
        browser.run("() => { self.fetch = () => Promise.reject(new TypeError('away')); }")
        browser.is_pushed({"title": "Hello", "url": "/", "event": event.pk})
        browser.sees(1)
        browser.clicks(f"event-{event.pk}")
        assert Notification.objects.get().read_at is None
        browser.opens("/")
        wait_for(lambda: Notification.objects.get().read_at is not None, SOON)


class TestSwitch:
    def test_push_is_turned_on_and_off_by_a_button(
        self, desk: Callable[..., Desk], axe: str
    ) -> None:
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

    def test_a_page_load_follows_what_has_happened_elsewhere(
        self, desk: Callable[..., Desk]
    ) -> None:
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
        self, desk: Callable[..., Desk], axe: str
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
        self, desk: Callable[..., Desk], bob: Any, password: str
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


def signed_in_next(page: Any, name: str, password: str) -> None:
    page.goto("/logout/")
    page.click("button.main")
    page.fill("#username", name)
    assert not Device.objects.filter(active=True).exists()
    page.fill("#password", password)
    page.click("button.main")
    page.wait_for_url("**/")


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


def is_accessible(page: Any, axe: str) -> None:
    page.evaluate(axe + "; 0")
    found = page.evaluate("axe.run('push-switch').then(({ violations }) => violations)")
    assert [(one["id"], one["help"]) for one in found] == []
