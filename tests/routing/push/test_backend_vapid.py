"""VAPID keys: their texts, their signatures, and the command that makes them."""

import base64
import json
import stat
from io import StringIO
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from django.core.management import CommandError, call_command

from routing.push import vapid
from routing.push.vapid import LIFETIME, RENEW, InvalidKey, VapidKey, subject_problem

pytestmark = pytest.mark.embedded  # no database: once is enough

ORIGIN = "https://web.push.apple.com"
SUBJECT = "mailto:ops@example.com"
KEY = VapidKey.generate()


def exported(key: Any, encoding: serialization.Encoding) -> bytes:
    raw: bytes = key.private_bytes(
        encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return raw


def test_a_key_is_read_in_the_forms_that_other_tools_print() -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    raw = private.private_numbers().private_value.to_bytes(32, "big")
    pem = exported(private, serialization.Encoding.PEM).decode()
    der = base64.b64encode(exported(private, serialization.Encoding.DER)).decode()
    texts = [vapid.encode(raw), base64.b64encode(raw).decode(), pem, der, f"\n{pem}\n"]
    assert len({VapidKey.read(text).public for text in texts}) == 1
    assert len({VapidKey.read(text).id for text in texts}) == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "secret words",
        "!!!",
        vapid.encode(b"\0" * 32),
        vapid.encode(b"\xff" * 32),
        exported(rsa.generate_private_key(65537, 2048), serialization.Encoding.PEM).decode(),
        exported(ec.generate_private_key(ec.SECP384R1()), serialization.Encoding.PEM).decode(),
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
    ],
)
def test_anything_else_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(InvalidKey) as caught:
        VapidKey.read(text)
    assert not text or text not in str(caught.value)


def test_a_header_is_kept_for_half_its_life() -> None:
    first = KEY.authorization(ORIGIN, SUBJECT, at=1_000_000)
    assert KEY.authorization(ORIGIN, SUBJECT, at=1_000_000 + RENEW - 1) == first
    assert KEY.authorization("https://other.example", SUBJECT, at=1_000_001) != first
    later = KEY.authorization(ORIGIN, SUBJECT, at=1_000_000 + RENEW)
    assert later != first
    claims = jwt.decode(later[8:].partition(",")[0], options={"verify_signature": False})
    assert claims == {"aud": ORIGIN, "sub": SUBJECT, "exp": 1_000_000 + RENEW + LIFETIME}
    # A clock that was set back.
    assert KEY.authorization(ORIGIN, SUBJECT, at=1_000_000) != later


def test_many_origins_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vapid, "CACHE_SIZE", 3)
    key = VapidKey.generate()
    for number in range(10):
        key.authorization(f"https://{number}.example", SUBJECT)
    assert len(key._headers) == 3


@pytest.mark.parametrize(
    "subject", [SUBJECT, "mailto:a.b+c@sub.example.co.uk", "https://example.com/contact"]
)
def test_subjects_that_push_services_take(subject: str) -> None:
    assert subject_problem(subject) == ""


@pytest.mark.parametrize(
    "subject",
    [
        "",
        "ops@example.com",
        "mailto:",
        "mailto: ops@example.com",
        "mailto:<ops@example.com>",
        "mailto:ops@localhost",
        "mailto:ops@hub.local",
        "mailto:ops@127.0.0.1",
        "https://localhost/",
        "https://hub.test/",
        "http://example.com",
        "https://",
        "mailto:a@b@example.com",
    ],
)
def test_subjects_that_apple_answers_403_to(subject: str) -> None:
    assert subject_problem(subject)


def generated(*arguments: str) -> str:
    out = StringIO()
    call_command("generate_vapid_keys", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_prints_a_pair_that_belongs_together() -> None:
    found = json.loads(generated("--json"))
    key = VapidKey.read(found["private_key"])
    assert (key.public, key.id) == (found["public_key"], found["id"])
    lines = dict(line.split("=", 1) for line in generated().splitlines())
    assert lines.keys() == found.keys()
    assert lines["public_key"] != found["public_key"]


def test_the_command_never_replaces_a_key(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "vapid"
    said = generated("--file", str(path))
    assert "private_key" not in said
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    assert VapidKey.read(text).public in said
    with pytest.raises(CommandError, match="never replaced"):
        generated("--file", str(path))
    assert path.read_text() == text
    assert [found.name for found in path.parent.iterdir()] == ["vapid"]


def test_a_kept_key_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "vapid"
    first = vapid.kept_private_key(path)
    assert vapid.kept_private_key(path) == first
    assert VapidKey.read(first)
    # Of two that start at once one makes the file, the other reads it.
    vapid.write_private_key(path, VapidKey.generate(), exist_ok=True)
    assert vapid.kept_private_key(path) == first
