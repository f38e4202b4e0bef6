"""Which applications there are, and their credentials: from settings or from the database."""

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import router, transaction
from django.db.models import F

from notifications.sql import Sql, columns_of
from routing.conf import conf
from routing.push import credentials as sealing
from routing.push import pausing
from routing.push.backends import registry
from routing.push.backends.base import PushBackend
from routing.push.models import Application
from routing.push.vapid import VapidKey

logger = logging.getLogger(__name__)

CONSOLE = "console"
WEBPUSH = "webpush"


class InvalidCredentials(ImproperlyConfigured):
    """Credentials that the backend cannot use; the text never quotes them."""


@dataclass(frozen=True, slots=True)
class Applications:
    """All applications at one moment."""

    by_id: Mapping[int, Application]
    using: str
    _defaults: dict[str, Application | None] = field(default_factory=dict)

    def named(self, name: str) -> Application | None:
        return next((row for row in self.by_id.values() if row.active and row.name == name), None)

    def of_backend(self, backend: str) -> list[Application]:
        return [row for row in self.by_id.values() if row.active and row.backend == backend]

    def default_of(self, backend: str) -> Application | None:
        """What devices of this backend use that name no application: the one marked so, or the
        only one there is. With DEBUG and none at all the console stands in."""
        if backend not in self._defaults:
            self._defaults[backend] = self._default_of(backend)
        return self._defaults[backend]

    def _default_of(self, backend: str) -> Application | None:
        rows = self.of_backend(backend)
        marked = [row for row in rows if row.is_default]
        if marked or len(rows) == 1:
            return (marked or rows)[0]
        if not rows and settings.DEBUG:
            return _console(self.using)
        return None

    def of_device(self, backend: str, application_id: int | None) -> Application | None:
        """Through which a device is sent to; None where no application is there for it."""
        if application_id is not None:
            found = self.by_id.get(application_id)
            if found is not None and found.active:
                return found
        return self.default_of(backend)


def _console(using: str) -> Application:
    rows = Application.objects.using(using)
    return rows.get_or_create(name=CONSOLE, defaults={"backend": CONSOLE})[0]


def alias(using: str | None = None) -> str:
    return using or router.db_for_write(Application)


def current(*, using: str | None = None) -> Applications:
    """All applications by one query, after the settings were compared with their rows."""
    database = alias(using)
    rows = _read(database)
    if _differs(rows):
        sync(using=database)
        rows = _read(database)
    return Applications({row.pk: row for row in rows}, database)


#: By alias, what was last read on PostgreSQL and its `STAMP`.
_read_last: dict[str, tuple[str, list[Application]]] = {}

#: What all rows are, on PostgreSQL: it is another one when any of them is another. All ids are
#: above 0; said, their index is used where a transaction has switched sequential scans off.
STAMP = """(
    SELECT COALESCE(md5(string_agg(a::text, '' ORDER BY a.id)), '')
    FROM {application} a WHERE a.id > 0
)"""


def unchanged(stamp: str | None, *, using: str) -> Applications:
    """`current`, for who was told the stamp by a statement of their own: where it is the one of
    what was read last, nothing is asked."""
    last, rows = _read_last.get(using, (None, []))
    if stamp is None or stamp != last or _differs(rows):
        return current(using=using)
    return Applications({row.pk: row for row in rows}, using)


def _read(using: str) -> list[Application]:
    sql = Sql(using)
    if not sql.postgres:
        return list(Application.objects.using(using))
    columns, names = columns_of(Application, using)
    table = sql.connection.ops.quote_name(Application._meta.db_table)
    stamp = STAMP.format(application=table)
    statement = f"SELECT {stamp}, {columns} FROM {table} t WHERE t.id > 0"  # noqa: S608
    found = sql.rows_again(statement, [])
    rows = [Application.from_db(using, names, row[1:]) for row in found]
    rows.sort(key=lambda row: (row.backend, row.name))
    _read_last[using] = found[0][0] if found else "", rows
    return rows


def _wanted() -> dict[str, dict[str, Any]]:
    """The columns of what settings declare."""
    return {
        name: {
            "backend": given["backend"],
            "is_default": bool(given.get("default", False)),
            "concurrency": given.get("concurrency"),
            "fingerprint": fingerprint(given.get("credentials", {})),
            "declared": True,
            "active": True,
        }
        for name, given in conf().applications.items()
    }


def _differs(rows: Iterable[Application]) -> bool:
    wanted = _wanted()
    declared = {row.name: row for row in rows if row.declared and row.active}
    return declared.keys() != wanted.keys() or any(
        getattr(declared[name], column) != value
        for name, columns in wanted.items()
        for column, value in columns.items()
    )


