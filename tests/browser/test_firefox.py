"""Web Push end to end: our page subscribes a real Firefox, our worker encrypts, Firefox decrypts,
and our service worker shows it."""

from collections.abc import Iterator
from typing import Any

import pytest

from notifications import send_notification
from notifications.models import Event
from routing.push import applications
from routing.push.models import Delivery, Device
from routing.push.vapid import VapidKey
from tests.browser.firefox import Firefox, executable
from tests.processes import Processes, ServerProcess
from tests.security.conftest import server
from tests.vendors import autopush
from tests.waiting import wait_for

__all__ = ["server"]

pytestmark = [pytest.mark.embedded, pytest.mark.timeout(180)]

SOON = 30.0  # seconds; a machine with much to do takes its time

SWITCH = "document.querySelector('push-switch')"
STATE = f"{SWITCH}?.device?.getState()"
SHOWN = """(await (await navigator.serviceWorker.ready).getNotifications()).map(
    ({ title, body, tag, data: { hub: { url }, own } }) => ({ title, body, tag, url, own })
)"""


@pytest.fixture(scope="module")
def relay() -> Iterator[autopush.Relay]:
    with autopush.Relay() as running:
        yield running


@pytest.fixture(scope="module")
def firefox(relay: autopush.Relay) -> Iterator[Firefox]:
    path = executable()
    if path is None:
        pytest.skip("no Firefox: apt-get install firefox-esr")
    with Firefox(path, **{"dom.push.serverURL": relay.server_url}) as browser:
        yield browser


@pytest.fixture(scope="module")
def standing_server(django_db_setup: None) -> Iterator[ServerProcess]:
    """One for all tests. It pushes to this machine, and at once to whoever is not looking."""
    running = Processes()
    yield running.serve(env={"DEBUG": "1", "HUB_PUSH_LOCAL_PEERS": "1", "HUB_GRACE_SECONDS": "0"})
    running.close()


class Person:
    """Alice before Firefox."""

    def __init__(self, user: Any, password: str, firefox: Firefox, server: ServerProcess) -> None:
        self.user, self.password = user, password
        self.firefox, self.server = firefox, server

    def opens(self, path: str) -> None:
        self.firefox.go(self.server.url + path)

    def signs_in(self) -> None:
        self.opens("/login/")
        self.firefox.write("#username", self.user.username)
        self.firefox.write("#password", self.password)
        self.firefox.click("button.main")
        self.sees("location.pathname === '/'")

    def sees(self, expression: str) -> Any:
        return wait_for(lambda: self.firefox.run(expression), SOON, what=expression)

    def is_pushed_to(self) -> None:
        """Push is on, as the page says."""
        self.sees(f"{STATE}?.status === 'on' && !{STATE}.busy")

    def looks_away(self) -> None:
        """No page is live: what comes now is pushed, not acknowledged."""
        self.opens("/logout/")

    def is_shown(self, title: str) -> dict[str, Any]:
        def shown() -> Any:
            return next((one for one in self.firefox.run(SHOWN) if one["title"] == title), None)

        found: dict[str, Any] = wait_for(shown, SOON, what=f"{title} to be shown")
        return found

    def sends(self, title: str, **words: Any) -> None:
        send_notification("post_like", users=self.user, title=title, **words)


@pytest.fixture
def person(alice: Any, password: str, firefox: Firefox, server: ServerProcess) -> Iterator[Person]:
    """She is signed in and has turned push on."""
    applications.ensure_web_push()
    found = Person(alice, password, firefox, server)
    found.signs_in()
    found.opens("/preferences/")
    firefox.command(
        "WebDriver:SetPermission", descriptor={"name": "notifications"}, state="granted"
    )
    # Of the test before nothing is left: the device is not in the list any more.
    found.sees(f"{STATE}?.status === 'off' && !{STATE}.busy")
    firefox.click_in("push-switch", "button")
    found.is_pushed_to()
    yield found
    firefox.go("about:blank")


def test_what_our_worker_encrypts_is_decrypted_and_shown(
    person: Person, relay: autopush.Relay
) -> None:
    alice = person
    device = Device.objects.get()
    assert (device.name, device.type, device.locale) == ("Firefox, Linux", "web", "en-US")
    subscription = relay.subscription_at(device.token)

    alice.looks_away()
    relay.acks.clear()
    alice.sends("Grüße 🎉", message="Erste Zeile\nzweite", url="/preferences/", data={"post": 4})
    shown = alice.is_shown("Grüße 🎉")
    event = Event.objects.get().pk
    assert shown == {
        "title": "Grüße 🎉",
        "body": "Erste Zeile\nzweite",
        "tag": f"event-{event}",
        "url": "/preferences/",
        "own": {"post": 4},
    }
    wait_for(lambda: relay.acks == [autopush.DELIVERED], SOON)
    # The relay takes nothing that is not signed for it under the key of the subscription.
    assert relay.answers[-1] == 201
    wait_for(lambda: Delivery.objects.get().state == Delivery.State.SENT, SOON)

    relay.deliver(subscription, b"")
    assert alice.is_shown("New notification")["body"] == ""
    relay.deliver(subscription, b"not encrypted" * 10)
    wait_for(lambda: relay.acks[1:] == [autopush.DELIVERED, autopush.NOT_DECRYPTED], SOON)

    alice.opens("/preferences/")
    alice.is_pushed_to()
    alice.firefox.click_in("push-switch", "button")
    alice.sees(f"{STATE}.status === 'off' && !{STATE}.busy")
    assert not Device.objects.exists()
    wait_for(lambda: not subscription.live, SOON)
    assert alice.firefox.run(SHOWN) == []


def test_another_address_and_another_key_are_followed(
    person: Person, relay: autopush.Relay
) -> None:
    alice = person
    device = Device.objects.get()
    alice.looks_away()
    # The push service gives the address up; no page of ours that could do anything is open.
    relay.forget(relay.subscription_at(device.token))
    wait_for(lambda: Device.objects.get().token != device.token, SOON, what="another address")
    moved = Device.objects.get()
    assert (moved.pk, moved.active) == (device.pk, True)
    alice.sends("By the new address")
    alice.is_shown("By the new address")

    application = applications.ensure_web_push()
    key = VapidKey.generate()
    credentials = applications.credentials_of(application) | {"private_key": key.private_text()}
    applications.set_credentials(application, credentials)
    alice.opens("/preferences/")
    wait_for(lambda: Device.objects.get().token != moved.token, SOON, what="another key")
    alice.is_pushed_to()
    turned = Device.objects.get()
    assert (turned.pk, relay.subscription_at(turned.token).key) == (device.pk, key.public)
    assert not relay.subscription_at(moved.token).live
    alice.looks_away()
    alice.sends("Under the new key")
    alice.is_shown("Under the new key")


def test_signing_out_ends_pushes_until_the_same_person_is_back(
    person: Person, relay: autopush.Relay
) -> None:
    alice = person
    alice.opens("/logout/")
    alice.firefox.click("button.main")
    alice.sees("location.pathname === '/login/'")
    assert not Device.objects.get().active
    before = len(relay.answers)
    alice.sends("Nobody shall see this")
    assert not Delivery.objects.exists()

    alice.signs_in()
    # On whatever page: the inbox, here.
    wait_for(lambda: Device.objects.get().active, SOON)
    alice.looks_away()
    alice.sends("Back again")
    alice.is_shown("Back again")
    assert len(relay.answers) == before + 1
