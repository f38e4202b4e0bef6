"""The OpenAPI schema: it is valid, complete, and shown without any network.

That real answers fit it is held by every test that uses `Api` (tests/notifications/conftest.py).
"""

import io
import re
from typing import Any

import pytest
from django.core.management import call_command
from django.urls import get_resolver
from jsonschema import Draft202012Validator

from notifications.api.errors import DETAILS, STATUS
from tests.notifications.conftest import ADDRESSES, GOLDEN, Api, error_of, fits, golden, openapi

pytestmark = pytest.mark.django_db

PROTOCOL = (GOLDEN.parent.parent / "docs" / "protocol.md").read_text(encoding="utf-8")
REST = PROTOCOL[PROTOCOL.index("## 5. REST") : PROTOCOL.index("## 6. WebSocket")]
#: The two roads have addresses and a code of their own beside this API.
OF_THE_ROADS = ("ws-ticket/", "devices/", "deliveries/", "preferences/", "push/")
#: What a service key may do, and by which scope.
SCOPES = {("POST", "events/"): "events:send", ("GET", "event-types/"): "read"}
CODES_OF_THE_ROADS = {"cannot_send", "token_elsewhere"}


def operations() -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), path.removeprefix("/api/")): operation
        for path, methods in openapi()["paths"].items()
        for method, operation in methods.items()
    }


def test_it_is_valid_and_nothing_had_to_be_guessed(addresses: None) -> None:
    output = io.StringIO()
    call_command("spectacular", validate=True, fail_on_warn=True, stdout=output)
    assert "openapi: 3.1" in output.getvalue()


def test_it_has_exactly_the_operations_of_the_protocol() -> None:
    written = re.findall(r"^\*\*`([A-Z]+) ([^`?]+)[^`]*`\*\*", REST, re.MULTILINE)
    assert len(written) > 10
    described = {(method, re.sub(r"{\w+}", "{id}", path)) for method, path in operations()}
    assert described == {one for one in written if not one[1].startswith(OF_THE_ROADS)}


def test_every_address_is_described_or_describes() -> None:
    [api, _] = get_resolver(ADDRESSES).url_patterns
    routes = {re.sub("<int:(.*?)>", r"{\1}", str(one.pattern)) for one in api.url_patterns}
    assert routes - {path for _, path in operations()} == {"schema/", "docs/", ""}


def test_every_code_of_the_protocol_has_its_status_and_no_other_is_used() -> None:
    table = PROTOCOL[PROTOCOL.index("| code | status |") :].partition("\n\n")[0]
    rows = re.findall(r"^\| `(\w+)` \| (\d+)? ?\|", table, re.MULTILINE)
    written = {code: int(status) for code, status in rows if status}
    assert {code: written[code] for code in written if code not in CODES_OF_THE_ROADS} == STATUS
    assert set(DETAILS) <= set(STATUS)


def test_every_operation_says_what_it_can_always_answer() -> None:
    for (method, path), operation in operations().items():
        answers = set(operation["responses"])
        assert {"400", "401", "405", "406", "429", "500", "503"} <= answers, path
        assert ("requestBody" in operation) == ({"413", "415"} <= answers), path
        open_to_all = path == "auth/token/"
        scope = SCOPES.get((method, path))
        keys = [{"serviceKey": [scope]}] if scope else []
        signed_in = [{"bearer": []}, *keys, {"session": []}]
        assert operation["security"] == ([{}] if open_to_all else signed_in), path
        assert ("403" in answers) == (not open_to_all), path
        for status in ("401", "405", "429", "503"):
            assert operation["responses"][status]["headers"], (path, status)


def test_basic_is_described_where_it_is_on(settings: Any) -> None:
    from drf_spectacular.generators import SchemaGenerator

    settings.HUB = {**settings.HUB, "BASIC_AUTHENTICATION": True}
    generator: Any = SchemaGenerator(urlconf=ADDRESSES)
    schema: Any = generator.get_schema(public=True)
    assert schema["components"]["securitySchemes"]["basic"]["scheme"] == "basic"
    operation = schema["paths"]["/api/notifications/"]["get"]
    assert operation["security"] == [{"basic": []}, {"bearer": []}, {"session": []}]


