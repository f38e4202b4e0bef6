"""Calls of `send_notification()` to one user each, outside a transaction, on PostgreSQL.

    python -m benchmarks.sends [--calls 2000] [--rounds 3] [--json]

Nobody has a device, then everybody has one (a push is planned with every send). The peer is
`notify.send` of django-notifications-hq on the same server, which keeps no versions and no
counters and reaches nobody; it runs in an environment of its own. PostgreSQL is durable.
"""

import argparse
import sys
import time

from benchmarks.fanout import WORDS, their_rates
from benchmarks.stand import (
    LOAD,
    figure,
    make_users,
    on_core,
    report,
    say,
    servers,
    start_django,
    versions,
)

#: floor, aim
FLOORS = {"nobody with a device": (0.6, 1.0), "all with devices": (0.35, 0.6)}


def our_round(ids: list[int]) -> float:
    """Calls per second."""
    from notifications import send_notification

    began = time.perf_counter()
    for user_id in ids:
        send_notification("post_comment", users=user_id, data={"post": 12}, **WORDS)
    return len(ids) / (time.perf_counter() - began)


def give_devices(ids: list[int]) -> None:
    from django.contrib.auth import get_user_model

    from routing.push.registration import register

    for user in get_user_model().objects.filter(pk__in=ids).iterator():
        register(user, backend="dummy", token=f"sent-{user.pk}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.small:
        options.calls, options.rounds = 100, 1
    on_core(LOAD)()
    rates: dict[str, list[float]] = {}
    with servers(redis=False) as found:
        start_django(found)
        ids = make_users(options.calls)
        for case in FLOORS:
            if case == "all with devices":
                say("registering devices")
                give_devices(ids)
            our_round(ids[:100])  # connections, statements, the type
            say(f"sends: {case}")
            rates[case] = [our_round(ids) for _ in range(options.rounds)]
        say("django-notifications-hq")
        theirs = their_rates(
            found["DATABASE_URL"], options.calls, options.rounds, calls=options.calls
        )
        known = versions("django", "psycopg", PostgreSQL=found["postgres"])
        known |= theirs["versions"]
    lines = [
        figure(
            f"a send to one user, {case}",
            unit="calls/s",
            ours=rates[case],
            peer=theirs["calls"],
            peer_name="django-notifications-hq, notify.send",
            floor=floor,
            aim=aim,
            versions=known,
        )
        for case, (floor, aim) in FLOORS.items()
    ]
    report(lines, as_json=options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
