"""For a team's own tests: what the hub would do after a commit, done at once.

In Django's `TestCase` a test's transaction never commits, so commit hooks never run. Either run
them with `captureOnCommitCallbacks(execute=True)` around the code under test, or call `settle()`
after it:

    def test_a_comment_notifies_the_author(self):
        self.client.post("/posts/1/comments/", {"text": "Nice"})
        settle()
        self.assertEqual(inbox.summary(self.author.pk).unread, 1)
"""

from notifications import inbox
from notifications.audiences import user_key
from notifications.fanout import fan_out
from notifications.inbox.rows import alias
from notifications.models import Audience, Inbox


def settle(*, using: str | None = None) -> int:
    """Fans out every waiting Audience row now, due or not, and takes broadcasts in for everybody.

    Works inside `TestCase` and outside. Returns how many Audience rows were done.
    """
    database = alias(using)
    rows = Audience.objects.using(database).waiting().order_by("lane", "pk")
    done = sum(fan_out(row, using=database) for row in list(rows.values_list("pk", flat=True)))
    everybody = Inbox.objects.using(database).values_list("pk", flat=True)
    inbox.take_in([user_key(key, using=database) for key in everybody], using=database)
    return done
