"""What the hub is like right now, in words: each fact with whether somebody should look."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from routing.live.runtime import works_inside

State = Literal["fine", "look", "wrong"]

#: Seconds. A queue that is older is a matter for a person; beyond the second it is one at once.
OLD_QUEUE, VERY_OLD_QUEUE = 30.0, 300.0
#: A worker that has not come round for so long does not work.
STUCK_WORKER = 300.0
#: Server processes reconcile every few seconds; later than this they do not.
LATE_RECONCILE = 30.0
#: Days before the end of a certificate that somebody should renew it.
EXPIRY_NEAR, EXPIRY_CLOSE = 30.0, 7.0

Now = list[tuple[str, tuple[str, ...], float]]


@dataclass(frozen=True, slots=True)
class Fact:
    """`text` is the number as people read it, `note` says what to do where `state` is not fine."""

    id: str
    title: str
    text: str
    state: State = "fine"
    note: str = ""


def facts(now: Now, *, using: str) -> list[Fact]:
    """`now` is what all gauges say: name, values of the labels, value."""
    plain = {name: value for name, labels, value in now if not labels}
    processes = {labels[0]: value for name, labels, value in now if name == "hub_processes"}
    found = [
        Fact("sockets", "Open sockets", _count(plain["hub_sockets"])),
        Fact("users", "Connected users", _count(plain["hub_connected_users"])),
        _servers(processes, plain),
        _workers(processes, plain),
        _layer(processes, plain),
        _queue("audiences", "Oldest audience", plain["hub_audience_age_seconds"]),
        _parked(plain["hub_audiences_parked"]),
        _queue("deliveries", "Oldest delivery", _most(now, "hub_delivery_age_seconds")),
        _pauses(plain),
    ]
    return found + _expiries(now)


def _servers(processes: dict[str, float], plain: dict[str, float]) -> Fact:
    age = plain["hub_reconcile_age_seconds"]
    if processes["server"] and age > LATE_RECONCILE:
        note = f"The last look at the database for sockets was {_seconds(age)} ago."
        return Fact("servers", "Server processes", _count(processes["server"]), "wrong", note)
    return Fact("servers", "Server processes", _count(processes["server"]))


def _workers(processes: dict[str, float], plain: dict[str, float]) -> Fact:
    text = _count(processes["worker"])
    if not processes["worker"]:
        note = "Large audiences and pushes wait: start manage.py worker."
        return Fact("workers", "Workers", text, "wrong", note)
    age = plain["hub_worker_turn_age_seconds"]
    if age > STUCK_WORKER:
        note = f"One has been at the same work for {_seconds(age)}."
        return Fact("workers", "Workers", text, "look", note)
    note = "within the server process" if works_inside() and processes["worker"] == 1 else ""
    return Fact("workers", "Workers", text, "fine", note)


def _layer(processes: dict[str, float], plain: dict[str, float]) -> Fact:
    deaf = plain["hub_deaf_servers"]
    if not deaf:
        return Fact("layer", "Channel layer", "reached")
    note = f"{_count(deaf)} of {_count(processes['server'])} server processes do not hear it."
    return Fact("layer", "Channel layer", "not reached", "wrong", f"{note} Is Redis up?")


def _queue(id: str, title: str, age: float) -> Fact:
    if age <= OLD_QUEUE:
        return Fact(id, title, _seconds(age) if age >= 1 else "none waits")
    state: State = "wrong" if age > VERY_OLD_QUEUE else "look"
    return Fact(id, title, _seconds(age), state, "The workers do not keep up.")


def _parked(count: float) -> Fact:
    if not count:
        return Fact("parked", "Parked audiences", "none")
    return Fact("parked", "Parked audiences", _count(count), "look", "They wait for a person.")


def _pauses(plain: dict[str, float]) -> Fact:
    if plain["hub_pauses"]:
        note = "A provider refuses the credentials: see Applications in the admin."
        return Fact("pauses", "Paused applications", _count(plain["hub_pauses"]), "wrong", note)
    if plain["hub_applications_alerting"]:
        note = f"{_count(plain['hub_applications_alerting'])} with an alert: see the admin."
        return Fact("pauses", "Paused applications", "none", "look", note)
    return Fact("pauses", "Paused applications", "none")


def _expiries(now: Now) -> list[Fact]:
    found = []
    for name, labels, value in sorted(now):
        if name != "hub_credentials_expire_timestamp_seconds":
            continue
        ends = datetime.fromtimestamp(value, UTC)
        days = (ends - datetime.now(UTC)).total_seconds() / 86_400
        state: State = "fine"
        if days < EXPIRY_NEAR:
            state = "wrong" if days < EXPIRY_CLOSE else "look"
        title = f"Certificate of {labels[0]}"
        text = f"until {ends:%Y-%m-%d}" if days > 0 else f"ended {ends:%Y-%m-%d}"
        note = "" if state == "fine" else "Renew it in time: nothing is pushed without."
        found.append(Fact(f"expiry-{labels[0]}", title, text, state, note))
    return found


def _most(now: Now, metric: str) -> float:
    return max((value for name, _, value in now if name == metric), default=0.0)


def _count(value: float) -> str:
    return f"{round(value):,}"


def _seconds(value: float) -> str:
    if value < 120:
        return f"{round(value)} s"
    if value < 7200:
        return f"{round(value / 60)} min"
    return f"{round(value / 3600)} h"
