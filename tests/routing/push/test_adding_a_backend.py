"""docs/adding-a-backend.md is followed from its text alone: its backend is built and delivers."""

import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from routing.push.backends import registry
from routing.push.backends.base import PushBackend
from routing.push.outcomes import (
    Address,
    InvalidAddress,
    Note,
    PayloadTooLarge,
    UnsupportedOption,
    Verdict,
)
from tests.vendors.api import api
from tests.vendors.backend import everything_logged, local_peers, opened, outcomes

pytestmark = pytest.mark.embedded  # no database: once is enough

PAGE = Path(__file__).resolve().parents[3] / "docs" / "adding-a-backend.md"
LOFT = Address(token="DE-0001")
NOTE = Note(title="Likes", body="Bob is leaving Carol", options={"pigeon": {"colour": "grey"}})


@pytest.fixture
def pigeon() -> Iterator[type[PushBackend]]:
    """The class of the page, loaded as the page says."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    module = types.ModuleType("pigeons.backend")
    sys.modules.update({"pigeons": types.ModuleType("pigeons"), "pigeons.backend": module})
    exec(compile(blocks[0], str(PAGE), "exec"), module.__dict__)  # noqa: S102
    told: dict[str, Any] = {}
    exec(compile(blocks[1], str(PAGE), "exec"), told)  # noqa: S102
    with local_peers(**told["HUB"]):
        yield registry.load("pigeon")
    del sys.modules["pigeons"], sys.modules["pigeons.backend"]


@pytest.mark.parametrize(
    ("status", "headers", "verdict", "retry_after"),
    [
        (202, {}, Verdict.SENT, None),
        (400, {}, Verdict.REFUSED, None),
        (401, {}, Verdict.MISCONFIGURED, None),
        (410, {}, Verdict.GONE, None),
        (429, {}, Verdict.RETRY, 30.0),
        (429, {"Retry_After": "7"}, Verdict.RETRY, 7.0),
        (503, {}, Verdict.RETRY, None),
        (302, {"Location": "/elsewhere"}, Verdict.REFUSED, None),
    ],
)
async def test_it_delivers_and_judges(
    status: int,
    headers: dict[str, str],
    verdict: Verdict,
    retry_after: float | None,
    pigeon: type[PushBackend],
) -> None:
    async with api() as service:
        service.always(status, **headers)
        credentials = {"api_key": "verysecretkey", "base_url": service.base}
        with everything_logged() as lines:
            async with opened(pigeon, credentials) as backend:
                batch = [backend.render(NOTE, LOFT, ref=number) for number in range(20)]
                found = await outcomes(backend, batch)
    assert {(o.verdict, o.retry_after) for o in found.values()} == {(verdict, retry_after)}
    assert len(service.requests) == 20
    assert service.requests[0].path == "/lofts/DE-0001"
    assert service.requests[0].json["colour"] == "grey"
    assert not [line for line in lines if "verysecretkey" in line or "Carol" in line]


async def test_nobody_there(pigeon: type[PushBackend]) -> None:
    async with api() as service:
        base = service.base
    async with opened(pigeon, {"api_key": "k", "base_url": base}) as backend:
        found = await outcomes(backend, [backend.render(NOTE, LOFT, ref=1)])
    assert (found[1].verdict, found[1].may_have_arrived) == (Verdict.RETRY, False)


def test_it_checks(pigeon: type[PushBackend]) -> None:
    assert pigeon.check_credentials({"api_key": "k"}) == []
    assert len(pigeon.check_credentials({"kee": "k"})) == 2
    assert pigeon.clean_address(" de-0001", {})[0] == "DE-0001"
    with pytest.raises(InvalidAddress):
        pigeon.clean_address("crow", {})
    backend = pigeon({"api_key": "k"})
    with pytest.raises(PayloadTooLarge):
        backend.render(Note(body="x" * 300), LOFT, ref=1)
    with pytest.raises(UnsupportedOption):
        backend.render(Note(options={"pigeon": {"wings": 3}}), LOFT, ref=1)


def test_credentials_cannot_lead_elsewhere(pigeon: type[PushBackend]) -> None:
    with local_peers(debug=False), pytest.raises(InvalidAddress):
        pigeon({"api_key": "k", "base_url": "https://evil.example"})
