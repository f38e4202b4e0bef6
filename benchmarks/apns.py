"""APNs messages per second at 50 ms latency: the backend against bare aioapns.

    make bench ONLY=apns

Both sign one token and speak TLS to the same peer on Node's http2, which runs on another core where
there is one. Each has as many messages under way as it can. The peer answers each after 50 ms and
allows 1,000 streams on a connection, as Apple does. The two take turns, a few rounds long, and the
median of the rounds' ratios counts: what else the machine does hits both. aioapns renders nothing
here; ours renders each message too.
"""

import argparse
import asyncio
import os
import ssl
import sys
import time
from tempfile import TemporaryDirectory

from benchmarks.stand import figure, report, say, versions

ROUNDS = 5
#: What bare aioapns has under way: more than the 64 KB of a connection's flow-control window would
#: hold make it wait a second for each, and give up after five.
ROOM = 180
MESSAGES = 5000
LATENCY = 50  # ms
#: by the clock; by processor time there is no promise
FLOORS = {"by the clock": (0.5, 2.0), "by processor time": (None, None)}


def on_core(number: int, process: int = 0) -> None:
    """Where there are two cores, who sends and who takes have one each."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0)) if not process else sorted(CORES)
        os.sched_setaffinity(process, {cores[number % len(cores)]})


CORES = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else {0}


def token(number: int) -> str:
    return f"{number:064x}"


def note():  # type: ignore[no-untyped-def]
    from routing.push.outcomes import Note

    return Note(
        title="Bob likes your post",
        body="A quick brown fox jumps over the lazy dog. " * 4,
        url="/posts/12345",
        data={"post": 12345},
        badge=3,
        event_id=1234567,
        event_type="post_like",
        collapse_id="event-1234567",
        ttl=86400,
    )


async def our_rate(peer) -> tuple[float, float]:  # type: ignore[no-untyped-def]
    """Messages a second by the clock, and by the processor's time."""
    from routing.push.backends.apns import ApnsBackend
    from routing.push.outcomes import Address, Verdict

    backend = ApnsBackend(peer.credentials())
    await backend.open()
    production = {"environment": "production"}

    async def send(numbers: range) -> int:
        batch = [
            backend.render(note(), Address(token=token(number), extra=production), ref=number)
            for number in numbers
        ]
        found = [outcome async for _, outcome in backend.send(batch)]
        return sum(outcome.verdict is Verdict.SENT for outcome in found)

    await send(range(10))
    began, spent = time.perf_counter(), time.process_time()
    sent = await send(range(MESSAGES))
    rates = MESSAGES / (time.perf_counter() - began), MESSAGES / (time.process_time() - spent)
    assert sent == MESSAGES, sent
    await backend.aclose()
    return rates


async def bare_rate(peer) -> tuple[float, float]:  # type: ignore[no-untyped-def]
    import aioapns
    from aioapns.connection import APNsTLSClientProtocol

    context = ssl.create_default_context(cadata=peer.ca)
    context.set_alpn_protocols(["h2"])
    client = aioapns.APNs(
        key=peer.key,
        key_id="ABCDE12345",
        team_id="TEAM123456",
        topic="com.example.app",
        ssl_context=context,
    )
    there = {"APNS_SERVER": "localhost", "APNS_PORT": peer.port}
    client.pool.protocol_class = type("Here", (APNsTLSClientProtocol,), there)
    room = asyncio.Semaphore(ROOM)
    message = {"aps": {"alert": {"title": note().title, "body": note().body}, "badge": 3}}

    async def send(number: int) -> bool:
        async with room:
            request = aioapns.NotificationRequest(
                device_token=token(number),
                message={**message, "event": 1234567, "type": "post_like", "post": 12345},
                time_to_live=86400,
                collapse_key="event-1234567",
                push_type=aioapns.PushType.ALERT,
                priority=10,
            )
            return (await client.send_notification(request)).is_successful

    await asyncio.gather(*(send(number) for number in range(10)))
    began, spent = time.perf_counter(), time.process_time()
    sent = sum(await asyncio.gather(*(send(number) for number in range(MESSAGES))))
    rates = MESSAGES / (time.perf_counter() - began), MESSAGES / (time.process_time() - spent)
    assert sent == MESSAGES, sent
    client.pool.close()
    return rates


def start_django(data: str) -> None:
    os.environ.update(DJANGO_SETTINGS_MODULE="hub.settings", HUB_DATA=data, DEBUG="1")
    import django

    django.setup()
    from django.conf import settings

    from routing.push.backends import apns_issued

    settings.HUB = {**settings.HUB, "PUSH_LOCAL_PEERS": True}
    apns_issued.share_through(apns_issued.alone)  # there is no database here


async def measure(number_of_rounds: int) -> list[dict[str, tuple[float, float]]]:
    from tests.vendors.apns import apns_peer

    found = []
    async with apns_peer(streams=1000, latency=LATENCY) as peer:
        on_core(1, peer.process.pid)
        on_core(0)
        for number in range(number_of_rounds):
            say(f"APNs: round {number + 1} of {number_of_rounds}")
            turns = [("hub", our_rate), ("aioapns", bare_rate)]
            if number % 2:
                turns.reverse()
            found.append({name: await rate(peer) for name, rate in turns})
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with TemporaryDirectory() as data:
        start_django(data)
        rounds = asyncio.run(measure(1 if options.small else ROUNDS))
    lines = [
        figure(
            f"APNs at {LATENCY} ms latency, {by}",
            unit="messages/s",
            ours=[rates["hub"][index] for rates in rounds],
            peer=[rates["aioapns"][index] for rates in rounds],
            peer_name="bare aioapns",
            floor=floor,
            aim=aim,
            versions=versions("aioapns", "h2"),
        )
        for index, (by, (floor, aim)) in enumerate(FLOORS.items())
    ]
    report(lines, as_json=options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
