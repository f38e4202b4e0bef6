"""Tells when another process has written to an SQLite database: it has no other voice."""

import logging
import sqlite3
import threading
from collections.abc import Callable

from django.db import connections, router

from notifications.models import Inbox

logger = logging.getLogger(__name__)

EVERY = 0.1  # seconds; one look takes microseconds
FAULT_PAUSE = 1.0


def sqlite_file() -> str | None:
    """The file of the hub's database; None where it is another database, or in memory."""
    connection = connections[router.db_for_write(Inbox)]
    name = str(connection.settings_dict["NAME"])
    if connection.vendor != "sqlite" or ":memory:" in name or "mode=memory" in name:
        return None
    return name


class Watcher:
    """A thread with a connection of its own: `data_version` counts the commits of all others."""

    def __init__(self, file: str, *, changed: Callable[[], None]) -> None:
        self._file = file
        self._changed = changed
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hub-data-version", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(FAULT_PAUSE)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._watch()
            except sqlite3.Error as error:
                logger.warning("data_version failed error=%r", error)
                self._stopped.wait(FAULT_PAUSE)

    def _watch(self) -> None:
        connection = sqlite3.connect(self._file, isolation_level=None)
        try:
            last = None
            while not self._stopped.wait(EVERY):
                version = connection.execute("PRAGMA data_version").fetchone()[0]
                if last is not None and version != last:
                    self._changed()
                last = version
        finally:
            connection.close()
