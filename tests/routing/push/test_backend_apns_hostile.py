"""APNs at its worst: each message gets exactly one outcome, in time, with one signed token."""

import asyncio
import json
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import pytest

from routing.push.backends import apns_issued, apns_pool
from routing.push.backends.apns import ApnsBackend, Sending
from routing.push.backends.apns_wire import Result
from routing.push.outcomes import Address, Limits, Note, Outcome, Prepared, Verdict
from tests.vendors import node
from tests.vendors.apns import TOPIC, apns_peer
from tests.vendors.backend import local_peers, opened, outcomes
from tests.waiting import await_for

pytestmark = pytest.mark.embedded  # no database: once is enough

NOTE = Note(title="Likes", body="Bob likes your post", ttl=60, badge=3, collapse_id="event-7")
LIMIT = 3.0  # seconds that a request may take here


class Hasty(ApnsBackend):
    """Waits three seconds where the real one waits fifteen, and looks at the clock."""

    limits: ClassVar[Limits] = Limits(
        max_payload=4096, max_ttl=30 * 24 * 3600, concurrency=500, request_seconds=LIMIT
    )

    def __init__(self, credentials: Mapping[str, Any]) -> None:
        super().__init__(credentials)
        #: Seconds from a request's turn to its end.
        self.took: list[float] = []

    async def _judge(self, sending: Sending, result: Result) -> Outcome | None:
        assert sending.request is not None
        self.took.append(time.monotonic() - sending.request.queued)
        return await super()._judge(sending, result)


@pytest.fixture(autouse=True)
def on_this_machine() -> Iterator[None]:
    shared = apns_issued.share_through(apns_issued.alone)
    with local_peers():
        yield
    apns_issued.share_through(shared)


def device(prefix: str, number: int) -> Address:
    return Address(token=f"{prefix}{number:062x}", extra={"environment": "production"})


def message(backend: ApnsBackend, prefix: str, number: int) -> Prepared:
    return backend.render(NOTE, device(prefix, number), ref=(prefix, number))


async def send_all(backend: ApnsBackend, *groups: tuple[str, int]) -> dict[str, Counter[Any]]:
    """(prefix, how many) each, mixed; the outcomes by prefix."""
    batch = [message(backend, prefix, n) for prefix, count in groups for n in range(count)]
    batch.sort(key=lambda each: each.ref[1])
    found: dict[str, Counter[Any]] = {}
    for (prefix, _), outcome in (await outcomes(backend, batch)).items():
        found.setdefault(prefix, Counter())[outcome.verdict, outcome.reason] += 1
    return found


SENT = (Verdict.SENT, "HTTP 200")
OK = "00"


async def test_two_thousand_rejections_in_a_row_on_one_connection() -> None:
    async with apns_peer() as peer, opened(ApnsBackend, peer.credentials()) as backend:
        assert isinstance(backend, ApnsBackend)
        found = await send_all(backend, ("50", 2000))
        assert found == {"50": {(Verdict.RETRY, "InternalServerError"): 2000}}
        after = await send_all(backend, (OK, 100))
        assert after == {OK: {SENT: 100}}
        stats = await peer.stats()
    assert stats["tokens"] == 1
    assert stats["connections"] <= apns_pool.MAX_CONNECTIONS
    assert (stats["twice"], stats["faults"]) == (0, [])


async def test_an_answer_without_a_body_and_one_in_two_frames() -> None:
    async with apns_peer() as peer, opened(ApnsBackend, peer.credentials()) as backend:
        assert isinstance(backend, ApnsBackend)
        found = await send_all(backend, ("5e", 20), ("5f", 20), (OK, 20))
    assert found == {
        "5e": {(Verdict.RETRY, "HTTP 503"): 20},
        "5f": {(Verdict.REFUSED, "BadDeviceToken"): 20},
        OK: {SENT: 20},
    }


