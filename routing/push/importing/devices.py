"""Old devices as the hub has them: one live row per token, with one owner.

The rules are those of registration, for 500 rows at a time: tokens are cleaned and hashed by
their backend, an application must be there, inboxes are told whether they are pushable, and a
user has no more devices than allowed. What the hub knows already wins over the old table. No
signal is sent for a device that is imported.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any

from django.db.models import Count

from notifications.errors import InvalidField
from notifications.importing import (
    NO_USER,
    USER_GONE,
    ImportFault,
    Report,
    Row,
    Run,
    existing,
)
from routing.conf import conf
from routing.push import applications
from routing.push.devices import Reason, cap, lock_inboxes, set_pushable
from routing.push.models import Device
from routing.push.registration import Registration, cleaned

DEVICES = "devices"
ANOTHER_ROW = "another row there has the same token, and is active or newer"
TOO_LONG_INACTIVE = 'it has been inactive for longer than HUB["INACTIVE_DEVICES"]'
NOBODYS = f'{NO_USER}, and HUB["OPEN_REGISTRATION"] lets no more such be'
OVER_CAP = 'more devices of a user than HUB["DEVICES_PER_USER"]: the oldest went'


class UnknownApplications(ImportFault):
    """`--application OLD=NEW` names an application that is not there."""


@dataclass(slots=True, kw_only=True)
class OldDevice:
    """A device as the other system had it. `user` is its key as the old column has it."""

    key: Any
    user: Any
    backend: str
    token: str = field(repr=False)
    extra: dict[str, Any] = field(default_factory=dict, repr=False)
    #: The name of its application there; empty: the only one.
    application: str = ""
    environment: str = ""
    active: bool = True
    created_at: datetime | None = None
    registered_at: datetime | None = None
    last_used_at: datetime | None = None
    inactive_since: datetime | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    #: Keys of the rows with the same token that are passed over.
    others: list[Any] = field(default_factory=list)
    #: Why it cannot be imported, where the reader knows already.
    refused: str = ""


class Names:
    """Applications of the other system by their names here."""

    def __init__(self, run: Run, mapped: Mapping[str, str]) -> None:
        """`mapped` says what the application of an old name is called here.

        Raises `UnknownApplications`.
        """
        self.mapped = dict(mapped)
        self.known = applications.current(using=run.using)
        lacking = sorted(name for name in self.mapped.values() if self.known.named(name) is None)
        if lacking:
            raise UnknownApplications(f"There is no application {', '.join(map(repr, lacking))}.")

    def of(self, old: str, backend: str) -> str | None:
        """The application of this old name here; None where there is none of this backend."""
        name = self.mapped.get(old, old)
        found = self.known.named(name)
        return name if found is not None and found.backend == backend else None


def by_token(rows: Iterable[Row], *, by: str, at: str) -> Iterator[Row]:
    """Of rows in the order of their tokens (the column `by`), one for each token: an active one
    if there is any, of those the newest by the column `at`. Its `others` has the rest's ids."""
    for _, group in groupby(rows, key=lambda row: row[by]):
        found = list(group)
        best = max(found, key=lambda row: (bool(row["active"]), str(row[at] or ""), row["id"]))
        yield {**best, "others": [row["id"] for row in found if row["id"] != best["id"]]}


def settle(run: Run, source: str, olds: Sequence[OldDevice], names: Names, sheet: Report) -> None:
    """Stores a chunk of devices, inside its transaction; `source` is their table."""
    known = run.known(source, [key for old in olds for key in (old.key, *old.others)])
    users = existing({old.user for old in olds if old.user is not None}, using=run.using)
    wanted: list[tuple[OldDevice, Registration, Any]] = []
    for old in olds:
        for key in old.others:
            if str(key) in known:
                sheet.known[DEVICES] += 1
            else:
                sheet.skip(DEVICES, ANOTHER_ROW)
        if str(old.key) in known:
            sheet.known[DEVICES] += 1
        elif reason := _refusal(run, old, users):
            sheet.skip(DEVICES, reason)
        elif (checked := _checked(run, old, names, sheet)) is not None:
            wanted.append((old, checked, None if old.user is None else users[old.user]))
    _store(run, source, wanted, sheet)


def _refusal(run: Run, old: OldDevice, users: Mapping[Any, Any]) -> str:
    if old.refused:
        return old.refused
    if old.user is not None and old.user not in users:
        return USER_GONE
    ended = old.inactive_since or run.at
    if not old.active and ended < run.at - conf().inactive_devices:
        return TOO_LONG_INACTIVE
    return ""


