"""What the roads have for teams' tests: a provider that is told what to answer, and a socket."""

import json

import pytest
from django.contrib.auth import get_user_model
from django.test import Client, TestCase, TransactionTestCase, override_settings

from notifications import EVERYONE, asend_notification, send_notification
from notifications.testing import (
    LiveSocket,
    PushProvider,
    SocketClosed,
    looks,
    move_on,
    settle,
)
from routing.push import quiet_hours
from routing.push.models import Delivery, Device


class AProvider(TestCase):
    def setUp(self):
        users = get_user_model().objects
        self.alice, self.bob = users.create_user("alice"), users.create_user("bob")
        self.provider = self.enterContext(PushProvider())

    def test_a_device_that_an_app_registers_is_sent_to(self):
        client = Client()
        client.force_login(self.alice)
        for body in (
            {"backend": "fcm", "token": "from-the-app", "name": "App"},
            {"endpoint": "https://push.example/x", "keys": {"p256dh": "k", "auth": "a"}},
        ):
            answer = client.post("/api/devices/", body, "application/json")
            self.assertEqual(answer.status_code, 201, answer.content)
        key = client.get("/api/push/vapid-public-key/").json()["key"]
        self.assertEqual(len(key), 87)
        send_notification("post_like", users=self.alice, title="Hello", url="/x/")
        found = self.provider.deliver()
        self.assertEqual(sorted(one.backend for one in found), ["fcm", "webpush"])
        [to_app] = [one for one in found if one.backend == "fcm"]
        self.assertEqual((to_app.device.name, to_app.user), ("App", self.alice))
        self.assertEqual((to_app.title, to_app.url, to_app.type), ("Hello", "/x/", "post_like"))
        self.assertNotIn("from-the-app", repr(to_app))

    def test_the_badge_and_the_collapse_id_are_the_devices(self):
        self.provider.device(self.alice)
        for _ in range(2):
            send_notification("post_like", users=self.alice, tag="post-1")
            self.provider.deliver()
        first, second = self.provider.pushed
        self.assertEqual((first.badge, second.badge), (1, 2))
        self.assertNotEqual(first.event, second.event)
        self.assertTrue(first.collapse_id)

    def test_answers_come_in_their_order_and_by_device(self):
        phone = self.provider.device(self.alice)
        tablet = self.provider.device(self.alice)
        self.provider.answers("gone", device=tablet)
        self.provider.answers("refused", "sent")
        for _ in range(3):
            send_notification("post_like", users=self.alice)
            self.provider.deliver()
        given = {
            device.pk: [one.outcome for one in self.provider.pushed if one.device == device]
            for device in (phone, tablet)
        }
        self.assertEqual(given, {phone.pk: ["refused", "sent", "sent"], tablet.pk: ["gone"]})
        self.assertFalse(Device.objects.get(pk=tablet.pk).active)

    def test_a_retry_comes_with_its_time(self):
        self.provider.device(self.alice)
        self.provider.answers("retry", "retry")
        send_notification("post_like", users=self.alice)
        self.provider.deliver()
        move_on(seconds=10)
        move_on(seconds=20)
        self.assertEqual([one.attempt for one in self.provider.pushed], [1, 2, 3])
        self.assertEqual(Delivery.objects.get().state, Delivery.State.SENT)

    def test_a_fault_of_ours_waits_for_somebody(self):
        self.provider.device(self.alice)
        self.provider.answers("misconfigured")
        send_notification("post_like", users=self.alice)
        self.provider.deliver()
        self.assertEqual(Delivery.objects.get().error, "application paused")
        move_on(minutes=16)
        self.assertEqual([one.outcome for one in self.provider.pushed], ["misconfigured", "sent"])

    def test_a_broadcast_reaches_every_device(self):
        for user in (self.alice, self.bob):
            self.provider.device(user)
        send_notification("post_like", users=EVERYONE)
        self.assertEqual({one.user for one in self.provider.deliver()}, {self.alice, self.bob})

    def test_quiet_hours_end(self):
        from datetime import timedelta

        from django.utils import timezone

        now = timezone.now()
        hours = ((now - timedelta(hours=1)).time(), (now + timedelta(hours=2)).time())
        quiet_hours.change(self.alice.pk, quiet_hours=hours)
        self.provider.device(self.alice)
        send_notification("post_like", users=self.alice)
        self.assertEqual(self.provider.deliver(), [])
        move_on(hours=1)
        self.assertEqual(self.provider.pushed, [])
        move_on(hours=1, minutes=1)
        self.assertEqual(len(self.provider.pushed), 1)

    def test_whoever_looks_is_spared_until_they_go(self):
        self.provider.device(self.alice)
        looks(self.alice)
        send_notification("post_like", users=self.alice)
        settle()
        looks(self.alice, acked=True)
        send_notification("post_like", users=self.alice)
        move_on(minutes=2)
        self.assertEqual(len(self.provider.pushed), 1, "the first was acknowledged")

    def test_what_is_too_long_is_refused_as_in_life(self):
        self.provider.device(self.alice)
        send_notification("post_like", users=self.alice, data={"text": "x" * 8000})
        self.assertEqual(self.provider.deliver(), [])
        self.assertEqual(Delivery.objects.get().state, Delivery.State.ERROR)

    def test_one_at_a_time(self):
        with self.assertRaises(RuntimeError), PushProvider():
            pass


