"""A template across processes: the sender dies, another renders, a socket and REST show it."""

from typing import Any

import httpx
import pytest
from asgiref.sync import sync_to_async

from notifications import inbox, tokens
from notifications.models import Audience, Notification, Template
from routing.push.models import Device
from tests.conftest import STACK
from tests.processes import Processes
from tests.sockets import Client
from tests.waiting import await_for, wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(180)]

#: Killed between the commit and the fan-out.
SENDER = """
import os
from django.db import transaction
from notifications import send_notification
with transaction.atomic():
    send_notification(
        "post_comment",
        users={users},
        template="comment",
        context={{"who": "Bob", "n": 1.5}},
        push=False,
    )
    transaction.get_connection().run_on_commit.clear()
os._exit(9)
"""


def write() -> None:
    Template.objects.create(slug="comment", title="{{ who }} wrote {{ n|floatformat:1 }}")
    german = "{{ who }} schrieb {{ n|floatformat:1 }}"
    Template.objects.create(slug="comment", language="de", title=german)


def speaks(user: Any, locale: str) -> None:
    """A device tells the user's language."""
    Device.objects.create(user=user, backend="dummy", token="x", token_hash=locale, locale=locale)


async def test_sockets_and_rest_show_two_languages_though_the_sender_died(
    processes: Processes, make_user: Any
) -> None:
    make = sync_to_async(make_user)
    anna, jean = await make("anna"), await make("jean")
    await sync_to_async(write)()
    for user, locale in ((anna, "de-AT"), (jean, "fr")):
        await sync_to_async(speaks)(user, locale)
    texts = {user: await sync_to_async(tokens.make)(user) for user in (anna, jean)}
    start = sync_to_async(processes.start)
    server = await sync_to_async(processes.serve)()
    if STACK == "production":
        await start("worker")
    wanted = {anna: "Bob schrieb 1,5", jean: "Bob wrote 1.5"}
    async with (
        Client(server.ws_url, texts[anna]) as annas,
        Client(server.ws_url, texts[jean]) as jeans,
    ):
        for users in (f"[{anna.pk}, {jean.pk}]", '__import__("notifications").EVERYONE'):
            sender = await start("shell", "-c", SENDER.format(users=users))
            assert await sync_to_async(sender.wait)() == 9
            for user, client in ((anna, annas), (jean, jeans)):
                await await_for(lambda u=user, c=client: equals(u, c), 30)
                assert client.faults == []
                api = {"Authorization": f"Bearer {texts[user]}"}
                path = f"{server.url}/api/notifications/"
                async with httpx.AsyncClient(trust_env=False) as http:
                    listed = (await http.get(path, headers=api)).json()["results"]
                titles = {row["event"]["title"] for row in listed}
                assert titles == {wanted[user]}
                assert {row["event"]["title"] for row in client.rows.values()} == titles
    assert "Traceback" not in server.log, server.log


@sync_to_async
def equals(user: Any, client: Client) -> bool:
    if Audience.objects.exists():
        return False
    page = inbox.page(user.pk)
    return bool(page.results) and client.rows == {row["id"]: row for row in page.results}


def test_a_worker_process_renders_what_a_dead_sender_left(
    processes: Processes, make_user: Any
) -> None:
    anna = make_user("anna")
    write()
    speaks(anna, "de")
    assert processes.start("shell", "-c", SENDER.format(users=f"[{anna.pk}]")).wait() == 9
    assert Audience.objects.count() == 1 and not Notification.objects.exists()
    worker = processes.start("worker")
    wait_for(lambda: Notification.objects.filter(title="Bob schrieb 1,5").exists(), 20)
    assert worker.stop() == 0
    assert "Traceback" not in worker.log, worker.log
