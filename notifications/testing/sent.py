"""What was sent in this test, and to whom.

It is read from the database, where each test finds only its own: so it is empty at the start of
every test, holds what other processes sent, and costs a send nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

from django.contrib.auth import get_user_model

from notifications import left_out
from notifications.inbox.rows import alias
from notifications.models import Event, LeftOut, Notification
from notifications.testing.settling import settle

#: What a notification can be matched by, beside `type`.
FIELDS = ("title", "message", "url", "data", "tag", "priority", "author")

WHY: dict[str, str] = {
    LeftOut.Rule.UNKNOWN: "there is no such user",
    LeftOut.Rule.INACTIVE: "the user is not active",
    LeftOut.Rule.MUTED: "they have muted the type",
    LeftOut.Rule.EXPIRED: "it had expired",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One event, and the users in whose inboxes it arrived, by their ids."""

    event: Event
    recipients: list[Any]

    @property
    def type(self) -> str:
        return self.event.type.name

    def __getattr__(self, name: str) -> Any:
        if name in FIELDS:
            return getattr(self.event, name)
        raise AttributeError(name)

    def __str__(self) -> str:
        told = ", ".join(user.get_username() for user in self.recipients) or "nobody"
        return f"{self.type} {self.event.title!r} to {told}"


class Outbox(Sequence[Sent]):
    """Every event of this test, oldest first. Reading it settles what is still under way."""

    def __init__(self) -> None:
        self._cleared: set[tuple[Any, Any]] = set()

    def clear(self) -> None:
        """Forgets what was sent so far; in the database and in inboxes it stays."""
        settle()
        self._cleared = set(self._events().values_list("pk", "timestamp"))

    def __len__(self) -> int:
        return len(self._read())

    def __iter__(self) -> Iterator[Sent]:
        return iter(self._read())

    @overload
    def __getitem__(self, index: int) -> Sent: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sent]: ...
    def __getitem__(self, index: int | slice) -> Sent | list[Sent]:
        return self._read()[index]

    def __repr__(self) -> str:
        return f"<outbox: {'; '.join(map(str, self._read())) or 'empty'}>"

    def _events(self) -> Any:
        return Event.objects.using(alias()).select_related("type", "author").order_by("pk")

    def _read(self) -> list[Sent]:
        settle()
        found = [row for row in self._events() if (row.pk, row.timestamp) not in self._cleared]
        told: dict[int, list[Any]] = {row.pk: [] for row in found}
        rows = Notification.objects.using(alias()).filter(event__in=list(told))
        for event_id, user_id in rows.order_by("user_id").values_list("event_id", "user_id"):
            told[event_id].append(user_id)
        keys = {key for keys in told.values() for key in keys}
        users = get_user_model()._default_manager.in_bulk(keys)
        return [
            Sent(event=row, recipients=[users[key] for key in told[row.pk] if key in users])
            for row in found
        ]


outbox = Outbox()


def assert_notified(
    user: Any, *, type: str | None = None, count: int | None = None, **matches: Any
) -> Notification:
    """Fails unless a notification that matches arrived in the user's inbox; returns the newest.

    `matches` are `title`, `message`, `url`, `data`, `tag`, `priority`, `author`: the words as the
    user reads them. A value must be equal, a function must answer true; of `data` that is given as
    a dict only the given keys count. `count` is exactly how many there must be; left out: at
    least one.
    """
    mine = _of(user)
    found = [row for row in mine if _fits(row, type, matches)]
    wrong = not found if count is None else len(found) != count
    if wrong or not found:
        if not wrong:
            raise ValueError("count is at least 1; what must not be is for assert_not_notified")
        raise AssertionError(_failure(user, type, matches, count, len(found), mine))
    return found[-1]


def assert_not_notified(user: Any, *, type: str | None = None, **matches: Any) -> None:
    """Fails if a notification that matches (without any: whatever it is) is in the inbox."""
    found = [row for row in _of(user) if _fits(row, type, matches)]
    if found:
        said = "; ".join(map(_said, found))
        raise AssertionError(f"{_name(user)} was notified of {_wanted(type, matches)}: {said}")


def _of(user: Any) -> list[Notification]:
    settle()
    rows = Notification.objects.using(alias()).filter(user=user.pk)
    return list(rows.select_related("event__type", "event__author").order_by("event_id"))


def _fits(row: Notification, type: str | None, matches: Mapping[str, Any]) -> bool:
    unknown = sorted(set(matches) - set(FIELDS))
    if unknown:
        raise TypeError(f"{unknown[0]} is nothing to match; there are type, {', '.join(FIELDS)}")
    if type is not None and row.event.type.name != type:
        return False
    return all(_equals(_value(row, name), wanted) for name, wanted in matches.items())


def _value(row: Notification, name: str) -> Any:
    own = getattr(row, name, None) if name in ("title", "message", "url") else None
    return getattr(row.event, name) if own is None else own


def _equals(found: Any, wanted: Any) -> bool:
    if callable(wanted):
        return bool(wanted(found))
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        return all(key in found and found[key] == value for key, value in wanted.items())
    return bool(found == wanted)


def _failure(
    user: Any,
    type: str | None,
    matches: Mapping[str, Any],
    count: int | None,
    found: int,
    mine: Sequence[Notification],
) -> str:
    often = "" if count is None else f" {count} times but {found}"
    lines = [f"{_name(user)} was not notified{often} of {_wanted(type, matches)}"]
    lines += [f"  was notified of {_said(row)}" for row in mine] or ["  was notified of nothing"]
    events = Event.objects.using(alias()).select_related("type").order_by("pk")
    for event in events.exclude(pk__in=[row.event_id for row in mine]):
        rules = [row.rule for row in left_out.of_user(event.pk, user.pk, using=alias())]
        why = WHY.get(rules[-1], rules[-1]) if rules else "it was not addressed to them"
        lines.append(f"  was left out of {event.type.name} {event.title!r}: {why}")
    return "\n".join(lines)


def _wanted(type: str | None, matches: Mapping[str, Any]) -> str:
    words = [f"{name}={value!r}" for name, value in matches.items()]
    return " with ".join([type or "anything", ", ".join(words)] if words else [type or "anything"])


def _said(row: Notification) -> str:
    return f"{row.event.type.name} {_value(row, 'title')!r}"


def _name(user: Any) -> str:
    return str(user.get_username())
