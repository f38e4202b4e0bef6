"""OneSignal's own client against our OneSignal: the peer of the tests speaks as the real one."""

import asyncio
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from routing.push.backends.onesignal import OneSignalBackend
from routing.push.outcomes import Address, Note
from tests.vendors.api import Request, Said, api
from tests.vendors.backend import local_peers, opened, send_one

pytestmark = [
    pytest.mark.embedded,  # no database: once is enough
    # The generated client is as it is.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:onesignal"),
    pytest.mark.filterwarnings("ignore::SyntaxWarning"),
]

APP = str(uuid.UUID(int=1))
KEY = "os_v2_app_verysecretkey"
ONE, TWO = str(uuid.UUID(int=11)), str(uuid.UUID(int=12))


@pytest.fixture(autouse=True)
def on_this_machine() -> Iterator[None]:
    with local_peers():
        yield


def create(base: str, **fields: Any) -> Any:
    """As OneSignal's documentation shows it; runs in a thread, for it waits."""
    import onesignal
    from onesignal.api import default_api

    configuration = onesignal.Configuration(host=base, rest_api_key=KEY)
    with onesignal.ApiClient(configuration) as client:
        notification = onesignal.model.notification.Notification(app_id=APP, **fields)
        return default_api.DefaultApi(client).create_notification(notification)


def only_one(request: Request) -> Said:
    asked = request.json["include_subscription_ids"]
    wrong = [each for each in asked if each != ONE]
    errors = {"errors": {"invalid_player_ids": wrong}} if wrong else {}
    return Said(200, {"id": "n-1", "external_id": None, **errors})


async def test_the_official_client_and_ours_ask_for_the_same() -> None:
    async with api() as service:
        service.answer = only_one
        from onesignal.model.language_string_map import LanguageStringMap

        found = await asyncio.to_thread(
            create,
            service.base,
            contents=LanguageStringMap(en="Bob likes it"),
            headings=LanguageStringMap(en="Likes"),
            include_subscription_ids=[ONE, TWO],
            target_channel="push",
            ttl=60,
            idempotency_key=str(uuid.UUID(int=5)),
        )
        credentials = {"app_id": APP, "api_key": KEY, "base_url": service.base}
        async with opened(OneSignalBackend, credentials) as backend:
            note = Note(title="Likes", body="Bob likes it", ttl=60)
            sent = await send_one(backend, Address(token=ONE), note)
        theirs, ours = service.requests
    assert found.id == "n-1"
    assert sent.provider_id == "n-1"
    assert theirs.path.partition("?")[0] == ours.path.partition("?")[0] == "/notifications"
    assert theirs.headers["Authorization"] == ours.headers["Authorization"] == f"Key {KEY}"
    same = ("app_id", "contents", "headings", "target_channel", "ttl")
    assert {key: theirs.json[key] for key in same} == {key: ours.json[key] for key in same}
    # What only one of the two says is a list of one and a key that is new each time.
    ours_only = ours.json.keys() - theirs.json.keys()
    assert not ours_only, ours_only
