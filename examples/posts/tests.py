"""The forum's own tests: how a team tests what it sends, and that keys which are UUIDs serve."""

import json
import uuid
from datetime import timedelta
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.models import Permission
from django.test import Client, TestCase, TransactionTestCase, override_settings
from django.utils import timezone
from people.models import Person

from notifications import EVERYONE, filters, inbox, send_notification, send_template, tokens
from notifications.models import Audience, Event, Notification, Template
from notifications.testing import (
    LiveSocket,
    PushProvider,
    assert_not_notified,
    assert_notified,
    move_on,
    outbox,
    settle,
)
from notifications.worker import duties
from posts.models import Post, Wording
from routing import presence
from routing.live import messages, tickets


class ReplyTests(TestCase):
    """What a team writes."""

    def setUp(self) -> None:
        self.ada = Person.objects.create_user("ada")
        self.grace = Person.objects.create_user("grace")
        self.post = Post.objects.create(author=self.ada, text="On engines")

    def reply(self, **form: str) -> Any:
        client = Client()
        client.force_login(self.grace)
        return client.post(f"/posts/{self.post.pk}/replies/", form)

    def test_the_author_is_told(self) -> None:
        answer = self.reply(text="Very nice")
        self.assertEqual(answer.status_code, 201)
        assert_notified(
            self.ada, type="reply", title="grace replied", message="Very nice", author=self.grace
        )
        assert_not_notified(self.grace)
        self.assertEqual(outbox[0].recipients, [self.ada])

    def test_whoever_has_switched_replies_off_is_not(self) -> None:
        filters.set_channels(self.ada.pk, types={"reply": {"inbox": False}})
        self.reply(text="Very nice")
        assert_not_notified(self.ada)

    def test_what_the_inbox_shows(self) -> None:
        with self.captureOnCommitCallbacks(execute=True):
            self.reply(text="Very nice")
        [row] = inbox.page(self.ada.pk).results
        self.assertEqual(row["event"]["author"], {"id": str(self.grace.pk), "name": "grace"})

    def test_settle_does_what_would_happen_after_the_commit(self) -> None:
        send_notification("reply", users=self.ada, data={"post": self.post.pk})
        self.assertEqual(inbox.summary(self.ada.pk).unread, 0)
        settle()
        self.assertEqual(inbox.summary(self.ada.pk).unread, 1)

    def test_the_authors_phone_rings_also_when_the_provider_is_busy(self) -> None:
        with PushProvider() as provider:
            provider.device(self.ada, type="android")
            provider.answers("retry")
            self.reply(text="Very nice")
            provider.deliver()
            move_on(seconds=10)
            self.assertEqual([one.outcome for one in provider.pushed], ["retry", "sent"])
            self.assertEqual(provider.pushed[-1].title, "grace replied")

    async def test_the_authors_open_page_is_told(self) -> None:
        async with LiveSocket(self.ada) as socket:
            await sync_to_async(self.reply)(text="Very nice")
            frame = await socket.frame()
            self.assertEqual(frame["notification"]["event"]["title"], "grace replied")


