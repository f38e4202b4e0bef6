"""Every error has the one shape, whatever was wrong and whoever noticed it first."""

import json
import logging
from typing import Any

import pytest
from django.core.exceptions import SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.test import Client

from notifications import errors, inbox, tokens
from notifications.api.errors import STATUS, plain
from tests.notifications.conftest import Api, error_of, golden, same_shape

pytestmark = pytest.mark.django_db

MIB = 1024 * 1024


@pytest.mark.parametrize(
    "path",
    ["nothing/", "", "notifications/abc/", "notifications/1", "notifications/-1/", "events"],
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS"])
def test_an_unknown_path_is_404_in_the_same_shape(anybody: Api, method: str, path: str) -> None:
    found = error_of(anybody.ask(method, path, None), 404)
    assert found["code"] == "not_found"
    same_shape(found, golden("rest_error_not_found"))


def test_an_id_of_thousands_of_digits_is_nobodys(alices: Api) -> None:
    error_of(alices.get(f"notifications/{'9' * 30}/"), 404)
    error_of(alices.get(f"notifications/{'9' * 5000}/"), 404)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "notifications/", {"GET", "HEAD", "PATCH"}),
        ("PUT", "notifications/1/", {"GET", "HEAD", "PATCH", "DELETE"}),
        ("GET", "notifications/mark/", {"POST"}),
        ("DELETE", "notifications/summary/", {"GET", "HEAD"}),
        ("GET", "events/", {"POST"}),
        ("OPTIONS", "event-types/", {"GET", "HEAD"}),
        ("TRACE", "event-types/", {"GET", "HEAD"}),
        ("GET", "auth/token/", {"POST"}),
        ("POST", "schema/", {"GET", "HEAD"}),
        ("POST", "docs/", {"GET", "HEAD"}),
    ],
)
def test_405_names_the_methods_there_are(
    alices: Api, alice: Any, method: str, path: str, allowed: set[str]
) -> None:
    from django.contrib.auth.models import Permission

    alice.user_permissions.add(Permission.objects.get(codename="add_event"))
    answer = alices.ask(method, path, None)
    assert error_of(answer, 405)["code"] == "method_not_allowed"
    assert set(answer["Allow"].split(", ")) == allowed


def test_head_is_get_without_a_body(alices: Api) -> None:
    answer: Any = alices.client.head("/api/notifications/", headers=alices.headers)
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "image/*"])
def test_a_format_there_is_not_is_406(alices: Api, accept: str) -> None:
    found = error_of(alices.get("notifications/", Accept=accept), 406)
    assert found["code"] == "not_acceptable"


@pytest.mark.parametrize("accept", ["application/json", "*/*", "text/html, */*;q=0.1"])
def test_json_is_what_whoever_takes_anything_gets(alices: Api, accept: str) -> None:
    answer = alices.get("notifications/", Accept=accept)
    assert answer["Content-Type"] == "application/json"


def test_format_is_a_parameter_nobody_knows(alices: Api) -> None:
    assert alices.get("notifications/?format=xml&whatever=1").status_code == 200


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/plain", "[]"),
        ("application/x-www-form-urlencoded", "state=read"),
        ("multipart/form-data; boundary=b", "--b--"),
        ("application/xml", "<a/>"),
        ("application/vnd.api+json", "{}"),
    ],
)
def test_a_body_that_says_it_is_not_json_is_415(alices: Api, kind: str, body: str) -> None:
    for method, path in (("PATCH", "notifications/"), ("POST", "notifications/mark/")):
        answer = alices.ask(method, path, body, content_type=kind)
        assert error_of(answer, 415)["code"] == "unsupported_media_type"


def test_a_form_that_the_csrf_check_has_read_is_415_too(alice: Any, addresses: None) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    client.cookies["csrftoken"] = "x" * 32
    form = f"--b\r\nContent-Disposition: form-data; name=csrfmiddlewaretoken\r\n\r\n{'x' * 32}"
    answer = Api(client).ask(
        "POST",
        "notifications/mark/",
        form + "\r\n--b--\r\n",
        content_type="multipart/form-data; boundary=b",
    )
    error_of(answer, 415)


