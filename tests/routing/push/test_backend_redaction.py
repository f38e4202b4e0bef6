"""The log filter hides what libraries and exceptions say of tokens, endpoints and keys."""

import io
import logging
from collections.abc import Iterator

import pytest

from routing.push.redaction import HIDDEN, QUIET, RedactSecrets, redact

pytestmark = pytest.mark.embedded  # no database: once is enough

TOKEN = "f" * 64
SECRETS = [
    ("POST https://fcm.googleapis.com/fcm/send/dQw4:APA91bX failed", "dQw4"),
    ("<ClientResponse(https://updates.push.services.mozilla.com/wpush/v2/gAA) [403]>", "gAA"),
    ("to https://db5p.notify.windows.com/w/?token=BQYAAAD%2b", "BQYAAAD"),
    ("to https://web.push.apple.com:443/QOvhp", "QOvhp"),
    ("https://ntfy.example.org/up/" + "aB3-" * 10, "aB3-aB3-"),
    (f'HTTP Request: POST https://api.push.apple.com/3/device/{TOKEN} "HTTP/2 200"', TOKEN),
    ("/3/device/abcdef0123", "abcdef0123"),
    (f"device {TOKEN} is gone", TOKEN),
    ("Authorization: Bearer ya29.c.b0AXv0zTN", "b0AXv0zTN"),
    ("{'Authorization': 'vapid t=eyJ0.eyJh.MEQC, k=BDd3_hVL9f'}", "BDd3_hVL9f"),
    ("authorization=Key os_v2_app_xyz", "os_v2_app_xyz"),
    ("got ya29.a0AfB_byC", "a0AfB_byC"),
    ("jwt eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJUIn0.c2lnbmF0dXJl", "c2lnbmF0dXJl"),
    ("'p256dh': 'BCVxsr7N_eNgVRqv', 'auth': 'BTBZMqHH6r4Tts7J'", "BTBZMqHH6r4Tts7J"),
    ('{"private_key": "MIGHAgEAMBMG"}', "MIGHAgEAMBMG"),
    ("client_secret=Abc123defg&scope=x", "Abc123defg"),
    ("-----BEGIN PRIVATE KEY-----\nMIGH\nAgEA\n-----END PRIVATE KEY-----", "AgEA"),
    ("-----BEGIN EC PRIVATE KEY-----\\nMIGHcut", "MIGHcut"),
    ("token bk3RNwTe3H0:APA91bHun4MxP5egoKMwt2KZFBaFUH-1RYqx", "APA91bHun4"),
]
HARMLESS = [
    "send outcome=sent device=3f2a status=201 ms=35",
    "GET https://hub.example.com/api/notifications/?limit=20",
    "see https://docs.example.com/push/adding-a-backend",
    "token 3f2a1b for alice",
    "sha256 9f86d081884c",
]


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(RedactSecrets())
    logger = logging.getLogger("tests.redaction")
    logger.addHandler(handler)
    logger.propagate = False
    yield stream
    logger.removeHandler(handler)
    logger.propagate = True


@pytest.mark.parametrize(("text", "secret"), SECRETS)
def test_what_is_secret_is_hidden(text: str, secret: str) -> None:
    assert secret in text
    assert secret not in redact(text)
    assert HIDDEN in redact(text)


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_not_stays(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(("text", "secret"), SECRETS)
def test_arguments_and_exceptions_are_cleaned_too(
    text: str, secret: str, written: io.StringIO
) -> None:
    logger = logging.getLogger("tests.redaction.child")
    logger.error("failed with %s", text)
    try:
        raise ValueError(text)
    except ValueError:
        logger.exception("failed")
    said = written.getvalue()
    assert secret not in said
    assert "Traceback" in said


def test_a_record_whose_arguments_do_not_fit_is_left_to_logging(written: io.StringIO) -> None:
    record = logging.LogRecord("x", logging.INFO, "x", 1, "%d %d", ("one",), None)
    assert RedactSecrets().filter(record)


def test_libraries_that_write_tokens_are_told_to_be_quiet() -> None:
    assert {"httpx", "httpcore", "hpack", "aioapns"} <= QUIET.keys()