def test_every_parameter_of_the_protocol_is_described() -> None:
    described = {
        key: {
            one["name"]
            for one in operation.get("parameters", [])
            if one["in"] in ("query", "header")
        }
        for key, operation in operations().items()
    }
    assert described["GET", "notifications/"] == {
        "limit",
        "offset",
        "read",
        "state",
        "type",
        "before",
    }
    assert described["GET", "notifications/changes/"] == {"epoch", "since"}
    assert described["GET", "auth/tokens/"] == {"limit", "offset"}
    assert described["POST", "events/"] == {"Idempotency-Key"}
    assert described["GET", "notifications/summary/"] == {"If-None-Match"}
    tag = operations()["GET", "notifications/summary/"]["responses"]
    assert "ETag" in tag["200"]["headers"] and "ETag" in tag["304"]["headers"]


@pytest.mark.parametrize(
    ("name", "component"),
    [
        ("rest_list", "NotificationPage"),
        ("rest_list_before", "NotificationPage"),
        ("rest_notification", "Notification"),
        ("rest_changes", "ChangesAnswer"),
        ("rest_changes_last", "ChangesAnswer"),
        ("rest_changes_reset", "ChangesAnswer"),
        ("rest_mark", "Marked"),
        ("rest_summary", "Summary"),
        ("rest_filter", "Filter"),
        ("rest_token", "TokenMade"),
        ("rest_tokens", "TokenPage"),
        ("rest_event", "EventMade"),
        ("rest_request_token", "TokenBody"),
        ("rest_request_mark", "MarkBody"),
        ("rest_request_mark_by_ids", "MarkBody"),
        ("rest_request_event", "EventBody"),
        *(
            (path.stem, "Error")
            for path in sorted(GOLDEN.glob("rest_error_*.json"))
            if golden(path.stem)["code"] not in CODES_OF_THE_ROADS
        ),
    ],
)
def test_the_examples_fit(name: str, component: str) -> None:
    fits(golden(name), "components", "schemas", component)


@pytest.mark.parametrize(
    ("component", "wrong"),
    [
        ("MarkBody", {"state": "read"}),
        ("MarkBody", {"state": "read", "ids": [1], "up_to": 1}),
        ("MarkBody", {"state": "read", "ids": [1], "type": "x"}),
        ("MarkBody", {"state": "read", "ids": [1], "other": 1}),
        ("MarkBody", {"state": "expired", "ids": [1]}),
        ("EventBody", {"type": "x", "users": "alice"}),
        ("EventBody", {"type": "x"}),
        ("Tombstone", {"id": 1, "version": 1, "deleted": False}),
        ("ChangesAnswer", {"reset": True, "changes": [], "more": True, "epoch": "", "version": 1}),
        ("Error", {"code": "oops", "detail": ""}),
    ],
)
def test_and_what_is_wrong_does_not(component: str, wrong: Any) -> None:
    from jsonschema import ValidationError

    with pytest.raises(ValidationError):
        fits(wrong, "components", "schemas", component)


def test_every_schema_in_it_is_a_json_schema() -> None:
    for schema in openapi()["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_the_schema_is_json_and_open_to_everybody(anybody: Api) -> None:
    for headers in ({}, {"Authorization": "Bearer nonsense"}, {"Accept": "application/json"}):
        answer = anybody.get("schema/", **headers)
        assert answer.status_code == 200
        assert "json" in answer["Content-Type"]
        assert answer.json()["openapi"].startswith("3.1")


def test_the_page_is_open_to_everybody_and_loads_only_from_here(anybody: Api) -> None:
    page = anybody.get("docs/", Accept="text/html")
    assert page.status_code == 200 and page["Content-Type"].startswith("text/html")
    script = anybody.get("docs/?script=")
    for text in (page.content.decode(), script.content.decode()):
        assert "http://" not in text and "https://" not in text
    loaded = re.findall(r'(?:src|href)="([^"]*)"', page.content.decode())
    assert loaded and all(address.startswith("/") for address in loaded)
    assert "/api/schema/" in script.content.decode()


def test_what_the_page_loads_is_there() -> None:
    from django.contrib.staticfiles import finders

    for name in ("swagger-ui.css", "swagger-ui-bundle.js", "swagger-ui-standalone-preset.js"):
        assert finders.find(f"drf_spectacular_sidecar/swagger-ui-dist/{name}")


def test_errors_of_the_page_are_json_too(anybody: Api) -> None:
    assert error_of(anybody.get("docs/", Accept="application/json"), 406)["code"]
    error_of(anybody.get("docs/?x=%00"), 400)