def sync(*, using: str | None = None) -> None:
    """Makes the rows of declared applications equal to the settings; repeating it does nothing.

    One that is no longer declared becomes inactive: its deliveries wait for whatever replaces it.
    """
    database, wanted = alias(using), _wanted()
    with transaction.atomic(using=database):
        rows = Application.objects.using(database).select_for_update().order_by("pk")
        known = {row.name: row for row in rows}
        left = [row.pk for row in known.values() if row.declared and row.name not in wanted]
        Application.objects.using(database).filter(pk__in=left).update(
            active=False, is_default=False
        )
        for name, columns in wanted.items():
            if columns["is_default"]:
                _only_default(columns["backend"], name, database)
            row = known.get(name)
            if row is None:
                fresh = Application(name=name, **columns)
                Application.objects.using(database).bulk_create([fresh], ignore_conflicts=True)
                continue
            Application.objects.using(database).filter(pk=row.pk).update(credentials="", **columns)
            if row.fingerprint != columns["fingerprint"]:
                _renewed(row, database)


def _only_default(backend: str, name: str, using: str) -> None:
    rows = Application.objects.using(using).filter(backend=backend, is_default=True)
    rows.exclude(name=name).update(is_default=False)


def _renewed(application: Application, using: str) -> None:
    """Other credentials: workers load them, and what the old ones caused is forgiven."""
    rows = Application.objects.using(using).filter(pk=application.pk)
    rows.update(version=F("version") + 1)
    pausing.lift(application, using=using)
    logger.info("credentials changed application=%s", application.pk)


def fingerprint(credentials: Mapping[str, Any]) -> str:
    """Tells credentials apart and gives nothing of them away."""
    text = json.dumps(credentials, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def credentials_of(application: Application) -> dict[str, Any]:
    """The credentials in clear, for a backend's instance alone.

    Raises `credentials.Unreadable` and `credentials.NoCredentialKey`.
    """
    if application.declared:
        return dict(conf().applications.get(application.name, {}).get("credentials", {}))
    if not application.credentials:
        return {}
    return sealing.unseal(application.credentials, row=f"application:{application.pk}")


def backend_of(application: Application) -> type[PushBackend]:
    return registry.load(application.backend)


def set_credentials(
    application: Application, credentials: Mapping[str, Any], *, using: str | None = None
) -> None:
    """Seals and stores them, when the backend finds nothing wrong with them.

    Raises `InvalidCredentials`. The row must be saved already.
    """
    database = alias(using)
    check(application.backend, credentials)
    sealed = sealing.seal(credentials, row=f"application:{application.pk}")
    mark = fingerprint(credentials)
    with transaction.atomic(using=database):
        rows = Application.objects.using(database).filter(pk=application.pk)
        changed = application.fingerprint not in ("", mark)
        rows.update(credentials=sealed, fingerprint=mark)
        if changed:
            _renewed(application, database)
    application.refresh_from_db(using=database)


def check(backend: str, credentials: Mapping[str, Any]) -> None:
    """Raises `InvalidCredentials` with the backend's sentences, `UnknownBackend`."""
    problems = registry.load(backend).check_credentials(credentials)
    if problems:
        raise InvalidCredentials("; ".join(problems))


def rotate_credentials(*, using: str | None = None) -> tuple[int, list[str]]:
    """Seals all credentials with the newest key; returns how many were not yet, and the names of
    applications whose credentials no key reads: those stay as they are.

    Raises `credentials.NoCredentialKey`.
    """
    database, turned, unreadable = alias(using), 0, []
    for row in Application.objects.using(database).exclude(credentials=""):
        try:
            sealed = sealing.rotate(row.credentials, row=f"application:{row.pk}")
        except sealing.Unreadable:
            unreadable.append(row.name)
            continue
        if sealed != row.credentials:
            held = Application.objects.using(database).filter(
                pk=row.pk, credentials=row.credentials
            )
            turned += held.update(credentials=sealed)
    return turned, unreadable


def ensure_web_push(*, using: str | None = None) -> Application:
    """The default Web Push application; where there is none it is made, with a key of its own.

    For whoever starts a hub: of two processes that start at once one makes it.
    """
    database = alias(using)
    found = current(using=database)
    known = found.of_backend(WEBPUSH)
    if known:
        return found.default_of(WEBPUSH) or known[0]
    with transaction.atomic(using=database):
        row, made = Application.objects.using(database).get_or_create(
            name=WEBPUSH, defaults={"backend": WEBPUSH, "is_default": True}
        )
        if made:
            key = VapidKey.generate()
            subject = conf().vapid_subject
            set_credentials(
                row, {"private_key": key.private_text(), "subject": subject}, using=database
            )
            logger.info("made a VAPID key application=%s key=%s", row.pk, key.id)
    return row


def vapid_public_key(*, using: str | None = None) -> str | None:
    """What browsers subscribe with; None where there is no Web Push application."""
    found = current(using=using).default_of(WEBPUSH)
    if found is None or found.backend != WEBPUSH:
        return None
    return VapidKey.read(credentials_of(found)["private_key"]).public