class KeyTests(TransactionTestCase):
    """Keys that are UUIDs, wherever a user's key goes."""

    def setUp(self) -> None:
        self.people = [Person.objects.create_user(f"person{number}") for number in range(30)]
        self.ada = self.people[0]

    def api(self, person: Person) -> dict[str, str]:
        return {"Authorization": f"Bearer {tokens.make(person)}"}

    def test_every_form_of_an_audience(self) -> None:
        first, second, *_ = self.people
        data = {"post": 1}
        forms: list[Any] = [
            first,
            [first, second],
            [first.pk, second.pk],
            (person.pk for person in (first, second)),
            Person.objects.filter(pk__in=[first.pk, second.pk]),
            Person.objects.filter(pk__in=[first.pk]).values_list("pk", flat=True),
            [first.pk, uuid.uuid4()],
            EVERYONE,
        ]
        for number, users in enumerate(forms, start=1):
            send_notification("reply", users=users, data=data)
            settle()
            self.assertEqual(inbox.summary(first.pk).total, number, users)

    def test_an_audience_that_waits_for_the_worker(self) -> None:
        event = Event.objects.create(
            type_id=send_notification("reply", users=[], data={"post": 1}).type_id
        )
        Audience.objects.create(
            event=event,
            user_ids=[str(person.pk) for person in self.people],
            due=timezone.now() - timedelta(seconds=10),
        )
        for duty in duties():
            while duty.do():
                pass
        self.assertEqual(Notification.objects.filter(event=event).count(), 30)

    def test_marks_deletions_and_resume(self) -> None:
        events = [send_notification("reply", users=self.ada, data={"post": 1}) for _ in range(3)]
        start = inbox.changes(self.ada.pk, epoch=None, since=None)
        self.assertEqual(inbox.mark(self.ada.pk, state="read", ids=[events[0].pk]).changed, 1)
        self.assertEqual(inbox.mark(self.ada.pk, state="seen", up_to=3).changed, 2)
        self.assertEqual(inbox.delete(self.ada.pk, ids=[events[1].pk]).changed, 1)
        changes = inbox.changes(self.ada.pk, epoch=start.epoch, since=3)
        self.assertFalse(changes.reset)
        self.assertEqual(len(changes.changes), 3)
        self.assertEqual(inbox.summary(self.people[1].pk).version, 0)

    def test_an_idempotency_key(self) -> None:
        ids = {
            send_notification("reply", users=who, data={"post": 1}, idempotency_key="one").pk
            for who in (self.ada, [self.ada.pk])
        }
        self.assertEqual(len(ids), 1)

    def test_presence(self) -> None:
        keys = [messages.key_of(person.pk) for person in self.people]
        presence.hold([(key, "epoch", 7) for key in sorted(keys)])
        presence.hold([(key, "epoch", 3) for key in sorted(keys)])
        mine = [person.pk for person in self.people[:5]]
        self.assertEqual(presence.acked(mine, epoch="epoch"), dict.fromkeys(mine, 7))

    def test_tickets(self) -> None:
        ticket = tickets.issue(self.ada, session_key="x")
        credential = tickets.redeem(ticket)
        self.assertEqual(getattr(credential, "key", None), messages.key_of(self.ada.pk))
        self.assertIsNone(tickets.redeem(ticket))

    def test_layer_messages_and_groups_hold_no_uuid_objects(self) -> None:
        key = messages.key_of(self.ada.pk)
        self.assertEqual(key, str(self.ada.pk))
        self.assertLess(len(messages.user_group(key)), 100)

    def test_users_of_a_request(self) -> None:
        self.ada.user_permissions.add(Permission.objects.get(codename="add_event"))
        second, third = self.people[1:3]
        users = [str(self.ada.pk), second.username, third.pk.hex, str(uuid.uuid4())]
        body = {"type": "reply", "users": users, "data": {"post": 1}, "title": "To three"}
        headers = self.api(self.ada)
        answer = Client().post("/api/events/", body, "application/json", headers=headers)
        self.assertEqual(answer.status_code, 201, answer.content)
        told = Notification.objects.filter(event=answer.json()["id"])
        self.assertEqual({row.user_id for row in told}, {self.ada.pk, second.pk, third.pk})
        for wrong in ([1], ["nobody"], [str(self.ada.pk)[:-1]], [True]):
            answer = Client().post(
                "/api/events/", {**body, "users": wrong}, "application/json", headers=headers
            )
            self.assertEqual(answer.status_code, 400, wrong)

    def test_everything_else_of_the_api(self) -> None:
        event = send_notification("reply", users=self.ada, author=self.ada, data={"post": 1})
        headers = self.api(self.ada)

        def ask(method: str, path: str, body: Any = None) -> Any:
            answer = Client().generic(
                method,
                f"/api/{path}",
                "" if body is None else json.dumps(body),
                "application/json",
                headers=headers,
            )
            self.assertIn(answer.status_code, (200, 204), (path, answer.content))
            return answer

        listed = ask("GET", "notifications/").json()["results"]
        self.assertEqual(listed[0]["event"]["author"]["id"], str(self.ada.pk))
        ask("GET", f"notifications/{event.pk}/")
        ask("PATCH", "notifications/", [event.pk])
        ask("POST", "notifications/mark/", {"state": "unread", "up_to": 5, "type": "reply"})
        ask("GET", "notifications/summary/")
        ask("GET", "notifications/changes/")
        ask("GET", "event-types/")
        ask("GET", "notifications/filter/")
        ask("PATCH", "notifications/filter/", {"types": {"reply": {"live": False}}})
        ask("GET", "auth/tokens/")
        ask("POST", "ws-ticket/")
        ask("DELETE", f"notifications/{event.pk}/")
        ask("GET", "schema/")
        # the page that shows it needs drf_spectacular among the installed apps
        self.assertEqual(Client().get("/api/docs/").status_code, 404)

    def test_a_deleted_person_leaves_no_fault(self) -> None:
        send_notification("reply", users=self.people, data={"post": 1})
        self.ada.delete()
        send_notification("reply", users=[self.ada.pk or uuid.uuid4()], data={"post": 1})
        send_notification("reply", users=self.people[1:], data={"post": 1})
        self.assertEqual(inbox.summary(self.people[1].pk).total, 2)

    def test_what_an_event_is_about(self) -> None:
        """Links to people, whose keys databases keep each in their own way."""
        first, second, third, *_ = self.people
        post = Post.objects.create(author=first, text="On engines")
        event = send_notification(
            "reply", users=first, data={"post": post.pk}, related_objects=[post, second]
        )
        for target in (
            post,
            second,
            Post.objects.all(),
            Person.objects.filter(username=second.username),
            Person.objects.order_by("username")[:30],
            [third, second],
        ):
            self.assertEqual(list(Event.objects.related_to(target)), [event], target)
        for target in (third, Person.objects.filter(pk=third.pk), [first]):
            self.assertEqual(list(Event.objects.related_to(target)), [], target)
        self.assertEqual(list(event.linked(Person)), [second])


