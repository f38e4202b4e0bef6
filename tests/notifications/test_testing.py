"""The helpers for teams' tests, inside Django's own TestCase."""

from datetime import timedelta

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import transaction
from django.test import Client, TestCase, TransactionTestCase, override_settings
from django.utils import timezone

from notifications import EVERYONE, filters, inbox, send_notification, testing
from notifications.models import Audience, Event, Template
from notifications.testing import (
    assert_not_notified,
    assert_notified,
    move_on,
    outbox,
    settle,
)


def bob_is_german(user_ids, *, using):
    """For `USER_LANGUAGE`."""
    rows = get_user_model().objects.using(using).filter(pk__in=user_ids, username="bob")
    return dict.fromkeys(rows.values_list("pk", flat=True), "de")


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

    def test_what_a_view_sends_is_found(self):
        client = Client()
        client.force_login(self.alice)
        client.post("/send/", {"type": "post_like", "title": "From a view", "message": ""})
        assert_notified(self.alice, type="post_like", title="From a view", author=self.alice)

    def test_what_is_rolled_back_was_not_sent(self):
        with self.assertRaises(ZeroDivisionError), transaction.atomic():
            send_notification("post_like", users=self.alice)
            raise ZeroDivisionError
        assert_not_notified(self.alice)
        self.assertEqual(list(outbox), [])


class Assertions(TestCase):
    def setUp(self):
        users = get_user_model().objects
        self.alice, self.bob = users.create_user("alice"), users.create_user("bob")

    def failure(self, *arguments, **matches):
        with self.assertRaises(AssertionError) as caught:
            assert_notified(*arguments, **matches)
        return str(caught.exception)

    def test_a_failure_says_what_there_was_instead(self):
        send_notification("post_like", users=self.alice, title="Liked")
        said = self.failure(self.alice, type="post_comment", title="X")
        self.assertEqual(
            said,
            "alice was not notified of post_comment with title='X'\n"
            "  was notified of post_like 'Liked'",
        )
        self.assertIn("was notified of nothing", self.failure(self.bob))

    def test_a_failure_says_why_somebody_was_left_out(self):
        filters.set_channels(self.bob.pk, types={"post_like": {"inbox": False}})
        send_notification("post_like", users=[self.alice, self.bob], title="One")
        send_notification("post_comment", users=self.alice, title="Two")
        said = self.failure(self.bob)
        self.assertIn("was left out of post_like 'One': they have muted the type", said)
        self.assertIn("was left out of post_comment 'Two': it was not addressed to them", said)

    def test_count_is_exact(self):
        for _ in range(2):
            send_notification("post_like", users=self.alice)
        assert_notified(self.alice, count=2)
        self.assertIn("3 times but 2", self.failure(self.alice, count=3))
        self.assertIn("1 times but 2", self.failure(self.alice, count=1))
        with self.assertRaises(ValueError):
            assert_notified(self.bob, count=0)

    def test_every_match_must_hold(self):
        data = {"post": 3, "by": "bob"}
        send_notification("post_like", users=self.alice, title="Liked", data=data, url="/posts/3/")
        row = assert_notified(
            self.alice, title="Liked", data={"post": 3}, url=lambda url: url.startswith("/posts/")
        )
        self.assertEqual(row.event.data, data)
        for wrong in ({"title": "liked"}, {"data": {"post": 4}}, {"data": {"no": 1}}):
            self.failure(self.alice, **wrong)
            assert_not_notified(self.alice, **wrong)
        with self.assertRaises(TypeError):
            assert_notified(self.alice, headline="Liked")

    def test_words_are_those_that_the_user_reads(self):
        Template.objects.create(slug="hi", title="Hello {{ name }}")
        Template.objects.create(slug="hi", language="de", title="Hallo {{ name }}", is_active=True)
        german = {"USER_LANGUAGE": "tests.notifications.test_testing.bob_is_german"}
        with override_settings(HUB={**settings.HUB, **german}):
            both = [self.alice, self.bob]
            send_notification("post_like", users=both, template="hi", context={"name": "you"})
            assert_notified(self.alice, title="Hello you", count=1)
            assert_notified(self.bob, title="Hallo you", count=1)
            self.failure(self.bob, title="Hello you")

    def test_not_notified_names_what_it_found(self):
        send_notification("post_like", users=self.alice, title="Liked")
        with self.assertRaisesMessage(AssertionError, "post_like 'Liked'"):
            assert_not_notified(self.alice)
        assert_not_notified(self.alice, type="post_comment")

    def test_the_newest_is_answered(self):
        for title in ("Old", "New"):
            send_notification("post_like", users=self.alice, title=title)
        self.assertEqual(assert_notified(self.alice, type="post_like").event.title, "New")


