"""django-push-notifications: its four tables of devices, of any version.

Early versions have two tables; a Web Push device has its endpoint as a whole, or in versions
before 3.1 only what stands behind the push service's address.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from notifications.importing import (
    MissingTable,
    Query,
    Report,
    Row,
    Run,
    Table,
    columns_of,
    text_of,
)
from routing.push.importing.devices import DEVICES, Names, OldDevice, by_token, settle

SYSTEM = "django-push-notifications"
COLUMNS = (
    "id", "name", "active", "user_id", "device_id", "registration_id", "date_created",
    "application_id", "p256dh", "auth", "browser",
)  # fmt: skip
#: Its WP_POST_URL: what it put in front of the id that it stored.
PUSH_SERVICES = {
    "CHROME": "https://fcm.googleapis.com/fcm/send/",
    "OPERA": "https://fcm.googleapis.com/fcm/send/",
    "FIREFOX": "https://updates.push.services.mozilla.com/wpush/v2/",
}
NO_ENDPOINT = "only a part of its endpoint was stored, and its browser does not tell the rest"


def _gcm(row: Row, old: OldDevice) -> None:
    """Google's, under its old name too: GCM tokens are FCM's now."""
    if row["device_id"] is not None:
        # stored as a signed 64-bit integer; its users know it as an unsigned one in hexadecimal
        old.metadata["client_id"] = f"{int(row['device_id']) % 2**64:#x}"


def _uuid(value: Any) -> str:
    """SQLite has it without its hyphens."""
    try:
        return str(UUID(str(value)))
    except ValueError:
        return str(value or "")


def _apns(row: Row, old: OldDevice) -> None:
    old.metadata |= {"type": "ios", "client_id": _uuid(row["device_id"])}


def _wns(row: Row, old: OldDevice) -> None:
    old.metadata |= {"type": "windows", "client_id": _uuid(row["device_id"])}


def _web(row: Row, old: OldDevice) -> None:
    old.metadata["type"] = "web"
    old.extra = {"p256dh": text_of(row, "p256dh"), "auth": text_of(row, "auth")}
    if "://" not in old.token:
        service = PUSH_SERVICES.get(text_of(row, "browser").upper())
        if service is None:
            old.refused = NO_ENDPOINT
        else:
            old.token = service + old.token


@dataclass(frozen=True, slots=True)
class Kind:
    table: str
    backend: str
    complete: Callable[[Row, OldDevice], None]


KINDS = (
    Kind("push_notifications_gcmdevice", "fcm", _gcm),
    Kind("push_notifications_apnsdevice", "apns", _apns),
    Kind("push_notifications_wnsdevice", "wns", _wns),
    Kind("push_notifications_webpushdevice", "webpush", _web),
)


class PushNotifications:
    """Raises `ImportFault` where none of its tables is there, or one is not its."""

    def __init__(
        self, run: Run, *, applications: Mapping[str, str], environment: str = "production"
    ) -> None:
        """`environment` is that of all its APNs devices: it had one for the whole process."""
        self.run, self.environment = run, environment
        self.names = Names(run, applications)
        needs = {"id", "active", "user_id", "registration_id"}
        there = [kind for kind in KINDS if run.source.has(kind.table)]
        if not there:
            raise MissingTable(
                f"The database {run.source.using!r} has none of the tables of {SYSTEM}:"
                f" {', '.join(kind.table for kind in KINDS)}."
            )
        self.tables: list[tuple[Kind, Table]] = [
            (kind, run.source.table(kind.table, needs=needs, of=SYSTEM)) for kind in there
        ]

    @property
    def total(self) -> int:
        return sum(table.rows for _, table in self.tables)

    def run_all(self) -> None:
        for kind, table in self.tables:
            query = Query(
                self.run.source,
                f"{table.name} t",
                columns_of(table, *COLUMNS),
                order=("registration_id", "id"),
            )
            rows = by_token(query, by="registration_id", at="date_created")
            self.run.settle(DEVICES, rows, partial(self._settle, kind))

    def _settle(self, kind: Kind, rows: Sequence[Row], sheet: Report) -> None:
        olds = [self._device(kind, row) for row in rows]
        settle(self.run, f"push-notifications:{kind.table}", olds, self.names, sheet)

    def _device(self, kind: Kind, row: Row) -> OldDevice:
        old = OldDevice(
            key=row["id"],
            user=row["user_id"],
            backend=kind.backend,
            token=text_of(row, "registration_id"),
            application=text_of(row, "application_id"),
            environment=self.environment if kind.backend == "apns" else "",
            active=bool(row["active"]),
            created_at=self.run.source.time(row["date_created"]),
            metadata={"name": text_of(row, "name")},
            others=row["others"],
        )
        kind.complete(row, old)
        return old