@pytest.mark.parametrize(
    "body",
    [
        *("{", "[1,", "nope", "'x'", "[1] [2]", "{a: 1}", '{"a": 1,}', "\x00", '["\n"]', " "),
        *("[NaN]", "[Infinity]", "[-Infinity]", "\ufeff[]", "[" + "9" * 5000 + "]"),
    ],
)
def test_a_body_that_is_not_json_is_a_parse_error(alices: Api, body: str) -> None:
    for method, path in (
        ("PATCH", "notifications/"),
        ("PATCH", "notifications/1/"),
        ("POST", "notifications/mark/"),
        ("PATCH", "notifications/filter/"),
    ):
        found = error_of(alices.ask(method, path, body), 400)
        same_shape(found, golden("rest_error_parse_error"))
        assert found["code"] == "parse_error"


@pytest.mark.parametrize("body", [b'["\xff"]', b"\xff\xfe[\x00]\x00", '["\xe9"]'.encode("latin-1")])
def test_a_body_that_is_not_utf_8_is_a_parse_error(alices: Api, body: bytes) -> None:
    for kind in ("application/json", "application/json; charset=latin-1"):
        answer = alices.ask("PATCH", "notifications/", body, content_type=kind)
        assert error_of(answer, 400)["code"] == "parse_error"


def test_a_body_in_utf_8_may_say_so(alices: Api) -> None:
    answer = alices.patch("notifications/", [], content_type="Application/JSON; charset=utf-8")
    assert answer.status_code == 200


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":'])
@pytest.mark.parametrize("closed", [True, False])
def test_json_of_a_hundred_thousand_levels_is_400(alices: Api, opening: str, closed: bool) -> None:
    closing = {"[": "]", '{"a":': "}", '[{"a":': "}]"}[opening]
    body = opening * 100_000 + ("1" + closing * 100_000 if closed else "")
    for method, path in (("PATCH", "notifications/"), ("POST", "auth/token/")):
        found = error_of(alices.ask(method, path, body), 400)
        assert found["code"] in {"invalid", "parse_error"}


def test_a_body_of_one_mib_is_read_and_not_a_byte_more(alices: Api) -> None:
    full = "[" + " " * (MIB - 2) + "]"
    assert alices.patch("notifications/", full).status_code == 200
    found = error_of(alices.patch("notifications/", full + " "), 413)
    assert found["code"] == "too_large"


def test_too_large_a_body_is_refused_before_it_is_read(anybody: Api) -> None:
    class Untouched:
        def read(self, *_: Any) -> bytes:
            raise AssertionError("the body was read")

        readline = read

    answer = anybody.client.post(
        "/api/auth/token/",
        content_type="application/json",
        **{"wsgi.input": Untouched(), "CONTENT_LENGTH": str(MIB + 1)},  # type: ignore[arg-type]
    )
    assert error_of(answer, 413)["code"] == "too_large"


def test_too_large_a_body_without_a_length_is_refused_too() -> None:
    from io import BytesIO

    from django.core.handlers.asgi import ASGIRequest

    from notifications.api.views.tokens import TokenView

    for size, status in ((MIB, 400), (MIB + 1, 413)):
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/api/auth/token/",
            "query_string": b"",
            "headers": [(b"content-type", b"application/json")],
        }
        request = ASGIRequest(scope, BytesIO(b"[" + b" " * (size - 2) + b"]"))
        answer = TokenView.as_view()(request)
        assert answer.status_code == status


@pytest.mark.parametrize("bad", ["\\u0000", "\\ud800", "\\uDFFF", "\\ud800\\ud800", "a\\udc00b"])
@pytest.mark.parametrize("body", ['{"BAD": 1}', '{"a": {"b": ["BAD"]}}', '["BAD"]'])
def test_nul_and_lone_surrogates_are_refused_in_keys_and_values(
    alices: Api, body: str, bad: str
) -> None:
    for method, path in (
        ("PATCH", "notifications/"),
        ("PATCH", "notifications/1/"),
        ("POST", "notifications/mark/"),
        ("PATCH", "notifications/filter/"),
    ):
        found = error_of(alices.ask(method, path, body.replace("BAD", bad)), 400)
        assert found["code"] == "invalid"