class WordingTests(TransactionTestCase):
    """The forum's own model of templates."""

    def setUp(self) -> None:
        self.ada = Person.objects.create_user("ada", last_name="de")
        self.grace = Person.objects.create_user("grace")
        self.post = Post.objects.create(author=self.ada, text="On engines")
        Wording.objects.create(
            slug="reply", title="{{ who }} replied", push_body="New", least_words=2
        )
        Wording.objects.create(slug="reply", language="de", title="{{ who }} antwortete")

    def send(self, post: Post) -> Event | None:
        return send_template(
            [self.ada, self.grace],
            "reply",
            {"who": "Bob"},
            data={"post": post.pk},
            related_objects=[post],
        )

    def title(self, person: Person) -> str:
        return str(inbox.page(person.pk).results[0]["event"]["title"])

    @override_settings(HUB={**settings.HUB, "USER_LANGUAGE": "last_name"})
    def test_everybody_reads_their_own_language(self) -> None:
        event = self.send(self.post)
        self.assertIsNotNone(event)
        self.assertEqual(self.title(self.ada), "Bob antwortete")
        self.assertEqual(self.title(self.grace), "Bob replied")
        self.assertTrue(Event.objects.was_sent("reply", self.post))

    @override_settings(HUB={**settings.HUB, "USER_LANGUAGE": "last_name"})
    def test_also_where_the_worker_fans_out(self) -> None:
        event = self.send(self.post)
        self.assertIsNotNone(event)
        Notification.objects.all().delete()
        people = [str(person.pk) for person in (self.ada, self.grace)]
        Audience.objects.create(event=event, user_ids=people, due=timezone.now())
        settle()
        self.assertEqual(self.title(self.ada), "Bob antwortete")
        self.assertEqual(self.title(self.grace), "Bob replied")

    def test_the_forum_says_what_may_be_sent(self) -> None:
        self.assertIsNone(self.send(Post.objects.create(author=self.ada, text="Short")))
        self.assertIsNotNone(self.send(self.post))

    def test_the_hubs_own_table_is_not_asked(self) -> None:
        Template.objects.create(slug="reply", title="The hub's")
        self.send(self.post)
        self.assertEqual(self.title(self.grace), "Bob replied")

    def test_they_are_written_and_looked_at_in_the_admin(self) -> None:
        Person.objects.create_superuser("root")
        client = Client()
        client.force_login(Person.objects.get(username="root"))
        row = Wording.objects.get(slug="reply", language="")
        form = {"slug": "reply", "title": "{{ who }}!", "is_active": "on", "least_words": 1}
        answer = client.post(f"/admin/posts/wording/{row.pk}/change/", form)
        self.assertEqual(answer.status_code, 302, answer.content)
        page = client.get(f"/admin/posts/wording/{row.pk}/preview/")
        self.assertContains(page, "antwortete")
        self.assertEqual(client.get("/admin/hub_notifications/template/").status_code, 404)
