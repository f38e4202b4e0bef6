"""Frames carry the words that the user's own notification has, in the user's language."""

from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from notifications import EVERYONE, asend_notification, inbox, tokens
from notifications.models import Template
from routing.live.runtime import Runtime
from tests.routing.live.fakes import FakeServer


@pytest.fixture
def comment(hub: Callable[..., None], db: None) -> None:
    hub(USER_LANGUAGE="last_name")
    Template.objects.create(slug="comment", title="{{ who }} wrote", url="/posts/1/")
    Template.objects.create(slug="comment", language="de", title="{{ who }} schrieb")


async def heard(socket: FakeServer, user: Any) -> str:
    """The title of the next frame, which is what the database has."""
    frame = await socket.frame()
    assert frame["action"] in ("new", "sync")
    shown = frame["notification"] if frame["action"] == "new" else frame["changes"][-1]
    assert shown == await sync_to_async(inbox.get)(user.pk, shown["id"])
    return str(shown["event"]["title"])


@pytest.mark.parametrize("others", [0, 20])
async def test_each_socket_hears_its_users_language(
    runtime: Runtime, settled: Any, make_user: Any, comment: None, others: int
) -> None:
    """Whether recipients are told one by one or all by one message."""
    made = [await sync_to_async(make_user)(f"user{n}", last_name="de") for n in range(others)]
    anna = await sync_to_async(make_user)("anna", last_name="de-AT")
    jean = await sync_to_async(make_user)("jean", last_name="fr")
    texts = [await sync_to_async(tokens.make)(user) for user in (anna, jean)]
    headers = [[(b"authorization", f"Bearer {text}".encode())] for text in texts]
    async with FakeServer(headers=headers[0]) as annas, FakeServer(headers=headers[1]) as jeans:
        await annas.hello()
        await jeans.hello()
        await settled(anna, jean)
        for users in ([anna, jean, *made], EVERYONE):
            await asend_notification(
                "post_comment", users=users, template="comment", context={"who": "Bob"}
            )
            assert await heard(annas, anna) == "Bob schrieb"
            assert await heard(jeans, jean) == "Bob wrote"
