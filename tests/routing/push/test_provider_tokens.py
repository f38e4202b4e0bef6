"""All processes use one APNs token at a time, whoever renews it."""

import asyncio
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, connections

from routing.push import provider_tokens
from routing.push.backends import apns_issued, apns_token
from routing.push.provider_tokens import ProviderToken, issued_at
from tests.vendors.apns import apns_peer
from tests.vendors.backend import local_peers

NOW = 1_700_000_000
RENEW = apns_token.RENEW


@pytest.mark.django_db
def test_it_is_renewed_when_it_is_old_and_not_before() -> None:
    assert issued_at("k", at=NOW, before=NOW - RENEW) == NOW
    later = NOW + RENEW
    assert issued_at("k", at=later, before=later - RENEW) == NOW
    assert issued_at("k", at=later + 1, before=later + 1 - RENEW) == later + 1
    assert issued_at("other", at=NOW, before=NOW - RENEW) == NOW


@pytest.mark.django_db
def test_a_time_from_a_clock_that_was_wrong_is_replaced() -> None:
    ProviderToken.objects.create(key="k", issued_at=NOW + 3600)
    assert issued_at("k", at=NOW, before=NOW - RENEW) == NOW


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("there", [False, True])
def test_of_several_at_once_one_renews(there: bool) -> None:
    if there:
        ProviderToken.objects.create(key="k", issued_at=NOW - 2 * RENEW)

    def ask(number: int) -> int:
        try:
            return issued_at("k", at=NOW + number, before=NOW - RENEW)
        finally:
            connections["default"].close()

    with ThreadPoolExecutor(4) as threads:
        found = set(threads.map(ask, range(8)))
    assert len(found) == 1
    assert ProviderToken.objects.get().issued_at in found


CHILD = """
import asyncio, json, sys
import django
from django.conf import settings
given = json.loads(sys.stdin.read())
django.setup()
settings.DATABASES["default"].update(given["database"])
settings.DEBUG = True
settings.HUB = {**settings.HUB, "PUSH_LOCAL_PEERS": True}
from routing.push.backends.apns import ApnsBackend
from routing.push.outcomes import Address, Note
async def main():
    backend = ApnsBackend(given["credentials"])
    await backend.open()
    phones = [Address(token=f"{n:04x}", extra={"environment": "production"}) for n in range(50)]
    batch = [backend.render(Note(body="x"), phone, ref=n) for n, phone in enumerate(phones)]
    found = [outcome.verdict.value async for _, outcome in backend.send(batch)]
    await backend.aclose()
    print(json.dumps(sorted(set(found))))
asyncio.run(main())
"""


@pytest.mark.django_db(transaction=True)
async def test_two_processes_and_many_connections_use_one_token() -> None:
    keys = ("ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT")
    database = {key: str(connection.settings_dict[key]) for key in keys}
    with local_peers():
        async with apns_peer(streams=10) as peer:
            given = json.dumps({"database": database, "credentials": peer.credentials()})
            children = [
                await asyncio.create_subprocess_exec(
                    sys.executable, "-c", CHILD, stdin=subprocess.PIPE, stdout=subprocess.PIPE
                )
                for _ in range(2)
            ]
            async with asyncio.timeout(60):
                said = await asyncio.gather(
                    *(child.communicate(given.encode()) for child in children)
                )
            stats: dict[str, Any] = await peer.stats()
    assert [json.loads(out) for out, _ in said] == [["sent"], ["sent"]]
    assert stats["connections"] > 2
    assert stats["tokens"] == 1


def test_the_apps_share_it() -> None:
    assert apns_issued._store is provider_tokens.store
