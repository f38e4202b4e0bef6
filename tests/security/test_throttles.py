"""Who asks too often is told to wait, on a real server, and nobody else is."""

import time
from typing import Any

import httpx
import pytest
from django.contrib.auth.models import Permission

from notifications import tokens
from tests.processes import Processes, ServerProcess
from tests.security.doors import browser_on, log_in
from tests.services import RedisServer

#: By the day: what is counted here does not begin anew within the test.
RATES = "user=8/d,token=4/d,send=2/d"


@pytest.fixture
def server(processes: Processes) -> ServerProcess:
    return processes.serve(env={"HUB_THROTTLES": RATES})


def asked(server: ServerProcess, method: str, path: str, **options: Any) -> httpx.Response:
    with httpx.Client(base_url=server.url, trust_env=False, timeout=30) as client:
        return client.request(method, path, **options)


def assert_throttled(answer: httpx.Response) -> None:
    assert answer.status_code == 429
    assert answer.json()["code"] == "throttled"
    assert int(answer.headers["Retry-After"]) >= 1


def test_requests_of_one_user(server: ServerProcess, alice: Any, bob: Any) -> None:
    both = [{"Authorization": f"Bearer {tokens.make(alice)}"} for _ in range(2)]
    codes = [
        asked(server, "GET", "/api/event-types/", headers=both[number % 2]).status_code
        for number in range(8)
    ]
    assert codes == [200] * 8
    # counted by user, not by token
    for headers in [*both, {"Authorization": f"Bearer {tokens.make(alice)}"}]:
        assert_throttled(asked(server, "GET", "/api/notifications/summary/", headers=headers))
        assert_throttled(asked(server, "POST", "/api/ws-ticket/", headers=headers))
    others = {"Authorization": f"Bearer {tokens.make(bob)}"}
    assert asked(server, "GET", "/api/event-types/", headers=others).status_code == 200


def test_sends_of_one_user(server: ServerProcess, alice: Any) -> None:
    alice.user_permissions.add(Permission.objects.get(codename="add_event"))
    headers = {"Authorization": f"Bearer {tokens.make(alice)}"}
    body = {"type": "post_like", "users": []}
    answers = [asked(server, "POST", "/api/events/", headers=headers, json=body) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, 429]
    assert asked(server, "GET", "/api/event-types/", headers=headers).status_code == 200


def test_passwords_tried_from_one_address(server: ServerProcess, alice: Any, password: str) -> None:
    """Neither another name nor a header that claims another address begins anew."""
    for number in range(4):
        body = {"username": f"name{number}", "password": "wrong"}
        claimed = {"X-Forwarded-For": f"192.0.2.{number}", "Forwarded": f"for=192.0.2.{number}"}
        answer = asked(server, "POST", "/api/auth/token/", json=body, headers=claimed)
        assert answer.status_code == 401
    good = {"username": "alice", "password": password}
    for headers in ({}, {"X-Forwarded-For": "198.51.100.7"}, {"X-Real-IP": "198.51.100.7"}):
        assert_throttled(asked(server, "POST", "/api/auth/token/", json=good, headers=headers))


def test_who_is_not_signed_in_uses_up_nobodys_share(server: ServerProcess, alice: Any) -> None:
    for _ in range(10):
        assert asked(server, "GET", "/api/event-types/").status_code == 401
    headers = {"Authorization": f"Bearer {tokens.make(alice)}"}
    assert asked(server, "GET", "/api/event-types/", headers=headers).status_code == 200


def test_processes_that_share_a_cache_count_together(
    processes: Processes, redis_server: RedisServer, alice: Any, password: str
) -> None:
    env = {"HUB_THROTTLES": "user=4/d,login=2/d", "HUB_CACHE_URL": f"{redis_server.url}/1"}
    both = [processes.serve(env=env) for _ in range(2)]
    headers = {"Authorization": f"Bearer {tokens.make(alice)}"}
    codes = [
        asked(both[number % 2], "GET", "/api/event-types/", headers=headers).status_code
        for number in range(6)
    ]
    assert codes == [200] * 4 + [429] * 2
    tried = []
    for number in range(3):
        with browser_on(both[number % 2]) as browser:
            tried.append(log_in(browser, "alice", "wrong").status_code)
    assert tried == [200, 200, 429]
    # a cache that hangs holds nobody up, and throttles nobody
    redis_server.pause()
    began = time.monotonic()
    assert asked(both[0], "GET", "/api/event-types/", headers=headers).status_code == 200
    assert time.monotonic() - began < 5
