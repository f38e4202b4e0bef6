"""django-fcm-devices: its one table, in which a token may stand once for each user."""

from collections.abc import Mapping, Sequence

from notifications.importing import Query, Report, Row, Run, columns_of, text_of
from routing.push.devices import TYPES
from routing.push.importing.devices import DEVICES, Names, OldDevice, by_token, settle

SYSTEM = "django-fcm-devices"
TABLE = "fcm_devices_device"
COLUMNS = ("id", "name", "user_id", "active", "type", "token", "created_at", "updated_at")


class FcmDevices:
    """Raises `ImportFault` where the table is not there or not its."""

    def __init__(self, run: Run, *, applications: Mapping[str, str]) -> None:
        self.run = run
        self.names = Names(run, applications)
        needs = {"id", "user_id", "active", "token"}
        self.table = run.source.table(TABLE, needs=needs, of=SYSTEM)

    @property
    def total(self) -> int:
        return self.table.rows

    def run_all(self) -> None:
        query = Query(
            self.run.source,
            f"{self.table.name} t",
            columns_of(self.table, *COLUMNS),
            order=("token", "id"),
        )
        self.run.settle(DEVICES, by_token(query, by="token", at="updated_at"), self._settle)

    def _settle(self, rows: Sequence[Row], sheet: Report) -> None:
        olds = [self._device(row) for row in rows]
        settle(self.run, f"fcm-devices:{TABLE}", olds, self.names, sheet)

    def _device(self, row: Row) -> OldDevice:
        time = self.run.source.time
        kind = text_of(row, "type")
        return OldDevice(
            key=row["id"],
            user=row["user_id"],
            backend="fcm",
            token=text_of(row, "token"),
            active=bool(row["active"]),
            created_at=time(row["created_at"]),
            registered_at=time(row["updated_at"]),
            inactive_since=time(row["updated_at"]),
            metadata={"name": text_of(row, "name"), "type": kind if kind in TYPES else ""},
            others=row["others"],
        )
