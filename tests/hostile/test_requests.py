"""Requests that are far too large, nested, or no HTTP: refused, cheaply, and by nobody's death."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from notifications.models import Event
from tests.hostile.conftest import MB, Memory, quick
from tests.hostile.raw import status_of
from tests.processes import ServerProcess
from tests.security.doors import browser_on, form_token, log_in
from tests.security.operations import NOBODYS, operations

CHUNK = 64 * 1024
TEN_MB = b'"' + b"x" * (10 * MB) + b'"'


@pytest.fixture
def app(server: ServerProcess, token: str) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with httpx.Client(base_url=server.url, headers=headers, timeout=30, trust_env=False) as client:
        yield client


def path_of(operation: Any) -> str:
    return str(operation.path_of_nobodys())


WITH_BODY = [operation for operation in operations() if operation.has_body]


class TestLargeBodies:
    def test_10_mb_with_a_length(self, app: httpx.Client, memory: Memory) -> None:
        for operation in WITH_BODY:
            answer, took = quick(
                lambda it=operation: app.request(it.method, path_of(it), content=TEN_MB)
            )
            assert (answer.status_code, answer.json()["code"]) == (413, "too_large"), operation.id
            assert took < 5
        assert memory.grown < 40

    def test_10_mb_whose_length_nobody_says(self, app: httpx.Client, memory: Memory) -> None:
        for operation in WITH_BODY:
            answer = app.request(operation.method, path_of(operation), content=chunks(TEN_MB))
            assert (answer.status_code, answer.json()["code"]) == (413, "too_large"), operation.id
        assert memory.grown < 40

    def test_10_mb_to_operations_that_look_at_no_body(
        self, app: httpx.Client, memory: Memory
    ) -> None:
        for operation in operations():
            if not operation.has_body:
                answer = app.request(operation.method, path_of(operation), content=TEN_MB)
                assert answer.status_code == 413, operation.id
        assert memory.grown < 40

    def test_many_at_once(self, app: httpx.Client, memory: Memory) -> None:
        def ask(_: int) -> int:
            return app.post("/api/notifications/mark/", content=chunks(TEN_MB)).status_code

        with ThreadPoolExecutor(10) as pool:
            assert set(pool.map(ask, range(30))) == {413}
        assert memory.grown < 80

    def test_forms_of_pages(
        self, server: ServerProcess, alice: Any, password: str, memory: Memory
    ) -> None:
        with browser_on(server) as browser:
            log_in(browser, "alice", password)
            field = form_token(browser, "/logout/")
            large = {"csrfmiddlewaretoken": field, "type": "post_like", "title": "x" * 10 * MB}
            file = {"title": ("x", b"x" * 10 * MB)}
            many = {"csrfmiddlewaretoken": field, **{f"f{number}": "" for number in range(5000)}}
            for path in ("/send/", "/login/", "/admin/login/", "/logout/"):
                for options in (
                    {"data": large},
                    {"data": many},
                    {"files": {**file, "csrfmiddlewaretoken": (None, field)}},
                    {"content": TEN_MB},
                ):
                    answer = browser.post(path, **options)  # type: ignore[arg-type]
                    assert answer.status_code < 500, (path, list(options))
        assert not Event.objects.filter(title__startswith="xxx").exists()
        assert memory.grown < 80

    def test_a_body_that_never_comes_holds_nobody_up(
        self, server: ServerProcess, app: httpx.Client, token: str
    ) -> None:
        head = (
            f"POST /api/events/ HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
            f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\n"
            "Content-Length: 1000\r\n\r\n{"
        )
        waiting = []
        try:
            for _ in range(100):
                connection = socket.create_connection(("127.0.0.1", server.port), timeout=10)
                connection.sendall(head.encode())
                waiting.append(connection)
            answer, took = quick(lambda: app.get("/api/notifications/summary/"))
            assert answer.status_code == 200
            assert took < 3
        finally:
            for connection in waiting:
                connection.close()


def chunks(data: bytes) -> Iterator[bytes]:
    for at in range(0, len(data), CHUNK):
        yield data[at : at + CHUNK]


class TestRecipients:
    """A million of them are refused before anybody is looked up, let alone told."""

    @pytest.fixture(autouse=True)
    def nothing_is_stored(self, server: ServerProcess) -> Iterator[None]:
        yield
        assert not Event.objects.exists()

    def event(self, users: str) -> bytes:
        return f'{{"type": "post_like", "title": "x", "users": {users}}}'.encode()

    def test_a_million_ids(self, app: httpx.Client, memory: Memory) -> None:
        ids = json.dumps(list(range(1, 1_000_001)))
        answer, took = quick(lambda: app.post("/api/events/", content=self.event(ids)))
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
        assert took < 3
        assert memory.grown < 30

    @pytest.mark.parametrize("element", ["1", '"a"', "[]", "null", "1e9", '""'])
    def test_as_many_as_a_body_holds(self, app: httpx.Client, memory: Memory, element: str) -> None:
        room = (MB - 100) // (len(element) + 1)
        users = "[" + ",".join([element] * room) + "]"
        answer, took = quick(lambda: app.post("/api/events/", content=self.event(users)))
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_audience")
        assert len(answer.content) < 1000
        assert took < 3
        assert memory.grown < 60

    def test_ten_thousand_names_that_nobody_has(self, app: httpx.Client) -> None:
        users = json.dumps([f"nobody{number}" for number in range(10_000)])
        answer, took = quick(lambda: app.post("/api/events/", content=self.event(users)))
        assert (answer.status_code, answer.json()["code"]) == (400, "unknown_user")
        assert len(answer.content) < 1000
        assert took < 5

    @pytest.mark.parametrize("path", ["notifications/", "notifications/mark/"])
    def test_hundreds_of_thousands_of_ids_to_mark(self, app: httpx.Client, path: str) -> None:
        ids = "[" + ",".join(["1"] * 500_000) + "]"
        method, body = ("PATCH", ids) if path == "notifications/" else ("POST", ids)
        if method == "POST":
            body = f'{{"state": "read", "ids": {ids}}}'
        answer, took = quick(lambda: app.request(method, "/api/" + path, content=body.encode()))
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
        assert took < 3


class TestHardToRead:
    DEEP = {
        "lists": b"[" * 500_000 + b"]" * 500_000,
        "half of them": b"[" * 1_000_000,
        "objects": b'{"a":' * 150_000 + b"1" + b"}" * 150_000,
        "within data": b'{"type":"post_like","users":[],"data":' + b"[" * 7000 + b"]" * 7000 + b"}",
        "a long number": b"9" * 1_000_000,
        "a long number within": b'{"state":"read","up_to":' + b"9" * 900_000 + b"}",
        "a long fraction": b"0." + b"9" * 1_000_000,
        "an exponent": b"1e999999999",
        "many keys": b"{" + b",".join(b'"%d":1' % n for n in range(90_000)) + b"}",
        "one key many times": b"{" + b",".join([b'"type":1'] * 100_000) + b"}",
        "a long key": b'{"' + b"k" * 900_000 + b'":1}',
        "many types": b'{"types":{' + b",".join(b'"%d":{}' % n for n in range(80_000)) + b"}}",
        "a long type": b'{"types":{"' + b"k" * 900_000 + b'":{"inbox":true}}}',
        "many enabled": b'{"types_enabled":[' + b",".join([b'"x"'] * 200_000) + b"]}",
        "many enabled by id": b'{"types_enabled":[' + b",".join([b'{"id":1}'] * 90_000) + b"]}",
        "a long name": b'{"type":"' + b"t" * 900_000 + b'","users":[]}',
        "a long user": b'{"type":"post_like","users":["' + b"u" * 900_000 + b'"]}',
        "escapes": b'"' + b"\\u0041" * 170_000 + b'"',
        "surrogates": b'"' + b"\\ud800" * 170_000 + b'"',
        "blanks": b" " * 1_000_000 + b"[]",
        "NUL": b"\x00" * 1000,
        "UTF-16": "[]".encode("utf-16"),
        "a BOM": b"\xef\xbb\xbf[]",
        "latin-1": '"é"'.encode("latin-1"),
    }

    @pytest.mark.parametrize("what", DEEP)
    def test_every_operation_refuses_it_quickly(
        self, app: httpx.Client, memory: Memory, what: str
    ) -> None:
        for operation in WITH_BODY:
            answer, took = quick(
                lambda it=operation: app.request(it.method, path_of(it), content=self.DEEP[what])
            )
            # 404: an object, which is all that is asked of the body, for what nobody has
            allowed = {400, 401, 404} if operation.parameters else {400, 401}
            assert answer.status_code in allowed or answer.json() == {"changed": 0, "version": 0}, (
                operation.id
            )
            assert len(answer.content) < 5000
            assert took < 5
        # What parsing takes stays with the allocator, once for each of a few threads; it does not
        # add up: sixty such bodies in a row to one operation end at 25 MB.
        assert memory.grown < 250

    def test_a_depth_that_is_stored_can_be_read_again(self, app: httpx.Client) -> None:
        """What goes in must come out, by every door, or not go in."""
        for depth in (10, 100, 500, 900, 990, 1000, 2000, 8000):
            data = "[" * depth + "]" * depth
            body = f'{{"type":"post_like","users":["alice"],"data":{data}}}'
            answer = app.post("/api/events/", content=body.encode())
            assert answer.status_code in (201, 400), depth
            assert app.get("/api/notifications/").status_code == 200, depth
            assert app.get("/api/notifications/changes/?since=0").status_code == 200


class TestNoHttp:
    def test_lines_that_are_none(self, server: ServerProcess, memory: Memory) -> None:
        host = f"Host: 127.0.0.1:{server.port}\r\n".encode()
        wrong = {
            "noise": bytes(range(256)) * 10,
            "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 500,
            "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "no version": b"GET /\r\n\r\n",
            "a method of 1 MB": b"G" * MB + b" / HTTP/1.1\r\n" + host + b"\r\n",
            "two lengths": b"POST / HTTP/1.1\r\n"
            + host
            + b"Content-Length: 1\r\n" * 1
            + b"Content-Length: 2\r\n\r\nxx",
            "length and chunks": b"POST /api/events/ HTTP/1.1\r\n"
            + host
            + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n",
            "a length below zero": b"POST / HTTP/1.1\r\n" + host + b"Content-Length: -1\r\n\r\n",
            "a chunk of 2^64": b"POST / HTTP/1.1\r\n"
            + host
            + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
            "NUL in a header": b"GET / HTTP/1.1\r\n" + host + b"X: \x00\r\n\r\n",
            "a folded header": b"GET / HTTP/1.1\r\n" + host + b"X: a\r\n b\r\n\r\n",
            "no host": b"GET / HTTP/1.1\r\n\r\n",
            "two hosts": b"GET / HTTP/1.1\r\n" + host + b"Host: evil.example\r\n\r\n",
            "another host": b"GET /login/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
            "a host that is none": b"GET /login/ HTTP/1.1\r\nHost: [::1\r\n\r\n",
        }
        for what, data in wrong.items():
            status = status_of(server.port, data)
            assert status is None or 300 <= status < 500, (what, status)
            assert server.is_live(), what
        assert memory.grown < 30

    @pytest.mark.parametrize("what", ["headers", "one header", "an address"])
    def test_heads_without_end(self, server: ServerProcess, memory: Memory, what: str) -> None:
        start = b"GET /api/event-types/" + (
            b"" if what == "an address" else b" HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Filler: "
        )
        filler = b"x" * 8000 + (b"\r\nX-Filler: " if what == "headers" else b"")
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
            connection.sendall(start)
            end = time.monotonic() + 5
            with contextlib.suppress(ConnectionError, TimeoutError):
                while time.monotonic() < end:
                    connection.sendall(filler * 10)
            assert time.monotonic() < end, "it is cut off"
        assert memory.grown < 20

    def test_a_head_that_is_too_long_is_told_so(self, server: ServerProcess) -> None:
        filler = b"X-Filler: " + b"x" * 8000 + b"\r\n"
        head = b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        assert status_of(server.port, head + filler * 5 + b"\r\n") == 200
        assert status_of(server.port, head + filler * 80 + b"\r\n") == 431

    def test_a_long_body_is_no_long_head(self, app: httpx.Client) -> None:
        """And the connection serves on."""
        ids = json.dumps({"state": "read", "ids": list(range(1000)), "x": "y"}).encode()
        padded = b" " * 200_000 + json.dumps({"state": "read", "ids": []}).encode()
        for _ in range(3):
            assert app.post("/api/notifications/mark/", content=padded).status_code == 200
            assert app.post("/api/notifications/mark/", content=ids).status_code == 400
            assert app.get("/api/notifications/summary/").status_code == 200

    @pytest.mark.parametrize(
        "path",
        [
            "/api/notifications/?" + "x" * 60_000,
            "/api/notifications/?" + "&".join(f"a{n}=1" for n in range(5000)),
            "/api/notifications/?limit=" + "9" * 60_000,
            "/api/notifications/?before=" + "9" * 60_000,
            "/api/notifications/?read=" + "9" * 60_000,
            "/api/notifications/?type=" + "%F0%9F%98%80" * 4000,
            "/api/notifications/changes/?epoch=" + "e" * 30_000 + "&since=" + "9" * 30_000,
            "/api/notifications/changes/?epoch=x&since=" + "1." * 20_000,
            "/api/notifications/" + "9" * 60_000 + "/",
            "/api/auth/tokens/" + "9" * 60_000 + "/",
            f"/api/notifications/{NOBODYS}/?" + "%" * 1000,
            "/api/" + "a/" * 20_000,
            "/api/notifications/%00/",
            "/api/notifications/?type=%00",
            "/api/notifications/?type=%FF",
            "/api/%FF%FE/",
            "/static/" + "../" * 1000 + "etc/passwd",
            "/static/%2e%2e/%2e%2e/etc/passwd",
            "/static/%00",
            "/" + "%C3%A9" * 10_000,
        ],
        ids=lambda path: path[:40],
    )
    def test_addresses(self, server: ServerProcess, token: str, path: str) -> None:
        request = (
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
            f"Authorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        )
        (status, took) = quick(lambda: status_of(server.port, request.encode()))
        assert status is not None and (status == 200 or 400 <= status < 500), status
        assert took < 3
