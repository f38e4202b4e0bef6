"""What the benchmarks stand on: servers of their own, a migrated database, a core for each side."""

import contextlib
import json
import logging
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

FLAT = 0.8  # what grows may cost a fifth less where it is cheapest than where it is dearest
SERVER, LOAD = 0, 1  # whoever is measured and whoever measures have a core each


#: In the environment of a benchmark that is one of several: when the first one began, and which
#: this one is.
PROGRESS = "BENCHMARK_PROGRESS"


def say(line: str) -> None:
    """A line of progress: what comes now."""
    began, _, which = os.environ.get(PROGRESS, "").partition(" ")
    head = f"[{which}, {since(float(began))}] " if began else ""
    print(f"{head}{line}", file=sys.stderr, flush=True)


def since(began: float) -> str:
    """Minutes and seconds since that `time.monotonic()`, whichever process it was taken in."""
    minutes, seconds = divmod(int(time.monotonic() - began), 60)
    return f"{minutes}:{seconds:02d}"


def on_core(number: int) -> Callable[[], None]:
    """For `preexec_fn`: where there are two cores, the process has this one to itself."""

    def pin() -> None:
        if hasattr(os, "sched_setaffinity"):
            cores = sorted(os.sched_getaffinity(0))
            os.sched_setaffinity(0, {cores[number % len(cores)]})

    return pin


@contextlib.contextmanager
def servers(*, redis: bool) -> Iterator[dict[str, str]]:
    """A durable PostgreSQL and a Redis of this run; a folder for the hub's files."""
    from tests.services import PostgresServer, RedisServer

    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="hub-bench-"))
        postgres = stack.enter_context(PostgresServer(durable=True))
        found = {"DATABASE_URL": postgres.url, "postgres": postgres.version, "HUB_DATA": folder}
        if redis:
            server = stack.enter_context(RedisServer())
            found |= {"REDIS_URL": server.url, "redis": server.version}
        stack.callback(let_go)
        yield found


def let_go() -> None:
    """Closes this process's connections, if Django has any: a pool would try to renew them, and
    that of a thread which works on does, in vain, until this process ends."""
    from django.conf import settings
    from django.db import connections

    if not settings.configured:
        return
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    for connection in connections.all(initialized_only=True):
        connection.close()
        if hasattr(connection, "close_pool"):
            connection.close_pool()


def start_django(found: dict[str, str], **more: str) -> None:
    """The hub's project on these servers, migrated, in this process and in its children."""
    for name in list(os.environ):
        if name.startswith("HUB_") or name in ("DEBUG", "ALLOWED_HOSTS", "ALLOWED_ORIGINS"):
            del os.environ[name]
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "hub.settings",
        "SECRET_KEY": "only-for-benchmarks-" + "x" * 40,
        "HUB_THROTTLES": "off",
        "HUB_LOG_LEVEL": "WARNING",
        "DATABASE_URL": found["DATABASE_URL"],
        "HUB_DATA": found["HUB_DATA"],
        **more,
    }
    if "REDIS_URL" in found:
        os.environ["REDIS_URL"] = found["REDIS_URL"]
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


def make_users(number: int) -> list[int]:
    """Ids of new users, each with an inbox."""
    from django.contrib.auth import get_user_model

    from notifications import inbox
    from notifications.inbox.rows import alias

    model = get_user_model()
    ids: list[int] = []
    for start in range(0, number, 10_000):
        names = range(start, min(start + 10_000, number))
        made = model.objects.bulk_create(
            [model(username=f"user{name}", password="!") for name in names]
        )
        ids += [user.pk for user in made]
        inbox.ensure(ids[start:], using=alias(None))
    return ids


class Missing(Exception):
    """Why something that a figure needs cannot be had on this machine."""


def environment(name: str, requirements: Sequence[str]) -> Path:
    """The Python of an environment of a peer's own, made on first use. Raises `Missing`."""
    folder = ROOT / f".venv-peer-{name}"
    python = folder / "bin" / "python"
    wanted = "\n".join(requirements)
    ready = folder / "ready"
    if not ready.exists() or ready.read_text() != wanted:
        say(f"making the environment of {name} (once) ...")
        make = [sys.executable, "-m", "venv", "--clear", str(folder)]
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        for command in (make, [*pip, *requirements]):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                say(done.stderr[-2000:])
                raise Missing(f"{requirements[0]} cannot be installed from the package index")
        ready.write_text(wanted)
    return python


