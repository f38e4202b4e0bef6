"""Web Push messages per second and core: the backend against what others do with the same keys.

    make bench ONLY=webpush

Ours is `WebPushBackend`: render, encrypt, sign, post, read the answer. The peers:
django-push-notifications 3.3, one queryset, in an environment of its own, and pywebpush's `encode`
alone, which sends nothing. All send to one push service over plain HTTP on loopback, which runs on
another core where there is one. The three take turns, a few rounds long, and the median of the
rounds' ratios counts: what else the machine does hits all of them.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.stand import (
    LOAD,
    SERVER,
    Missing,
    environment,
    figure,
    on_core,
    report,
    say,
    versions,
)

PEERS = Path(__file__).resolve().parent / "peers"
REQUIREMENTS = ["django-push-notifications[WP]==3.3.0", "Django>=5.2,<5.3"]
PEER_VERSIONS = {"django-push-notifications": "3.3.0"}

ROUNDS = 5
BATCH = 100
MESSAGES = 2000
PEER_MESSAGES = 400

#: peer → floor, aim
FIGURES: dict[str, tuple[float, float | None]] = {
    "django-push-notifications": (5.0, 10.0),
    "pywebpush encode alone": (0.5, None),
}


@contextmanager
def push_service() -> Iterator[int]:
    command = [sys.executable, str(PEERS / "push_service.py"), "uvloop"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=on_core(LOAD))
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


def peer_rate(python: Path, port: int, keys: dict[str, str], text: str) -> float:
    arguments = [str(port), str(PEER_MESSAGES), keys["private_key"], keys["p256dh"], keys["auth"]]
    done = subprocess.run(
        [python, PEERS / "django_push_notifications.py", *arguments],
        input=text,
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=on_core(SERVER),
    )
    return float(done.stdout)


def encode_rate(keys: dict[str, str], text: str) -> float:
    from pywebpush import WebPusher

    subscription, raw = {"endpoint": "https://push.example.com/x", "keys": keys}, text.encode()
    began = time.perf_counter()
    for _ in range(MESSAGES):
        WebPusher(subscription).encode(raw)
    return MESSAGES / (time.perf_counter() - began)


async def our_rate(port: int, keys: dict[str, str]) -> float:
    from routing.push.backends.webpush import WebPushBackend
    from routing.push.outcomes import Address, Verdict

    backend = WebPushBackend(
        {"private_key": keys["private_key"], "subject": "mailto:ops@example.com"}
    )
    await backend.open()
    began, sent = time.perf_counter(), 0
    for start in range(0, MESSAGES, BATCH):
        batch = [
            backend.render(
                note(),
                Address(token=f"http://127.0.0.1:{port}/push/device-{number}", extra=keys),
                ref=number,
            )
            for number in range(start, start + BATCH)
        ]
        async for _, outcome in backend.send(batch):
            sent += outcome.verdict is Verdict.SENT
    assert sent == MESSAGES
    rate = sent / (time.perf_counter() - began)
    await backend.aclose()
    return rate


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
        collapse_id="1234567",
        ttl=86400,
    )


def start_django(data: str) -> None:
    os.environ.update(DJANGO_SETTINGS_MODULE="hub.settings", HUB_DATA=data, DEBUG="1")
    import django

    django.setup()
    from django.conf import settings

    settings.HUB = {**settings.HUB, "PUSH_LOCAL_PEERS": True}


def measure(number_of_rounds: int) -> dict[str, list[float] | Missing]:
    """Messages per second in each round, of ours ("hub") and of each peer."""
    from routing.push.backends.webpush import payload_of
    from routing.push.vapid import VapidKey
    from tests.vendors.webpush import Browser

    keys = {"private_key": VapidKey.generate().private_text(), **Browser.new().keys}
    text = payload_of(note()).decode()
    python: Path | Missing
    try:
        python = environment("push", REQUIREMENTS)
    except Missing as missing:
        python = missing
    on_core(SERVER)()
    ours: list[float] = []
    theirs: list[float] = []
    encoded: list[float] = []
    with push_service() as port:
        for number in range(number_of_rounds):
            say(f"Web Push: round {number + 1} of {number_of_rounds}")
            ours.append(asyncio.run(our_rate(port, keys)))
            if isinstance(python, Path):
                theirs.append(peer_rate(python, port, keys, text))
            encoded.append(encode_rate(keys, text))
    sent = theirs if isinstance(python, Path) else python
    return {"hub": ours, "django-push-notifications": sent, "pywebpush encode alone": encoded}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with TemporaryDirectory() as data:
        start_django(data)
        rates = measure(1 if options.small else ROUNDS)
    lines = [
        figure(
            "Web Push on one core",
            unit="messages/s",
            ours=rates["hub"],
            peer=rates[name],
            peer_name=name,
            floor=floor,
            aim=aim,
            versions=versions("cryptography", "pywebpush", **PEER_VERSIONS),
        )
        for name, (floor, aim) in FIGURES.items()
    ]
    report(lines, as_json=options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