@pytest.mark.parametrize(
    "query",
    ["type=%00", "limit=1%00", "anything=a%00b", "%00=1", "type=%ED%A0%80", "type=%FF", "read=%C3"],
)
def test_nul_and_what_is_no_text_are_refused_in_query_strings(alices: Api, query: str) -> None:
    for path in ("notifications/", "notifications/changes/", "auth/tokens/", "event-types/"):
        assert error_of(alices.get(f"{path}?{query}"), 400)["code"] == "invalid"


@pytest.mark.parametrize("path", ["notifications/%00/", "%00", "notifications/1%00/", "x%00/"])
def test_nul_is_refused_in_paths(alices: Api, path: str) -> None:
    assert error_of(alices.get(path), 400)["code"] == "invalid"


def test_what_is_no_text_is_no_path(alices: Api) -> None:
    error_of(alices.get("notifications/%ED%A0%80/"), 404)


class Explodes:
    """Stands in for a function of the domain."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise self.error


@pytest.mark.parametrize("kind", [OperationalError, InterfaceError])
def test_trouble_with_the_database_is_503_and_says_when_to_come_back(
    alices: Api, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    monkeypatch.setattr(inbox, "summary", Explodes(kind("server closed: secret")))
    answer = alices.get("notifications/summary/")
    assert error_of(answer, 503)["code"] == "unavailable"
    assert int(answer["Retry-After"]) >= 1
    assert b"secret" not in answer.content


def test_trouble_while_signing_in_is_503_too(alices: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "find", Explodes(OperationalError("away")))
    assert error_of(alices.get("notifications/"), 503)["code"] == "unavailable"


def test_an_unforeseen_fault_is_500_and_logged_without_data(
    alices: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(inbox, "summary", Explodes(KeyError("Alice's secret")))
    with caplog.at_level(logging.INFO):
        answer = alices.get("notifications/summary/")
    found = error_of(answer, 500)
    assert found["code"] == "server_error"
    assert "secret" not in answer.content.decode() + caplog.text
    [record] = [record for record in caplog.records if record.name.startswith("notifications")]
    assert "SummaryView" in record.getMessage() and "KeyError" in record.getMessage()
    assert "in __call__" in record.getMessage()  # where it happened


def test_a_request_that_django_itself_finds_suspicious_is_400(
    alices: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "summary", Explodes(SuspiciousOperation("x")))
    assert error_of(alices.get("notifications/summary/"), 400)["code"] == "invalid"


def test_more_parameters_than_django_counts_is_400(alices: Api) -> None:
    error_of(alices.get("notifications/?" + "&".join(["a=1"] * 2000)), 400)


def test_every_error_of_the_domain_has_a_status() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    codes = {kind.code for kind in kinds if issubclass(kind, errors.HubError)}
    assert len(codes) > 5
    # templates cannot be asked for over HTTP
    asked = codes - {"unknown_template", "template_refused", "template_failed"}
    assert asked <= set(STATUS)
    mistakes = asked - {"idempotency_conflict"}
    assert {STATUS[code] for code in mistakes} == {400}


def test_an_error_names_at_most_a_few_fields(alices: Api) -> None:
    found = error_of(alices.post("notifications/mark/", {f"k{n}": 1 for n in range(5000)}), 400)
    assert 0 < len(found["fields"]) <= 20


def test_the_same_shape_is_there_for_pages_outside_of_the_api() -> None:
    answer = plain("server_error")
    assert answer.status_code == 500
    assert json.loads(answer.content)["code"] == "server_error"
    assert answer["Content-Type"] == "application/json"


def test_nothing_depends_on_the_settings_of_rest_framework(
    alices: Api, settings: Any, alice: Any
) -> None:
    settings.REST_FRAMEWORK = {"DEFAULT_RENDERER_CLASSES": [], "EXCEPTION_HANDLER": "nothing.x"}
    assert alices.get("notifications/").status_code == 200
    error_of(alices.get("notifications/?limit=0"), 400)


def test_views_run_in_no_transaction_of_the_request() -> None:
    from django.urls import get_resolver

    from tests.notifications.conftest import ADDRESSES

    [api, _] = get_resolver(ADDRESSES).url_patterns
    assert len(api.url_patterns) > 10
    for pattern in api.url_patterns:
        assert "default" in pattern.callback._non_atomic_requests
