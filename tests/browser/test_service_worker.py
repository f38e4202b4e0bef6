"""The service worker in Chromium: what is pushed is shown, clicked and read."""

from collections.abc import Callable
from typing import Any

import pytest

from notifications import send_notification
from notifications.models import Notification
from tests.browser.desk import SOON, Desk, desk
from tests.security.conftest import server, standing_server
from tests.waiting import wait_for

#: One server for all of these tests: none of them harms it.
__all__ = ["desk", "server", "standing_server"]

pytestmark = [pytest.mark.embedded, pytest.mark.timeout(180)]


def sent(user: Any, title: str, **words: Any) -> Any:
    return send_notification("post_like", users=user, title=title, **words)


def test_json_text_and_nothing_are_all_shown(desk: Callable[..., Desk]) -> None:
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


def test_a_push_that_comes_twice_is_shown_once(desk: Callable[..., Desk]) -> None:
    alice = desk()
    alice.opens("/logout/")
    alice.registers()
    for event, title in ((5, "Once"), (5, "Twice"), (6, "Another")):
        alice.is_pushed({"title": title, "tag": "match", "event": event})
        wait_for(lambda t=title: [one["title"] for one in alice.shown] == [t], SOON, what=title)
        # Only another event under the same tag alerts again.
        assert [one["renotify"] for one in alice.shown] == [event == 6]


def test_a_click_opens_the_page_and_reads_the_notification(
    desk: Callable[..., Desk], alice: Any
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


def test_a_page_that_shows_it_already_comes_to_the_front(desk: Callable[..., Desk]) -> None:
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
    desk: Callable[..., Desk], alice: Any
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


def test_where_nobody_can_the_next_page_reads_it(desk: Callable[..., Desk], alice: Any) -> None:
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