async def test_refused_streams_are_sent_again_as_they_were_not_processed() -> None:
    async with apns_peer() as peer, opened(ApnsBackend, peer.credentials()) as backend:
        assert isinstance(backend, ApnsBackend)
        found = await send_all(backend, ("6b", 200))
        assert found == {"6b": {SENT: 200}}
        # One that is always refused comes to an end too, and certainly has not arrived.
        batch = [message(backend, "5c", number) for number in range(5)]
        endless = await outcomes(backend, batch)
        stats = await peer.stats()
    assert {(o.verdict, o.may_have_arrived) for o in endless.values()} == {(Verdict.RETRY, False)}
    assert stats["twice"] == 0


async def test_a_stall_ends_in_time_and_holds_up_nobody() -> None:
    async with apns_peer() as peer, opened(Hasty, peer.credentials()) as backend:
        assert isinstance(backend, ApnsBackend)
        began = time.monotonic()
        found = await send_all(backend, ("5d", 10), (OK, 300))
        took = time.monotonic() - began
        assert (await send_all(backend, (OK, 10))) == {OK: {SENT: 10}}
    assert found == {"5d": {(Verdict.RETRY, "TimeoutError"): 10}, OK: {SENT: 300}}
    assert LIMIT <= took < 2 * LIMIT


async def test_goaway_with_forty_under_way() -> None:
    """The half that the peer had begun with is answered, the other goes to another connection."""
    async with apns_peer(streams=1000) as peer, opened(Hasty, peer.credentials()) as backend:
        assert isinstance(backend, ApnsBackend)
        # 20 of the 40 are sent again; those of the same kind would never be forty once more.
        batch = [message(backend, "6a", number) for number in range(40)]
        sending = asyncio.ensure_future(outcomes(backend, batch))

        async def has_gone_away() -> bool:
            return bool((await peer.stats())["goaways"])

        await await_for(has_gone_away)
        more = await send_all(backend, (OK, 100))
        found = await sending
        stats = await peer.stats()
    assert more == {OK: {SENT: 100}}
    counts = Counter(o.verdict for o in found.values())
    assert counts == {Verdict.SENT: 20, Verdict.RETRY: 20}, counts
    assert stats["connections"] >= 2
    assert (stats["twice"], stats["tokens"]) == (0, 1)


async def test_the_limit_on_streams_drops_to_one_and_refuses_what_is_under_way() -> None:
    async with (
        apns_peer(refuses=True, latency=5) as peer,
        opened(Hasty, peer.credentials()) as backend,
    ):
        assert isinstance(backend, ApnsBackend)
        found = await send_all(backend, ("41", 20), (OK, 300))
        stats = await peer.stats()
    assert found == {"41": {(Verdict.GONE, "Unregistered"): 20}, OK: {SENT: 300}}
    assert stats["refused"] > 0
    assert (stats["twice"], stats["tokens"]) == (0, 1)


async def test_retry_after_is_read() -> None:
    async with apns_peer() as peer, opened(ApnsBackend, peer.credentials()) as backend:
        assert isinstance(backend, ApnsBackend)
        (outcome,) = (await outcomes(backend, [message(backend, "29", 1)])).values()
    assert (outcome.verdict, outcome.retry_after) == (Verdict.RETRY, 7.0)


#: What becomes of a message; or, for what was lost with a connection or found no room, RETRY.
EXPECTED = {
    OK: (4400, Verdict.SENT),
    "41": (100, Verdict.GONE),
    "40": (100, Verdict.REFUSED),
    "50": (100, Verdict.RETRY),
    "5e": (50, Verdict.RETRY),
    "5f": (50, Verdict.REFUSED),
    "29": (50, Verdict.RETRY),
    "6b": (100, Verdict.SENT),
    "5d": (10, Verdict.RETRY),
    "6a": (40, Verdict.RETRY),
}