def _checked(run: Run, old: OldDevice, names: Names, sheet: Report) -> Registration | None:
    application = None
    if old.application:
        application = names.of(old.application, old.backend)
        if application is None:
            sheet.skip(
                DEVICES,
                f"there is no {old.backend} application {old.application!r}: declare it, or say"
                " --application OLD=NEW",
            )
            return None
    try:
        return cleaned(
            old.backend,
            old.token,
            old.extra,
            application=application,
            environment=old.environment,
            active=old.active,
            metadata={name: printable(name, text) for name, text in old.metadata.items()},
            using=run.using,
            known=names.known,
        )
    except InvalidField as problem:
        sheet.skip(DEVICES, problem.detail)
        return None


def printable(name: str, text: str) -> str:
    """What of the text the device's column of this name takes."""
    longest = getattr(Device._meta.get_field(name), "max_length", 0)
    return "".join(char for char in text if char.isprintable())[:longest]


def _store(
    run: Run, source: str, wanted: list[tuple[OldDevice, Registration, Any]], sheet: Report
) -> None:
    if wanted and not run.dry_run:
        lock_inboxes({user_id for _, _, user_id in wanted}, run.using)
    # a later statement than the locks: it sees what they waited for
    have = _in_the_hub(run, [checked for _, checked, _ in wanted])
    became: dict[Any, int] = {}
    new: dict[tuple[str, str], Device] = {}
    keys: dict[tuple[str, str], list[Any]] = {}
    room = _room(run) if any(user_id is None for _, _, user_id in wanted) else 0
    for old, checked, user_id in wanted:
        address = (checked.backend, checked.token_hash)
        if address in have:
            sheet.known[DEVICES] += 1
            became |= dict.fromkeys((old.key, *old.others), have[address])
        elif address in new:
            sheet.skip(DEVICES, ANOTHER_ROW)
            keys[address] += [old.key, *old.others]
        elif user_id is None and checked.active and room < 1:
            sheet.skip(DEVICES, NOBODYS)
        else:
            room -= user_id is None and checked.active
            sheet.imported[DEVICES] += 1
            new[address] = _device(run, old, checked, user_id)
            keys[address] = [old.key, *old.others]
    if run.dry_run:
        return
    Device.objects.using(run.using).bulk_create(new.values())
    for address, device in new.items():
        became |= dict.fromkeys(keys[address], device.pk)
    run.remember(source, became)
    _within_cap(run, list(new.values()), sheet)
    set_pushable({device.user_id for device in new.values()}, run.using)


def _room(run: Run) -> int:
    """How many more devices may be nobody's."""
    nobodys = Device.objects.using(run.using).active().filter(user=None)
    return conf().open_registration - nobodys.count()


def _in_the_hub(run: Run, wanted: Iterable[Registration]) -> dict[tuple[str, str], int]:
    """The hub's own rows with these tokens, also ended ones: whoever has it here, has it."""
    hashes = {checked.token_hash for checked in wanted}
    rows = Device.objects.using(run.using).filter(token_hash__in=hashes)
    return {
        (backend, token_hash): pk
        for backend, token_hash, pk in rows.values_list("backend", "token_hash", "pk")
    }


def _device(run: Run, old: OldDevice, checked: Registration, user_id: Any) -> Device:
    created_at = old.created_at or run.at
    return Device(
        user_id=user_id,
        backend=checked.backend,
        application=checked.application,
        environment=checked.environment,
        token=checked.token,
        token_hash=checked.token_hash,
        extra=dict(checked.extra),
        origin=checked.origin,
        active=checked.active,
        created_at=created_at,
        registered_at=old.registered_at or created_at,
        last_used_at=old.last_used_at,
        deactivated_at=None if checked.active else old.inactive_since or run.at,
        reason="" if checked.active else Reason.LOGOUT,
        **checked.metadata,
    )


def _within_cap(run: Run, made: Sequence[Device], sheet: Report) -> None:
    most = max(conf().devices_per_user, 1)
    users = {device.user_id for device in made} - {None}
    rows = Device.objects.using(run.using).filter(user__in=users)
    counted = rows.order_by().values("user_id").annotate(number=Count("pk"))
    over = {row["user_id"]: row["number"] - most for row in counted.filter(number__gt=most)}
    for user_id, number in over.items():
        newest = max(
            (device for device in made if device.user_id == user_id),
            key=lambda device: (device.active, device.registered_at, device.pk),
        )
        cap(user_id, newest, run.at, run.using)
        sheet.change(DEVICES, OVER_CAP, number)
