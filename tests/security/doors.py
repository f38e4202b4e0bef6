"""Knocks at the doors of a running server as browsers and apps do: log in, open a socket."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.processes import ServerProcess

ANSWER = 10.0  # seconds


def socket_to(
    server: ServerProcess,
    *,
    token: str | None = None,
    cookie: str = "",
    origin: str | None = None,
    subprotocols: Sequence[str] = (),
    query: str = "",
    headers: Mapping[str, str] = {},
) -> ClientConnection:
    """An open socket; raises `InvalidStatus` where the server answers HTTP."""
    more = dict(headers)
    if token is not None:
        more["Authorization"] = f"Bearer {token}"
    if cookie:
        more["Cookie"] = cookie
    options: dict[str, Any] = {"compression": None, "proxy": None, "open_timeout": ANSWER}
    return connect(
        server.ws_url + query,
        origin=origin,  # type: ignore[arg-type]
        additional_headers=more,
        subprotocols=list(subprotocols) or None,  # type: ignore[arg-type]
        close_timeout=1,
        **options,
    )


def ticket_for(text: str) -> list[str]:
    """The subprotocols that carry a ticket."""
    return ["hub.v1", f"ticket.{text}"]


def knock(server: ServerProcess, **options: Any) -> str | int:
    """What the server says first: "hello", or the close code, or the HTTP status that refuses."""
    try:
        with socket_to(server, **options) as socket:
            try:
                return str(next_frame(socket)["action"])
            except ConnectionClosed as closed:
                return code_of(closed)
    except InvalidStatus as refused:
        return refused.response.status_code


def next_frame(socket: ClientConnection, *, timeout: float = ANSWER) -> dict[str, Any]:
    """The next frame but pings."""
    while True:
        frame: dict[str, Any] = json.loads(socket.recv(timeout=timeout))
        if frame["action"] != "ping":
            return frame


def closed_with(socket: ClientConnection, *, timeout: float = ANSWER) -> int:
    """The close code; frames that come before are passed over."""
    while True:
        try:
            next_frame(socket, timeout=timeout)
        except ConnectionClosed as closed:
            return code_of(closed)


def is_open(socket: ClientConnection) -> bool:
    """Whether the server answers on it."""
    socket.send('{"action": "pong", "ref": "open?"}')
    try:
        while next_frame(socket).get("ref") != "open?":
            pass
    except ConnectionClosed:
        return False
    return True


def code_of(closed: ConnectionClosed) -> int:
    return closed.rcvd.code if closed.rcvd else 1006


@contextmanager
def browser_on(server: ServerProcess) -> Iterator[httpx.Client]:
    """A browser that has not logged in yet."""
    with httpx.Client(base_url=server.url, timeout=30, trust_env=False) as client:
        yield client


def log_in(client: httpx.Client, name: str, password: str) -> httpx.Response:
    form = {"username": name, "password": password, "csrfmiddlewaretoken": form_token(client)}
    return client.post("/login/", data=form)


def form_token(client: httpx.Client, path: str = "/login/") -> str:
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', client.get(path).text)
    assert found is not None, f"{path} has no form"
    return found[1]


def cookies_of(client: httpx.Client) -> str:
    return "; ".join(f"{name}={value}" for name, value in client.cookies.items())


def csrf(client: httpx.Client) -> dict[str, str]:
    """The header with which a page of ours changes something."""
    return {"X-CSRFToken": client.cookies["csrftoken"]}
