"""Runs a `manage.py` command in a process that has a fault built in; the application knows of none.

    python -m tests.acceptance.runner die-in-chunk=2 -- worker
    python -m tests.acceptance.runner die-after-commit -- send '[{"key": "k1", "to": ["alice"]}]'

Faults replace functions of the application from outside. Besides the commands of `manage.py` there
are `people` and `send`, which tests start here.
"""

import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hub.settings")


def main() -> None:
    at = sys.argv.index("--")
    faults, command = sys.argv[1:at], sys.argv[at + 1 :]
    given = dict(fault.partition("=")[::2] for fault in faults)
    # before anything of Django takes `timezone.now` as a default
    if "clock" in given:
        shift_clock(timedelta(seconds=float(given.pop("clock"))))

    import django

    django.setup()
    for name, value in given.items():
        if "." in name:
            set_constant(name, value)
        else:
            FAULTS[name](value)
    if command[0] in COMMANDS:
        COMMANDS[command[0]](*command[1:])
        return
    from django.core.management import execute_from_command_line

    execute_from_command_line(["manage.py", *command])


def say(*words: Any) -> None:
    """A line in the log, written before whatever happens next."""
    os.write(1, (" ".join(str(word) for word in words) + "\n").encode())


def die(*_: Any, **__: Any) -> None:
    say("dies")
    os.kill(os.getpid(), signal.SIGKILL)


def shift_clock(by: timedelta) -> None:
    """As when somebody sets the machine's clock: the monotonic clock goes on undisturbed."""
    from django.utils import timezone

    now, seconds = timezone.now, time.time
    timezone.now = lambda: now() + by
    time.time = lambda: seconds() + by.total_seconds()


def set_constant(name: str, value: str) -> None:
    """`routing.live.sockets.DRAIN_LIMIT=2`: so that a test need not wait as long as life does."""
    module, _, constant = name.rpartition(".")
    found = importlib.import_module(module)
    kind = type(getattr(found, constant))
    new = timedelta(seconds=float(value)) if kind is timedelta else kind(value)
    setattr(found, constant, new)


def die_after_commit(_: str) -> None:
    from notifications import storing

    storing._after_commit = die


def die_before_publish(_: str) -> None:
    from routing import receivers

    receivers.publish = die


def die_before_handing_over(_: str) -> None:
    """The hint lies in the publisher's buffer, and never reaches the layer."""
    from routing.live.publisher import Publisher

    Publisher._send = die


def die_in_chunk(number: str) -> None:
    """After the rows of the nth chunk are written, before their commit."""
    from notifications import fanout

    fanout.TOGETHER = 1  # else one transaction would hold all chunks of a test
    deliver, left = fanout.deliver, [int(number)]

    def delivered(*args: Any, **kwargs: Any) -> Any:
        answer = deliver(*args, **kwargs)
        left[0] -= 1
        if not left[0]:
            die()
        return answer

    fanout.deliver = delivered


def full(switch: str) -> None:
    """While the file `switch` is there, the disk has no room for another page."""
    from django.db.backends.signals import connection_created

    def limit(connection: Any, **_: Any) -> None:
        if connection.vendor == "sqlite" and Path(switch).exists():
            with connection.cursor() as cursor:
                cursor.execute("PRAGMA page_count")
                (pages,) = cursor.fetchone()
                cursor.execute(f"PRAGMA max_page_count = {pages}")

    connection_created.connect(limit, weak=False)


def pings(seconds: str) -> None:
    """Protocol pings so often, and as long to answer them; 20 s in life."""
    from routing.live import server

    made = server.configuration

    def configuration(*args: Any, **kwargs: Any) -> Any:
        config = made(*args, **kwargs)
        config.ws_ping_interval = config.ws_ping_timeout = float(seconds)
        return config

    server.configuration = configuration


FAULTS: dict[str, Callable[[str], None]] = {
    "die-after-commit": die_after_commit,
    "die-before-publish": die_before_publish,
    "die-before-handing-over": die_before_handing_over,
    "die-in-chunk": die_in_chunk,
    "full": full,
    "pings": pings,
}


def make_people(count: str) -> None:
    """Tables, and users `user0`, `user1`, ... with a token each; prints them as JSON."""
    from django.contrib.auth import get_user_model
    from django.core.management import call_command

    from notifications import inbox, tokens
    from notifications.models import Token

    call_command("migrate", verbosity=0)
    users = get_user_model().objects
    users.create(username="sender", is_superuser=True)
    users.bulk_create([users.model(username=f"user{number}") for number in range(int(count))])
    inbox.make_missing()
    people = {user.username: {"id": user.pk} for user in users.all()}
    rows = []
    for name, person in people.items():
        person["token"] = f"hub_{name:-<40}"
        rows.append(Token(user_id=person["id"], digest=tokens.digest(person["token"])))
    Token.objects.bulk_create(rows)
    say("people", json.dumps(people))


def send(text: str) -> None:
    """Sends as the code of an application does, and says what came of it, line by line.

    `[{"key", "to": [name] | "everyone", "way": "plain" | "atomic" | "rollback"}]`
    """
    from django.contrib.auth import get_user_model
    from django.db import transaction

    from notifications import EVERYONE, send_notification

    class Undone(Exception):
        pass

    for wanted in json.loads(text):
        to: Any = EVERYONE
        if wanted["to"] != "everyone":
            users = get_user_model().objects.filter(username__in=wanted["to"])
            to = list(users.values_list("pk", flat=True))
        words = {"title": wanted["key"], "message": wanted["message"]}
        way = wanted.get("way", "plain")
        say("sends", wanted["key"])
        if way == "plain":
            event = send_notification("post_comment", users=to, **words)
        else:
            try:
                with transaction.atomic():
                    # registered first, so it runs first: from here on the send is a promise
                    transaction.on_commit(lambda key=wanted["key"]: say("committed", key))
                    event = send_notification("post_comment", users=to, **words)
                    if way == "rollback":
                        raise Undone
            except Undone:
                say("undone", wanted["key"])
                continue
        say("acknowledged", wanted["key"], event.pk)


COMMANDS: dict[str, Callable[..., None]] = {"people": make_people, "send": send}


if __name__ == "__main__":
    main()
