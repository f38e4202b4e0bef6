"""Every operation of the API, read from its own OpenAPI schema, and what a request to each holds.

Whoever adds an operation has nothing to do here, unless it has a body or a path that names
something: then the tests ask for a line in BODIES or OBJECTS, and say so.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.test import Client

#: Operations that nobody has to sign in for; each with its reason.
OPEN = {
    "token_create": "an app has nothing but a name and a password when it begins",
}

#: Operations that a user may do only with a Django permission: what others are answered.
NEEDS_PERMISSION = {"event_create": "hub_notifications.add_event"}

#: A path parameter → the object of the owner that it names, given what the owner has.
OBJECTS: dict[str, Callable[["Owned"], Any]] = {
    "event_id": lambda owned: owned.event_id,
    "token_id": lambda owned: owned.token_id,
    "device_id": lambda owned: owned.device_id,
}

#: An operation with a body → one that is in order, about things of the owner where it can be.
BODIES: dict[str, Callable[["Owned"], Any]] = {
    "token_create": lambda owned: {"username": owned.username, "password": owned.password},
    "event_create": lambda owned: {"type": "post_like", "users": [owned.user_id], "title": "Hi"},
    "notification_list_read": lambda owned: [owned.event_id],
    "notification_read": lambda owned: {},
    "notification_mark": lambda owned: {"state": "archived", "ids": [owned.event_id]},
    "filter_update": lambda owned: {"types": {"post_like": {"push": False}}},
    "device_create": lambda owned: {"backend": "fcm", "token": "another-device-of-its-own"},
    "device_update": lambda owned: {"name": "renamed"},
    "preferences_update": lambda owned: {"time_zone": "Europe/Berlin"},
}

#: An id that is in range and that nobody has.
NOBODYS = 2**53 - 2

METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True, kw_only=True)
class Owned:
    """What the owner has that others try to reach."""

    user_id: Any
    username: str
    password: str
    event_id: int
    token_id: int
    device_id: int


@dataclass(frozen=True)
class Operation:
    id: str
    method: str
    template: str
    parameters: tuple[str, ...]
    has_body: bool
    is_open: bool

    @property
    def changes_something(self) -> bool:
        return self.method != "GET"

    def path(self, owned: Owned) -> str:
        return self._filled(lambda name: OBJECTS[name](owned))

    def path_of_nobodys(self) -> str:
        return self._filled(lambda name: NOBODYS)

    def _filled(self, value: Callable[[str], Any]) -> str:
        return re.sub(r"\{(\w+)\}", lambda match: str(value(match[1])), self.template)

    def body(self, owned: Owned) -> str | None:
        return json.dumps(BODIES[self.id](owned)) if self.has_body else None

    def ask(
        self, client: Client, owned: Owned, *, path: str = "", headers: Mapping[str, str] = {}
    ) -> Any:
        return client.generic(
            self.method,
            path or self.path(owned),
            data=self.body(owned) or "",
            content_type="application/json",
            headers=dict(headers),
        )


@cache
def operations() -> list[Operation]:
    """All operations that the hub's own project serves."""
    from drf_spectacular.generators import SchemaGenerator

    generator: Any = SchemaGenerator(urlconf="hub.urls")
    schema: Any = generator.get_schema(public=True)
    return [
        Operation(
            id=described["operationId"],
            method=method.upper(),
            template=template,
            parameters=tuple(re.findall(r"\{(\w+)\}", template)),
            has_body="requestBody" in described,
            is_open={} in described.get("security", []),
        )
        for template, methods in schema["paths"].items()
        for method, described in methods.items()
        if method in METHODS
    ]


def closed() -> list[Operation]:
    return [operation for operation in operations() if not operation.is_open]


def named(operations: list[Operation]) -> Any:
    """For `pytest.mark.parametrize("operation", ...)`."""
    import pytest

    return [pytest.param(operation, id=operation.id) for operation in operations]
