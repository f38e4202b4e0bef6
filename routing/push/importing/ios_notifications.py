"""django-ios-notifications: its devices, of which each could have several users, and its saved
messages. Its certificates are not imported: the gateway that they were for closed in 2021."""

from collections.abc import Mapping, Sequence
from typing import Any

from notifications.importing import (
    EVENTS,
    TOO_OLD,
    OldEvent,
    OtherTable,
    Query,
    Report,
    Row,
    Run,
    Table,
    TypeBook,
    columns_of,
    existing,
    json_of,
    store_events,
    text_of,
    too_old,
)
from notifications.models import EventType
from routing.push import direct
from routing.push.importing.devices import DEVICES, Names, OldDevice, by_token, settle

SYSTEM = "django-ios-notifications"
DEVICE = "ios_notifications_device"
OWNERS = "ios_notifications_device_users"
SERVICE = "ios_notifications_apnservice"
MESSAGE = "ios_notifications_notification"
MESSAGE_SOURCE = "ios-notifications:notification"
OWNERS_WHAT = "device owners"
OTHER_OWNERS = "users beside the one who was added last: a device has one owner"


class IosNotifications:
    """Raises `ImportFault` where a table is not there or not its."""

    def __init__(self, run: Run, *, applications: Mapping[str, str], event_type: str = "") -> None:
        self.run = run
        self.event_type = event_type or direct.TYPE
        self.names = Names(run, applications)
        table, of = run.source.table, SYSTEM
        self.devices = table(DEVICE, needs={"id", "token", "is_active", "service_id"}, of=of)
        self.owners = table(OWNERS, needs={"id", "device_id"}, of=of)
        self.services = table(SERVICE, needs={"id", "name", "hostname"}, of=of)
        self.messages = table(MESSAGE, needs={"id", "message", "created_at"}, of=of)
        self.user_column = _user_column(self.owners)
        rows = run.source.all(f"SELECT id, name, hostname FROM {self.services.name}")
        self.service = {key: (name, hostname) for key, name, hostname in rows}
        self.book = TypeBook(run)

    @property
    def total(self) -> int:
        return self.devices.rows + self.messages.rows

    def run_all(self) -> None:
        self._type()
        columns = columns_of(
            self.devices, "id", "token", "service_id", "deactivated_at", "added_at",
            "last_notified_at", "platform", "display", "os_version",
        )  # fmt: skip
        query = Query(
            self.run.source,
            f"{self.devices.name} t",
            {**columns, "active": 't."is_active"'},
            order=("token", "id"),
        )
        rows = by_token(query, by="token", at="added_at")
        self.run.settle(DEVICES, rows, self._settle_devices)
        messages = Query(
            self.run.source,
            f"{self.messages.name} t",
            columns_of(
                self.messages, "id", "message", "badge", "silent", "sound", "created_at",
                "custom_payload", "loc_payload",
            ),
            order=("created_at", "id"),
            times=frozenset({"created_at"}),
        )  # fmt: skip
        self.run.settle(EVENTS, messages, self._settle_messages)

    def _settle_devices(self, rows: Sequence[Row], sheet: Report) -> None:
        owners = self._owners(rows, sheet)
        olds = [self._device(row, owners.get(row["id"])) for row in rows]
        settle(self.run, f"ios-notifications:{DEVICE}", olds, self.names, sheet)

    def _owners(self, rows: Sequence[Row], sheet: Report) -> dict[int, Any]:
        """Of each device the user who was added last, of those who are there."""
        marks = ", ".join(["%s"] * len(rows))
        links = self.run.source.all(
            f"SELECT device_id, {self.user_column} FROM {self.owners.name}"
            f" WHERE device_id IN ({marks}) ORDER BY id",
            [row["id"] for row in rows],
        )
        there = existing({user for _, user in links}, using=self.run.using)
        found: dict[int, Any] = {}
        for device_id, user in links:
            if user not in there:
                found.setdefault(device_id, user)
                continue
            if found.get(device_id) in there:
                sheet.skip(OWNERS_WHAT, OTHER_OWNERS)
            found[device_id] = user
        return found

    def _device(self, row: Row, user: Any) -> OldDevice:
        time = self.run.source.time
        name, hostname = self.service.get(row["service_id"], ("", ""))
        model = " ".join(filter(None, (text_of(row, "platform"), text_of(row, "display"))))
        return OldDevice(
            key=row["id"],
            user=user,
            backend="apns",
            token=text_of(row, "token"),
            application=self._application(name),
            environment="sandbox" if "sandbox" in hostname else "production",
            active=bool(row["active"]),
            created_at=time(row["added_at"]),
            last_used_at=time(row["last_notified_at"]),
            inactive_since=time(row["deactivated_at"]),
            metadata={"name": model, "type": "ios", "os_version": text_of(row, "os_version")},
            others=row["others"],
        )

    def _application(self, name: str) -> str:
        """Empty, which is the default one, where all services there are of one application."""
        if self.names.of(name, "apns") is None and len({n for n, _ in self.service.values()}) == 1:
            return ""
        return name

    def _type(self) -> EventType:
        return self.book.named(self.event_type, title="Message")

    def _settle_messages(self, rows: Sequence[Row], sheet: Report) -> None:
        """Saved messages become events without audience, as direct pushes are."""
        run = self.run
        known = run.known(MESSAGE_SOURCE, (row["id"] for row in rows))
        new: dict[Any, OldEvent] = {}
        for row in rows:
            at = run.source.time(row["created_at"])
            if str(row["id"]) in known:
                sheet.known[EVENTS] += 1
            elif at is None or too_old(run, at):
                sheet.skip(EVENTS, TOO_OLD)
            else:
                new[row["id"]] = OldEvent(
                    type=self._type(),
                    timestamp=at,
                    message=text_of(row, "message"),
                    data=json_of(row["custom_payload"]),
                    push=_options(row),
                )
        stored = store_events(run, list(new.values()), sheet)
        run.remember(MESSAGE_SOURCE, dict(zip(new, stored, strict=True)))


def _options(row: Row) -> dict[str, Any] | None:
    """Its badge, sound, silence and localised words as push options (docs/push.md)."""
    found: dict[str, Any] = {}
    if row["badge"] is not None:
        found["badge"] = int(row["badge"])
    if row["sound"]:
        found["sound"] = row["sound"]
    if row["silent"]:
        found["silent"] = True
    localised = json_of(row["loc_payload"])
    if isinstance(localised, dict):
        words = {key.replace("-", "_"): value for key, value in localised.items()}
        found["options"] = {"apns": words}
    return found or None


def _user_column(owners: Table) -> str:
    """Named after the user model: user_id, or person_id. Raises `OtherTable`."""
    left = sorted(owners.columns - {"id", "device_id"})
    if len(left) != 1:
        raise OtherTable(f"The table {owners.name} is not {SYSTEM}'s: it names no user.")
    return f'"{left[0]}"'
