"""For a team's own tests, as `django.core.mail.outbox` is; docs/testing.md shows all of it.

    from notifications.testing import assert_notified

    def test_a_comment_notifies_the_author(self):
        self.client.post("/posts/1/comments/", {"text": "Nice"})
        assert_notified(self.author, type="post_comment", title="Bob commented")

It works inside Django's `TestCase`, whose transaction never commits, and outside of it.

Where `routing` is installed, what it has for tests is found here too: `PushProvider`, `LiveSocket`
and `looks`. Nothing of this package is imported before it is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from notifications.testing.clock import move_on
    from notifications.testing.sent import Sent, assert_not_notified, assert_notified, outbox
    from notifications.testing.settling import settle

__all__ = ["Sent", "assert_not_notified", "assert_notified", "move_on", "outbox", "settle"]

_OWN = {
    "Sent": "sent",
    "assert_not_notified": "sent",
    "assert_notified": "sent",
    "move_on": "clock",
    "outbox": "sent",
    "settle": "settling",
}


def __getattr__(name: str) -> Any:
    if name in _OWN:
        return getattr(import_module(f"notifications.testing.{_OWN[name]}"), name)
    if not name.startswith("_"):
        from notifications.testing.roads import offering

        road = offering(name)
        if road is not None:
            return getattr(road, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
