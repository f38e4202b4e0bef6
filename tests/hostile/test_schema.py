"""Requests made up from the OpenAPI schema: none finds a fault, and every answer is described."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schemathesis
from django.contrib.auth.models import Permission
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from notifications import send_notification, tokens
from notifications.models import Token
from tests.processes import ServerProcess

#: Requests of each kind for each operation. They are the same in every run (`derandomize`).
EXAMPLES = 25

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


def described() -> Any:
    """The hub's schema, as its server serves it."""
    from drf_spectacular.generators import SchemaGenerator

    generator: Any = SchemaGenerator(urlconf="hub.urls")
    return schemathesis.openapi.from_dict(generator.get_schema(public=True))


OPERATIONS = {
    found.ok().definition.raw["operationId"]: found.ok()
    for found in described().get_all_operations()
}


@pytest.fixture
def headers(server: ServerProcess, alice: Any) -> Iterator[dict[str, str]]:
    """Of Alice, who has some notifications, and a token that no made-up request ends."""
    alice.user_permissions.add(Permission.objects.get(codename="add_event"))
    text = tokens.make(alice)
    Token.objects.filter(digest=tokens.digest(text)).update(id=2**60)
    for number in range(5):
        send_notification("post_like", users=alice, title=f"Number {number}")
    yield {"Authorization": f"Bearer {text}"}
    assert tokens.find(text) is not None, "a made-up request has ended the session of the test"


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("name", OPERATIONS)
def test_made_up_requests(
    server: ServerProcess, headers: dict[str, str], name: str, mode: GenerationMode
) -> None:
    operation = OPERATIONS[name]
    if mode is GenerationMode.NEGATIVE and not can_be_wrong(operation):
        return  # there is nothing about it that could be

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def ask(case: Any) -> None:
        case.headers = {**(case.headers or {}), **headers}
        case.call_and_validate(base_url=server.url, checks=CHECKS, timeout=20)

    run: Callable[[], None] = ask
    run()


def can_be_wrong(operation: Any) -> bool:
    raw = operation.definition.raw
    return "requestBody" in raw or any(
        parameter["in"] in ("query", "path") for parameter in raw.get("parameters", ())
    )