class AProvidersSettings(TestCase):
    @override_settings(
        HUB={"APPLICATIONS": {"shop": {"backend": "fcm", "credentials": {"x": "not a key"}}}}
    )
    def test_the_projects_applications_keep_their_names(self):
        alice = get_user_model().objects.create_user("alice")
        with PushProvider() as provider:
            provider.device(alice, application="shop")
            send_notification("post_like", users=alice)
            self.assertEqual(len(provider.deliver()), 1)

    def test_without_a_provider_nothing_is_sent(self):
        alice = get_user_model().objects.create_user("alice")
        with PushProvider() as provider:
            provider.device(alice)
        send_notification("post_like", users=alice)
        move_on(minutes=1)
        self.assertEqual(Delivery.objects.get().state, Delivery.State.WAITING)
        self.assertEqual(provider.pushed, [])


class CommittedPushes(TransactionTestCase):
    def test_where_transactions_commit_the_same_holds(self):
        alice = get_user_model().objects.create_user("alice")
        with PushProvider() as provider:
            provider.device(alice)
            provider.answers("retry")
            send_notification("post_like", users=alice)
            provider.deliver()
            move_on(seconds=10)
            self.assertEqual([one.outcome for one in provider.pushed], ["retry", "sent"])


class ASocket(TestCase):
    """Also inside a `TestCase`, of which nothing is committed."""

    async def asetup(self):
        users = get_user_model().objects
        return await users.acreate(username="alice"), await users.acreate(username="bob")

    async def test_it_is_told_what_happens_in_order(self):
        alice, bob = await self.asetup()
        async with LiveSocket(alice) as socket:
            self.assertEqual((socket.hello["action"], socket.hello["version"]), ("hello", 0))
            for title in ("One", "Two"):
                await asend_notification("post_like", users=[alice, bob], title=title)
            frames = [await socket.frame() for _ in range(2)]
            titles = [frame["notification"]["event"]["title"] for frame in frames]
            self.assertEqual(titles, ["One", "Two"])
            self.assertEqual([frame["version"] for frame in frames], [1, 2])

    async def test_a_mark_is_answered_and_told_to_the_other_socket(self):
        alice, _ = await self.asetup()
        event = await asend_notification("post_like", users=alice)
        async with LiveSocket(alice) as desk, LiveSocket(alice) as phone:
            done = await desk.ask(action="mark", state="read", ids=[event.pk])
            self.assertEqual((done["action"], done["changed"]), ("done", 1))
            frame = await phone.frame()
            self.assertEqual((frame["action"], frame["ids"]), ("marked", [event.pk]))
            self.assertEqual((await desk.frame())["action"], "marked")
            wrong = await desk.ask(action="mark", state="eaten", ids=[event.pk])
            self.assertEqual(wrong["action"], "error")

    async def test_frames_are_lost_and_doubled_as_told(self):
        alice, _ = await self.asetup()
        async with LiveSocket(alice) as socket:
            socket.drop(2)
            socket.double()
            for _ in range(4):
                await asend_notification("post_like", users=alice)
            versions = [(await socket.frame())["version"] for _ in range(3)]
            self.assertEqual(versions, [3, 3, 4])
            await socket.say(action="sync", since=0)
            frame = await socket.frame()
            self.assertEqual((frame["action"], len(frame["changes"])), ("sync", 4))

    async def test_a_lost_connection_resumes(self):
        alice, _ = await self.asetup()
        async with LiveSocket(alice) as socket:
            hello = socket.hello
            await socket.cut()
        await asend_notification("post_like", users=alice, title="Meanwhile")
        resumed = {"since": hello["version"], "epoch": hello["epoch"]}
        async with LiveSocket(alice, **resumed) as socket:
            frame = await socket.frame()
            self.assertEqual([row["event"]["title"] for row in frame["changes"]], ["Meanwhile"])
        async with LiveSocket(alice, since=0, epoch="another") as socket:
            self.assertEqual((await socket.frame())["action"], "reset")

    async def test_it_hears_nothing_of_others(self):
        alice, bob = await self.asetup()
        async with LiveSocket(alice) as socket:
            await asend_notification("post_like", users=bob, title="Not yours")
            await asend_notification("post_like", users=alice, title="Yours")
            frame = await socket.frame()
            self.assertEqual(frame["notification"]["event"]["title"], "Yours")
            self.assertEqual(frame["version"], 1)

    async def test_who_may_not_come_in_is_closed(self):
        alice, _ = await self.asetup()
        alice.is_active = False
        await alice.asave()
        with self.assertRaises(SocketClosed) as caught:
            async with LiveSocket(alice):
                pass
        self.assertEqual(caught.exception.code, 4501)

    async def test_a_silent_one_says_so(self):
        from asgiref.sync import sync_to_async

        from notifications import filters

        alice, _ = await self.asetup()
        mute = {"post_like": {"live": False}}
        await sync_to_async(filters.set_channels)(alice.pk, types=mute)
        async with LiveSocket(alice) as socket:
            await asend_notification("post_like", users=alice)
            self.assertTrue((await socket.frame())["silent"])


@pytest.mark.django_db(transaction=True)
async def test_it_serves_pytest_too(alice, bob):
    async with LiveSocket(alice) as socket, LiveSocket(bob) as other:
        await asend_notification("post_like", users=[alice, bob], title="Hello")
        for one in (socket, other):
            assert (await one.frame())["notification"]["event"]["title"] == "Hello"
    assert json.dumps(socket.hello)