class OutboxOfATest(TestCase):
    def setUp(self):
        users = get_user_model().objects
        self.alice, self.bob = users.create_user("alice"), users.create_user("bob")

    def test_one(self):
        self.assertEqual(len(outbox), 0)
        send_notification("post_like", users=EVERYONE, title="For all")
        self.assertEqual(outbox[0].recipients, [self.alice, self.bob])
        self.assertIn("post_like 'For all' to alice, bob", repr(outbox))

    def test_another_does_not_see_the_first_ones(self):
        self.assertEqual(list(outbox), [])
        send_notification("post_like", users=[], data={"post": 1}, tag="t")
        self.assertEqual(outbox[0].recipients, [])
        self.assertEqual((outbox[0].data, outbox[0].tag), ({"post": 1}, "t"))
        with self.assertRaises(AttributeError):
            _ = outbox[0].headline

    def test_cleared_it_holds_what_comes_later(self):
        send_notification("post_like", users=self.alice, title="Before")
        outbox.clear()
        send_notification("post_like", users=self.alice, title="After")
        self.assertEqual([sent.title for sent in outbox], ["After"])
        self.assertEqual([sent.title for sent in outbox[:1]], ["After"])


class TimeInATest(TestCase):
    def setUp(self):
        self.alice = get_user_model().objects.create_user("alice")

    def test_time_does_not_go_back(self):
        with self.assertRaises(ValueError):
            move_on(timedelta(seconds=-1))

    def test_the_past_is_further_away(self):
        event = send_notification("post_like", users=self.alice)
        before = Event.objects.get(pk=event.pk).timestamp
        move_on(timedelta(hours=1), minutes=30)
        event.refresh_from_db()
        self.assertEqual(before - event.timestamp, timedelta(minutes=90))

    def test_retention_comes(self):
        event = send_notification("post_like", users=self.alice)
        move_on(days=179)
        self.assertEqual(inbox.summary(self.alice.pk).total, 1)
        move_on(days=2)
        self.assertEqual(inbox.summary(self.alice.pk).total, 0)
        self.assertIsNotNone(event.pk)

    def test_what_had_expired_stays_so(self):
        soon = timezone.now() + timedelta(minutes=1)
        send_notification("post_like", users=self.alice, expires_at=soon)
        move_on(minutes=2)
        self.assertEqual(inbox.summary(self.alice.pk).total, 0)
        move_on(minutes=2)
        self.assertEqual(inbox.summary(self.alice.pk).version, 2)


class OutsideATestCase(TransactionTestCase):
    """Where transactions commit, the same helpers serve."""

    def test_they_see_what_was_committed(self):
        alice = get_user_model().objects.create_user("alice")
        send_notification("post_like", users=alice, title="Committed")
        assert_notified(alice, title="Committed", count=1)
        self.assertEqual([sent.title for sent in outbox], ["Committed"])
        move_on(days=200)
        self.assertEqual(inbox.summary(alice.pk).total, 0)


def test_nothing_else_is_offered():
    for name in ("nonsense", "_private"):
        try:
            getattr(testing, name)
        except AttributeError as error:
            assert name in str(error)
        else:
            raise AssertionError(name)
