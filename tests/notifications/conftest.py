"""The API as a client sees it: people with sessions and tokens, and what every answer must keep."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import resolve
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from notifications import tokens

GOLDEN = Path(__file__).parent.parent / "golden"
ADDRESSES = "tests.notifications.addresses"

#: Keys whose value may be null; an example shows one of the two.
NULLABLE = {
    "archived_at",
    "author",
    "count",
    "cursor",
    "data",
    "expired_at",
    "expires_at",
    "last_used_at",
    "next",
    "previous",
    "read_at",
    "seen_at",
}


@cache
def openapi() -> dict[str, Any]:
    from drf_spectacular.generators import SchemaGenerator

    generator: Any = SchemaGenerator(urlconf=ADDRESSES)
    found: dict[str, Any] = generator.get_schema(public=True)
    return json.loads(json.dumps(found))


def fits(value: Any, *pointer: str) -> None:
    """Fails unless `value` is what the OpenAPI schema has at this place."""
    registry: Registry[Any] = Registry().with_resource(
        "urn:hub", DRAFT202012.create_resource(openapi())
    )
    place = "/".join(part.replace("~", "~0").replace("/", "~1") for part in pointer)
    Draft202012Validator({"$ref": f"urn:hub#/{place}"}, registry=registry).validate(value)


class Api:
    """One person's client. Every answer it gets is held against the OpenAPI schema."""

    def __init__(self, client: Client, *, headers: dict[str, str] | None = None) -> None:
        self.client = client
        self.headers = headers or {}

    def get(self, path: str, **headers: str) -> Any:
        return self.ask("GET", path, None, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.ask("POST", path, body, **headers)

    def patch(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.ask("PATCH", path, body, **headers)

    def delete(self, path: str, **headers: str) -> Any:
        return self.ask("DELETE", path, None, **headers)

    def ask(self, method: str, path: str, body: Any, **headers: str) -> Any:
        """`body` is text or bytes as it is sent, or whatever becomes JSON; headers have _ for -."""
        if body is not None and not isinstance(body, bytes | str):
            body = json.dumps(body)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer: Any = self.client.generic(
            method,
            "/api/" + path,
            data=body or b"",
            content_type=named.pop("content-type", "application/json"),
            headers={**self.headers, **named},
        )
        as_described(method, path, body, answer)
        return answer


def as_described(method: str, path: str, body: Any, answer: HttpResponse) -> None:
    """Fails unless the schema has this answer to this operation."""
    if answer.status_code >= 400:
        assert answer["Content-Type"] == "application/json", answer.content
        fits(json.loads(answer.content), "components", "schemas", "Error")
    if answer.status_code == 401:
        assert answer["WWW-Authenticate"] == "Bearer"
    route = resolve("/api/" + path.partition("?")[0], urlconf=ADDRESSES).route
    template = "/" + route.replace("<int:", "{").replace(">", "}")
    operation = openapi()["paths"].get(template, {}).get(method.lower())
    if operation is None:
        assert answer.status_code in (400, 404, 405) or path[:5] in ("docs/", "schem")
        return
    place = ("paths", template, method.lower(), "responses", str(answer.status_code))
    described = operation["responses"].get(str(answer.status_code))
    assert described is not None, f"{method} {path} answers {answer.status_code}"
    if "content" in described:
        fits(json.loads(answer.content), *place, "content", "application/json", "schema")
    else:
        assert not answer.content
    for header in described.get("headers", {}):
        assert header in answer.headers
    if answer.status_code < 300 and body and "requestBody" in operation:
        place = ("paths", template, method.lower(), "requestBody", "content", "application/json")
        fits(json.loads(body), *place, "schema")


@pytest.fixture
def addresses(settings: Any) -> None:
    settings.ROOT_URLCONF = ADDRESSES


@pytest.fixture
def anybody(addresses: None) -> Api:
    """Has not signed in."""
    return Api(Client())


@pytest.fixture
def browser_of(addresses: None) -> Callable[[Any], Api]:
    """A browser in which this user has logged in."""

    def make(user: Any) -> Api:
        client = Client()
        client.force_login(user)
        return Api(client)

    return make


@pytest.fixture
def app_of(addresses: None) -> Callable[[Any], Api]:
    """An app with a bearer token of this user."""

    def make(user: Any) -> Api:
        return Api(Client(), headers={"Authorization": f"Bearer {tokens.make(user)}"})

    return make


@pytest.fixture
def alices(app_of: Callable[[Any], Api], alice: Any) -> Api:
    """Alice's app."""
    return app_of(alice)


def golden(name: str) -> Any:
    return json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))


def same_shape(found: Any, example: Any, *, key: str = "") -> None:
    """Fails unless `found` has the keys and the JSON types of the example, all the way down."""
    if key == "data" or (key in NULLABLE and (found is None or example is None)):
        return
    if isinstance(example, bool | str) or example is None:
        assert type(found) is type(example), (key, found)
    elif isinstance(example, int | float):
        assert isinstance(found, int | float) and not isinstance(found, bool), (key, found)
    elif isinstance(example, list):
        assert isinstance(found, list), (key, found)
        for element in found:
            alike = [one for one in example if _keys(one) == _keys(element)]
            assert alike, (key, element)
            same_shape(element, alike[0])
    else:
        assert isinstance(found, dict) and set(found) == set(example), (key, found)
        for name, value in example.items():
            same_shape(found[name], value, key=name)


def _keys(value: Any) -> Any:
    return set(value) if isinstance(value, dict) else None


def error_of(answer: Any, status: int) -> dict[str, Any]:
    """The body of an error answer, which has the one shape of errors and this status."""
    assert answer.status_code == status, answer.content
    body: dict[str, Any] = answer.json()
    assert set(body) in ({"code", "detail"}, {"code", "detail", "fields"})
    return body
