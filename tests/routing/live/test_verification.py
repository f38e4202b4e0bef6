"""A socket ends with its session, token or user: at once where somebody says so, else in time."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session
from django.test import Client

from notifications.models import Token
from routing.live import runtime as runtimes
from routing.live.credentials import Credential, ended
from routing.live.runtime import Runtime
from tests.routing.live.conftest import ORIGIN
from tests.routing.live.fakes import FakeServer
from tests.waiting import await_for

BYE = {"action": "bye", "code": 4501, "retry_after": None}

SignedIn = Callable[..., FakeServer]


@pytest.fixture
def browser(alice: Any, password: str) -> Client:
    client = Client()
    assert client.login(username="alice", password=password)
    return client


def socket_of(browser: Client) -> FakeServer:
    cookie = f"sessionid={browser.cookies['sessionid'].value}"
    return FakeServer(headers=[(b"cookie", cookie.encode()), (b"origin", ORIGIN.encode())])


async def assert_cut(socket: FakeServer) -> None:
    frames, code = await socket.closed()
    assert (frames[-1], code) == (BYE, 4501)


async def test_a_logout_ends_the_sockets_of_that_session_only(
    runtime: Runtime, browser: Client, signed_in: SignedIn, settled: Any, alice: Any
) -> None:
    async with socket_of(browser) as tab, signed_in() as phone:
        await tab.hello()
        await phone.hello()
        await settled(alice)
        await sync_to_async(browser.logout)()
        await assert_cut(tab)
        assert (await phone.ask(action="pong"))["action"] == "done"


async def test_a_deleted_token_ends_its_sockets(
    signed_in: SignedIn, settled: Any, alice: Any
) -> None:
    async with signed_in() as socket:
        await socket.hello()
        await settled(alice)
        await Token.objects.all().adelete()
        await assert_cut(socket)


@pytest.mark.parametrize("change", ["deactivated", "deleted"])
async def test_a_user_who_goes_takes_their_sockets(
    signed_in: SignedIn, settled: Any, browser: Client, alice: Any, change: str
) -> None:
    async with signed_in() as phone, socket_of(browser) as tab:
        await phone.hello()
        await tab.hello()
        await settled(alice)
        if change == "deleted":
            await alice.adelete()
        else:
            alice.is_active = False
            await alice.asave()
        await assert_cut(phone)
        await assert_cut(tab)


async def test_a_new_password_ends_sessions_but_not_tokens(
    signed_in: SignedIn, settled: Any, browser: Client, alice: Any
) -> None:
    async with signed_in() as phone, socket_of(browser) as tab:
        await phone.hello()
        await tab.hello()
        await settled(alice)
        alice.set_password("another")
        await sync_to_async(alice.save)()
        await assert_cut(tab)
        assert (await phone.ask(action="pong"))["action"] == "done"


async def test_without_a_word_it_is_found_in_time(
    hub: Any, transactional_db: None, browser: Client, token: str
) -> None:
    hub(VERIFY=timedelta(milliseconds=200))
    runtime = runtimes.running()
    try:
        await await_for(lambda: not runtime.listener.deaf)
        headers = [(b"authorization", f"Bearer {token}".encode())]
        async with socket_of(browser) as tab, FakeServer(headers=headers) as phone:
            await tab.hello()
            await phone.hello()
            await phone.nothing(within=0.5)  # good ones stay
            await Session.objects.all().adelete()  # no signal tells of it
            await assert_cut(tab)
            await get_user_model().objects.aupdate(is_active=False)
            await assert_cut(phone)
    finally:
        await runtimes.stop()


async def test_a_database_that_is_away_cuts_nobody(
    signed_in: SignedIn, runtime: Runtime, alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import OperationalError

    from routing.live import verification

    tries = []

    def away(credentials: Any) -> Any:
        tries.append(credentials)
        raise OperationalError("gone")

    monkeypatch.setattr(verification, "ended", away)
    async with signed_in() as socket:
        await socket.hello()
        runtime.verifier.hint(alice.pk)
        await await_for(lambda: tries)
        assert (await socket.ask(action="pong"))["action"] == "done"


def test_many_are_looked_at_by_few_queries(
    make_user: Callable[..., Any], password: str, django_assert_num_queries: Any
) -> None:
    credentials = []
    for number in range(30):
        user = make_user(f"user{number}")
        client = Client()
        assert client.login(username=user.username, password=password)
        credentials.append(Credential(key=user.pk, session_key=client.session.session_key or ""))
        made = Token.objects.create(user=user, digest=str(number))
        credentials.append(Credential(key=user.pk, token_id=made.pk))
    foreign = Credential(key=credentials[0].key, session_key=credentials[2].session_key)
    stolen = Credential(key=credentials[0].key, token_id=credentials[3].token_id)
    with django_assert_num_queries(3):
        assert ended([*credentials, foreign, stolen]) == {foreign, stolen}


def test_a_session_that_ran_out_has_ended(alice: Any, browser: Client) -> None:
    from django.utils import timezone

    one = Credential(key=alice.pk, session_key=browser.session.session_key or "")
    assert ended([one]) == set()
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
    assert ended([one]) == {one}
