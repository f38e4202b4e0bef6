"""The helpers for teams' tests, inside Django's own TestCase."""

from django.contrib.auth import get_user_model
from django.test import TestCase

from notifications import EVERYONE, inbox, send_notification
from notifications.models import Audience
from notifications.testing import settle


class InsideATestCase(TestCase):
    def setUp(self):
        self.alice = get_user_model().objects.create_user("alice")

    def test_settle_does_what_the_commit_would(self):
        send_notification("post_like", users=self.alice)
        self.assertEqual(inbox.summary(self.alice.pk).unread, 0)
        self.assertEqual(settle(), 1)
        self.assertEqual(inbox.summary(self.alice.pk).unread, 1)
        self.assertFalse(Audience.objects.exists())

    def test_settle_takes_broadcasts_in(self):
        send_notification("post_like", users=EVERYONE)
        settle()
        self.assertEqual(inbox.positions([self.alice.pk]).inboxes[self.alice.pk].unread, 1)

    def test_captured_commit_callbacks_fan_out_too(self):
        with self.captureOnCommitCallbacks(execute=True):
            send_notification("post_like", users=self.alice)
        self.assertEqual(inbox.summary(self.alice.pk).unread, 1)
