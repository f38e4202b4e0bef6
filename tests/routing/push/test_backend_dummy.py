"""The backends that send nowhere: the address chooses the outcome, the terminal shows the words."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from routing.push.backends.console import ConsoleBackend
from routing.push.backends.dummy import DummyBackend, read_journal
from routing.push.outcomes import Address, Note, PayloadTooLarge, Prepared, Scope, Verdict
from tests.vendors.backend import everything_logged, opened, outcomes, send_one

pytestmark = pytest.mark.embedded  # no database: once is enough

NOTE = Note(title="Likes", body="Bob likes your post", collapse_id="e7", event_id=7)


@pytest.fixture
async def dummy() -> AsyncIterator[DummyBackend]:
    DummyBackend.journal.clear()
    async with opened(DummyBackend, {}) as found:
        assert isinstance(found, DummyBackend)
        yield found
    DummyBackend.journal.clear()


def to(token: str) -> Address:
    return Address(token=token)


RETRY = Verdict.RETRY
ROWS: list[tuple[str, dict[str, Any]]] = [
    ("ok-1", {"verdict": Verdict.SENT}),
    ("anything", {"verdict": Verdict.SENT}),
    ("dead-1", {"verdict": Verdict.GONE, "scope": Scope.DEVICE}),
    ("dead-x", {"verdict": Verdict.GONE, "gone_since": None}),
    (
        "dead-1700000000-x",
        {"verdict": Verdict.GONE, "gone_since": datetime.fromtimestamp(1_700_000_000, UTC)},
    ),
    ("retry-30-x", {"verdict": RETRY, "retry_after": 30.0, "scope": Scope.DELIVERY}),
    ("retry-x", {"verdict": RETRY, "retry_after": None}),
    ("busy-5-x", {"verdict": RETRY, "retry_after": 5.0, "scope": Scope.APPLICATION}),
    ("cut-x", {"verdict": RETRY, "may_have_arrived": True}),
    ("reject-x", {"verdict": Verdict.REFUSED, "suspends": False}),
    ("foreign-x", {"verdict": Verdict.REFUSED, "suspends": True}),
    ("config-x", {"verdict": Verdict.MISCONFIGURED, "scope": Scope.APPLICATION}),
]


@pytest.mark.parametrize(("token", "expected"), ROWS)
async def test_the_address_chooses_the_outcome(
    token: str, expected: dict[str, Any], dummy: DummyBackend
) -> None:
    outcome = await send_one(dummy, to(token), NOTE)
    assert {name: getattr(outcome, name) for name in expected} == expected


async def test_flap_fails_so_often_and_then_works(dummy: DummyBackend) -> None:
    verdicts = []
    for attempt in (1, 2, 3):
        message = dummy.render(NOTE, to("flap-2-x"), ref=1, attempt=attempt)
        verdicts.append((await outcomes(dummy, [message]))[1].verdict)
    assert verdicts == [RETRY, RETRY, Verdict.SENT]


async def test_slow_takes_its_time_and_others_do_not_wait(dummy: DummyBackend) -> None:
    batch = [dummy.render(NOTE, to(t), ref=t) for t in ("slow-200-x", "slow-200-y", "ok-1")]
    began = time.monotonic()
    found = [ref async for ref, _ in dummy.send(batch)]
    assert found[0] == "ok-1"
    assert 0.2 <= time.monotonic() - began < 0.4


async def test_hang_answers_only_when_its_time_is_up() -> None:
    class Hasty(DummyBackend):
        limits = replace(DummyBackend.limits, request_seconds=0.1)

    async with opened(Hasty, {}) as backend:
        outcome = await send_one(backend, to("hang-x"), NOTE)
    assert (outcome.verdict, outcome.may_have_arrived) == (RETRY, True)


async def test_crash_breaks_the_contract(dummy: DummyBackend) -> None:
    with pytest.raises(RuntimeError, match="told to crash"):
        await send_one(dummy, to("crash-x"), NOTE)


async def test_the_journal_says_what_was_handed_over(dummy: DummyBackend, tmp_path: Path) -> None:
    await send_one(dummy, to("ok-1"), NOTE)
    (entry,) = dummy.journal
    assert (entry.token, entry.outcome, entry.collapse_id) == ("ok-1", "sent", "e7")
    assert entry.said == {"title": "Likes", "body": "Bob likes your post", "event": 7}

    path = str(tmp_path / "journal")
    async with opened(DummyBackend, {"journal": path}) as first:
        async with opened(DummyBackend, {"journal": path}) as second:
            await asyncio.gather(
                send_one(first, to("ok-1"), NOTE), send_one(second, to("dead-1"), NOTE)
            )
    assert {line["token"]: line["outcome"] for line in read_journal(path)} == {
        "ok-1": "sent",
        "dead-1": "gone",
    }


@pytest.mark.parametrize("backend", [DummyBackend, ConsoleBackend])
async def test_sizes_are_limited_as_a_provider_limits_them(
    backend: type[DummyBackend] | type[ConsoleBackend],
) -> None:
    async with opened(backend, {}) as found:
        fits = found.render(Note(raw={backend.name: "x" * 4094}), to("ok-1"), ref=1)
        assert len(fits.body) == 4096
        with pytest.raises(PayloadTooLarge):
            found.render(Note(raw={backend.name: "x" * 4095}), to("ok-1"), ref=1)


@pytest.mark.parametrize("backend", [DummyBackend, ConsoleBackend])
async def test_they_are_for_debugging_and_log_nothing_secret(
    backend: type[DummyBackend] | type[ConsoleBackend], capsys: pytest.CaptureFixture[str]
) -> None:
    assert backend.debug
    address = to("ok-very-secret-token")
    with everything_logged() as lines:
        async with opened(backend, {}) as found:
            message = found.render(NOTE, address, ref=1)
            outcome = (await outcomes(found, [message]))[1]
    entries = [repr(entry) for entry in DummyBackend.journal]
    said = "\n".join([*lines, *entries, repr(message), repr(address), repr(outcome), repr(found)])
    assert "very-secret-token" not in said
    assert "Bob likes" not in said
    shown = capsys.readouterr().out
    assert "very-secret-token" not in shown
    assert ("Bob likes your post" in shown) is (backend is ConsoleBackend)
    DummyBackend.journal.clear()


def test_unknown_credentials_are_named() -> None:
    assert DummyBackend.check_credentials({"journal": "x"}) == []
    assert DummyBackend.check_credentials({"jurnal": "x"}) == ["jurnal is not known to dummy"]
    assert ConsoleBackend.check_credentials({"key": "x"}) == ["key is not known to console"]


async def test_a_generator_that_is_left_early_leaves_nothing_behind(dummy: DummyBackend) -> None:
    batch: list[Prepared] = [
        dummy.render(NOTE, to("ok-1" if i == 0 else "slow-60000-x"), ref=i) for i in range(5)
    ]
    before = asyncio.all_tasks()
    sending = dummy.send(batch)
    async for _ in sending:
        break
    await sending.aclose()
    assert asyncio.all_tasks() == before