@pytest.mark.parametrize("refuses", [False, True])
async def test_five_thousand_messages_get_one_outcome_each(refuses: bool) -> None:
    assert sum(count for count, _ in EXPECTED.values()) == 5000
    async with (
        apns_peer(latency=2, streams=1000, refuses=refuses) as peer,
        opened(Hasty, peer.credentials()) as backend,
    ):
        assert isinstance(backend, Hasty)
        groups = [(prefix, count) for prefix, (count, _) in EXPECTED.items()]
        found = await send_all(backend, *groups)  # `outcomes` asserts: one each
        stats = await peer.stats()
    for prefix, (count, verdict) in EXPECTED.items():
        assert found[prefix].total() == count
        others = {each for each, _ in found[prefix]} - {verdict}
        assert others <= {Verdict.RETRY, Verdict.SENT if prefix == "6a" else Verdict.RETRY}
    # With one stream left, a message that is never answered holds up all others.
    assert found[OK][SENT] >= (1 if refuses else 4000)
    # For a stream, and then for its answer; the rest is a busy machine's.
    assert max(backend.took) < 2 * LIMIT + 2
    assert (stats["tokens"], stats["twice"]) == (1, 0)


async def test_a_connection_that_is_cut_is_replaced() -> None:
    async with apns_peer(latency=50) as peer, opened(Hasty, peer.credentials()) as backend:
        assert isinstance(backend, ApnsBackend)
        assert await send_all(backend, (OK, 5)) == {OK: {SENT: 5}}
        sending = asyncio.ensure_future(send_all(backend, (OK, 50)))
        await asyncio.sleep(0.03)
        for connection in backend._pools["production"]._connections:
            connection.abort()
        cut = await sending
        assert cut[OK].total() == 50
        assert await send_all(backend, (OK, 5)) == {OK: {SENT: 5}}


async def test_nobody_there() -> None:
    async with apns_peer() as peer:
        credentials = peer.credentials()
    async with opened(Hasty, credentials) as backend:
        assert isinstance(backend, ApnsBackend)
        found = await send_all(backend, (OK, 50))
    ((verdict, reason),) = found[OK]
    assert (verdict, reason) == (Verdict.RETRY, "ConnectionRefusedError")


async def test_who_leaves_early_ends_the_requests() -> None:
    async with apns_peer() as peer, opened(ApnsBackend, peer.credentials()) as backend:
        assert isinstance(backend, ApnsBackend)
        batch = [message(backend, prefix, n) for prefix in (OK, "5d") for n in range(20)]
        sending = backend.send(batch)
        await anext(sending)
        await sending.aclose()
        pool = backend._pools["production"]
        assert not any(each.under_way for each in pool._connections)
        assert await send_all(backend, (OK, 20)) == {OK: {SENT: 20}}


async def test_a_client_of_others_is_answered_by_the_same_peer() -> None:
    """@parse/node-apn: the peer is not made for our client."""
    script = f"""
    const apn = require({json.dumps(str(node.packages() / "@parse" / "node-apn"))});
    const [port, key, ca] = JSON.parse(process.argv[1]);
    const provider = new apn.Provider({{
      token: {{ key: Buffer.from(key), keyId: "ABCDE12345", teamId: "TEAM123456" }},
      address: "localhost", port, ca: [Buffer.from(ca)], production: true, requestTimeout: 5000,
    }});
    const note = new apn.Notification({{ alert: "hello", topic: {json.dumps(TOPIC)} }});
    const token = (prefix, n) => prefix + String(n).padStart(62, "0");
    const tokens = [];
    for (let n = 0; n < 20; n++) tokens.push(token("00", n));
    tokens.push(token("41", 1), token("40", 1), token("5f", 1));
    provider.send(note, tokens).then((found) => {{
      const reasons = found.failed.map((f) => [f.status, f.response && f.response.reason]);
      console.log(JSON.stringify({{ sent: found.sent.length, reasons }}));
      provider.shutdown();
      setTimeout(() => process.exit(0), 100);
    }});
    """
    async with apns_peer() as peer:
        process = await asyncio.create_subprocess_exec(
            node.program("node"), "-e", script, json.dumps([peer.port, peer.key, peer.ca]),
            stdout=subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(20):
            said, _ = await process.communicate()
        stats = await peer.stats()
    found = json.loads(said)
    assert found["sent"] == 20
    assert sorted(found["reasons"]) == [
        [400, "BadDeviceToken"],
        [400, "BadDeviceToken"],
        [410, "Unregistered"],
    ]
    assert stats["tokens"] == 1
