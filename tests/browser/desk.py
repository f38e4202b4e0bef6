"""Somebody's Chromium with a push service: none is Google's, and none is on the net.

Pages are given one, in the page; what it would bring is delivered to the service worker by the
browser itself, as its developer tools do.
"""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from routing.push import applications
from tests.browser.test_inbox import until
from tests.processes import ServerProcess
from tests.vendors.webpush import Browser
from tests.waiting import wait_for

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
                self.opened = []; self.focused = []; self.badges = []; self.displayed = 0;
                const show = registration.showNotification.bind(registration);
                registration.showNotification = async (...words) => {
                    await show(...words);
                    self.displayed += 1;
                };
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
        """Done when the worker has shown it: Chromium forgets what is looked for too early."""
        text = said if isinstance(said, str) else json.dumps(said)
        before = self.run("() => self.displayed")
        self.tools.send(
            "ServiceWorker.deliverPushMessage",
            {"origin": self.server.url, "registrationId": self.registration, "data": text},
        )
        wait_for(lambda: self.run("() => self.displayed") > before, SOON, what=f"{text} shown")

    @property
    def shown(self) -> list[dict[str, Any]]:
        script = """async () => (await registration.getNotifications()).map(
            ({ title, body, icon, image, tag, actions, silent, renotify, data }) =>
            ({ title, body, icon, image, tag, actions, silent, renotify, data }))"""
        found: list[dict[str, Any]] = self.run(script)
        return found

    def sees(self, count: int) -> list[dict[str, Any]]:
        shown: list[dict[str, Any]] = []

        def enough() -> bool:
            shown[:] = self.shown
            return len(shown) == count

        try:
            wait_for(enough, SOON, every=0.2, what=f"{count} notifications")
        except AssertionError as late:
            raise AssertionError(f"{late}: {[one['title'] for one in shown]}") from None
        return shown

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