def versions(*packages: str, **more: str) -> dict[str, str]:
    found = {name: metadata.version(name) for name in packages}
    return {"Python": platform.python_version(), **found, **more}


def figure(
    name: str,
    *,
    unit: str,
    ours: Sequence[float],
    peer: Sequence[float] | Missing,
    peer_name: str,
    floor: float | None = None,
    aim: float | None = None,
    versions: dict[str, str],
) -> dict[str, Any]:
    """One line of the table: medians of the rounds, and the ratio of the medians, which must
    reach `floor` and should reach `aim`. Without its peer it is a line that says why."""
    if isinstance(peer, Missing):
        return not_taken(name, peer_name=peer_name, why=str(peer))
    mine, others = statistics.median(ours), statistics.median(peer)
    return {
        "figure": name,
        "unit": unit,
        "ours": mine,
        "peer": others,
        "peer_name": peer_name,
        "ratio": mine / others if others else float("inf"),
        "floor": floor,
        "aim": aim,
        "versions": versions,
    }


def limit(
    name: str,
    *,
    unit: str,
    ours: float,
    at_most: float,
    aim: float | None = None,
    versions: dict[str, str],
) -> dict[str, Any]:
    """One line of the table that has no peer but a limit; the ratio says how far below it is.
    `aim` is in the limit's unit: 5 ms where at most 10 are allowed makes an aim of 2 times."""
    return figure(
        name,
        unit=unit,
        ours=[ours],
        peer=[at_most],
        peer_name="at most",
        floor=1.0,
        aim=None if aim is None else at_most / aim,
        versions=versions,
    ) | {"ratio": at_most / ours if ours else float("inf")}


def flat(
    name: str,
    costs: Mapping[int, float],
    *,
    of: str,
    unit: str,
    floor: float | None = FLAT,
    aim: float | None = None,
    versions: dict[str, str],
) -> dict[str, Any]:
    """One line of the table that says how flat a cost is, by the number `of` something that grows:
    the cheapest against the dearest."""
    return figure(
        f"{name}, {min(costs):,} to {max(costs):,} {of}",
        unit=unit,
        ours=[min(costs.values())],
        peer=[max(costs.values())],
        peer_name="the same at its dearest",
        floor=floor,
        aim=aim,
        versions=versions,
    )


def not_taken(name: str, *, peer_name: str = "", why: str) -> dict[str, Any]:
    """One line of the table that says why it has no figure: what it needs is not on this machine.
    Such a line fails nothing; a benchmark that breaks does."""
    return {"figure": name, "peer_name": peer_name, "why": why, "versions": {}}


def curve(
    plot: str,
    *,
    title: str,
    x: str,
    y: str,
    series: str,
    points: Sequence[tuple[float, float]],
    log: str = "",
    band: tuple[float, float, str] | None = None,
    dashed: bool = False,
) -> dict[str, Any]:
    """One curve of a plot in RESULTS.md. All that have the same `plot`, a file's name, are drawn
    together, with the first one's words. `x` and `y` name the axes, units included; `log` which of
    them are logarithmic; `band` is a range of y that means something; peers are dashed."""
    return {
        "plot": plot,
        "title": title,
        "x": x,
        "y": y,
        "series": series,
        "points": [list(point) for point in points],
        "log": log,
        "band": band,
        "dashed": dashed,
    }


def percentile(values: Sequence[float], percent: float) -> float:
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(len(ranked) * percent / 100))]


def report(lines: list[dict[str, Any]], *, as_json: bool) -> None:
    """Hands the lines on: to `python -m benchmarks`, or as a table to who runs the file."""
    if as_json:
        for one in lines:
            print(json.dumps(one))
        return
    from benchmarks import table

    print(table.text(lines))
    print(table.versions(lines))
