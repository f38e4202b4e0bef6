"""Devices are added to a provider's topics: one result each, and nobody stops the others."""

from typing import Any

import pytest

from routing.push import clients, topics
from routing.push.backends.dummy import DummyBackend
from routing.push.models import Device
from routing.push.outcomes import Address, InvalidAddress, Outcome, Verdict
from routing.push.registration import register

pytestmark = pytest.mark.django_db(transaction=True)


class TopicsBackend(DummyBackend):
    """The address says what the provider answers, as for messages."""

    name = "topics"
    members: set[tuple[str, str]] = set()

    async def subscribe(self, address: Address, topic: str) -> Outcome:
        if "/" in topic:
            raise InvalidAddress("no name of a topic")
        kind = address.token.partition("-")[0]
        if kind == "crash":
            raise RuntimeError(address.token)
        if kind == "dead":
            return Outcome(verdict=Verdict.GONE, reason="UNREGISTERED")
        self.members.add((address.token, topic))
        return Outcome(verdict=Verdict.SENT)

    async def unsubscribe(self, address: Address, topic: str) -> Outcome:
        self.members.discard((address.token, topic))
        return Outcome(verdict=Verdict.SENT)


@pytest.fixture
def members(hub: Any, phones: None) -> Any:
    hub(
        BACKENDS={"topics": f"{__name__}.TopicsBackend"},
        APPLICATIONS={
            "topics": {"backend": "topics", "default": True},
            "phones": {"backend": "dummy", "default": True},
        },
    )
    TopicsBackend.members.clear()
    yield TopicsBackend.members
    clients.close_shared()


def test_devices_come_into_a_topic_and_leave_it(members: Any, alice: Any, bob: Any) -> None:
    for user, backend, token in (
        (alice, "topics", "ok-1"),
        (alice, "topics", "crash-1"),
        (bob, "topics", "dead-1"),
        (bob, "dummy", "ok-2"),
        (bob, "topics", "ok-3"),
    ):
        register(user, backend=backend, token=token)
    Device.objects.filter(token="ok-3").update(active=False)
    everyone = list(Device.objects.order_by("pk"))
    found = topics.subscribe(everyone, "news")
    assert [(each.state, each.reason) for each in found] == [
        ("SENT", ""),
        ("ERROR", "RuntimeError"),
        ("ERROR", "UNREGISTERED"),
        ("ERROR", "dummy has no topics"),
        ("SKIPPED", "device inactive"),
    ]
    assert members == {("ok-1", "news")}
    assert not Device.objects.get(token="dead-1").active
    first = Device.objects.get(token="ok-1")
    assert [each.state for each in first.subscribe("news")] == ["SENT"]
    refused = Device.objects.filter(token="ok-1").subscribe("a/b")
    assert [each.reason for each in refused] == ["no name of a topic"]
    assert [each.state for each in Device.objects.filter(user=alice).unsubscribe("news")] == [
        "SENT",
        "SENT",
    ]
    assert members == set()


async def test_from_async_code(members: Any, alice: Any) -> None:
    from asgiref.sync import sync_to_async

    device, _ = await sync_to_async(register)(alice, backend="topics", token="ok-1")
    assert [each.state for each in await topics.asubscribe(device, "news")] == ["SENT"]
    assert [each.state for each in await topics.aunsubscribe([device], "news")] == ["SENT"]


def test_an_application_that_cannot_be_loaded_is_each_devices_result(
    members: Any, hub: Any, alice: Any
) -> None:
    device, _ = register(alice, backend="topics", token="ok-1")
    hub(BACKENDS={"topics": "nowhere.Topics"})
    assert [(each.state, each.reason) for each in device.subscribe("news")] == [
        ("ERROR", "ImproperlyConfigured")
    ]
