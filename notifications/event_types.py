"""Event types: declared in settings or by apps, copied to the database, never in a migration."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any

import jsonschema
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import router, transaction
from django.utils.module_loading import autodiscover_modules

from notifications.errors import InvalidData, UnknownEventType
from notifications.models import EventType, Priority

#: Types that installed apps registered with `register`, by name.
_registered: dict[str, "DeclaredType"] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredType:
    """A declaration as a team writes it.

    `schema` is a JSON Schema (draft 2020-12) for an event's `data`. `lifetime` sets `expires_at`
    where the sender does not. `inbox`, `live` and `push` are the channels' defaults.
    """

    name: str
    title: str
    description: str = ""
    critical: bool = False
    inbox: bool = True
    live: bool = True
    push: bool = True
    priority: str = "normal"
    lifetime: timedelta | None = None
    grace: timedelta | None = None
    schema: Mapping[str, Any] | None = None

    def stored(self) -> dict[str, Any]:
        """The columns of its row in the database."""
        return {
            "title": self.title,
            "description": self.description,
            "critical": self.critical,
            "inbox": self.inbox,
            "live": self.live,
            "push": self.push,
            "priority": self.priority,
            "lifetime": self.lifetime,
            "active": True,
        }

    def check_data(self, data: Any) -> None:
        """Raises `InvalidData` when `data` breaks the declared schema."""
        if self.schema is None:
            return
        validator = jsonschema.Draft202012Validator(self.schema)
        error = jsonschema.exceptions.best_match(validator.iter_errors(data))
        if error is not None:
            where = "/".join(str(part) for part in error.absolute_path)
            at = f"{where}: " if where else ""
            # The instance stands in the library's message; a client may get its own data back,
            # but never more of it than a line.
            raise InvalidData(
                f"data does not fit the schema of {self.name}.",
                fields={"data": [f"{at}{error.message}"[:300]]},
            )


def declare(given: Mapping[str, Any]) -> DeclaredType:
    """A declaration from a dict. Raises `ImproperlyConfigured` with a sentence."""
    known = {field.name for field in fields(DeclaredType)}
    name = given.get("name")
    if unknown := sorted(set(given) - known):
        raise ImproperlyConfigured(f"event type {name!r} has unknown keys: {', '.join(unknown)}")
    if not isinstance(name, str) or not name or len(name) > 100 or not name.isprintable():
        raise ImproperlyConfigured(f"an event type's name is 1 to 100 characters, not {name!r}")
    if not given.get("title") or len(given["title"]) > 300:
        raise ImproperlyConfigured(f"event type {name!r} needs a title of at most 300 characters")
    if len(given.get("description", "")) > 1000:
        raise ImproperlyConfigured(f"event type {name!r}: description over 1,000 characters")
    declared = DeclaredType(**given)
    if declared.priority not in Priority.values:
        raise ImproperlyConfigured(f"event type {name!r}: priority is low, normal or high")
    if declared.critical and not (declared.inbox and declared.live and declared.push):
        raise ImproperlyConfigured(f"event type {name!r} is critical: its channels must be on")
    if declared.schema is not None:
        try:
            jsonschema.Draft202012Validator.check_schema(declared.schema)
        except jsonschema.SchemaError as error:
            raise ImproperlyConfigured(f"event type {name!r}: schema: {error.message}") from None
    return declared


def register(*declarations: Mapping[str, Any]) -> None:
    """For an app's `event_types` module: declares types beside those of `EVENT_TYPES`.

    Takes dicts with the keys of `DeclaredType`; raises `ImproperlyConfigured` for a wrong one or
    for a name that is declared otherwise already.
    """
    for given in declarations:
        declared = declare(given)
        if _registered.setdefault(declared.name, declared) != declared:
            raise ImproperlyConfigured(f"event type {declared.name!r} is declared twice")


def declared_types() -> dict[str, DeclaredType]:
    """All declared types by name: the registered ones and those of `EVENT_TYPES` in settings."""
    types = dict(_registered)
    for given in getattr(settings, "EVENT_TYPES", []):
        declared = declare(given)
        if types.setdefault(declared.name, declared) != declared:
            raise ImproperlyConfigured(f"event type {declared.name!r} is declared twice")
    return types


def declaration_of(name: str) -> DeclaredType | None:
    """The declaration of one type, or None; only this one of `EVENT_TYPES` is looked at."""
    if name in _registered:
        return _registered[name]
    for given in getattr(settings, "EVENT_TYPES", []):
        if given.get("name") == name:
            return _declared(name, given)
    return None


#: What `declaration_of` was made of, and what it made: asked for with every send, and checking a
#: schema takes longer than a send.
_checked: dict[str, tuple[Mapping[str, Any], DeclaredType]] = {}


def _declared(name: str, given: Mapping[str, Any]) -> DeclaredType:
    known = _checked.get(name)
    if known is None or known[0] != given:
        known = _checked[name] = deepcopy(given), declare(given)
    return known[1]


def find(name: str, *, using: str | None = None) -> EventType:
    """The declared type of this name. Raises `UnknownEventType`."""
    rows = EventType.objects.using(using or router.db_for_write(EventType)).active()
    found = rows.filter(name=name).first()
    if found is None:
        raise unknown(name)
    return found


def unknown(name: str) -> UnknownEventType:
    return UnknownEventType(f"There is no event type {name!r}.")


def active(*, using: str | None = None) -> list[EventType]:
    """The declared types by name."""
    rows = EventType.objects.using(using or router.db_for_write(EventType)).active()
    # sorted here: databases differ in how they order what is not a letter
    return sorted(rows, key=lambda row: row.name)


def discover() -> None:
    """Imports the `event_types` module of every installed app, as admin does with `admin`."""
    autodiscover_modules("event_types")


@dataclass(frozen=True, slots=True, kw_only=True)
class Synced:
    """Names of the types that a synchronisation touched."""

    created: list[str]
    updated: list[str]
    deactivated: list[str]


def sync(*, using: str | None = None) -> Synced:
    """Makes the table equal to the declarations; doing it again changes nothing.

    A type that is no longer declared becomes inactive: its events stay, new ones are refused.
    """
    alias = using or router.db_for_write(EventType)
    declared = declared_types()
    created, updated = [], []
    with transaction.atomic(using=alias):
        rows = {row.name: row for row in EventType.objects.using(alias).select_for_update()}
        for name, declaration in declared.items():
            wanted = declaration.stored()
            row = rows.get(name)
            if row is None:
                EventType.objects.using(alias).bulk_create(
                    [EventType(name=name, **wanted)], ignore_conflicts=True
                )
                created.append(name)
            elif any(getattr(row, key) != value for key, value in wanted.items()):
                EventType.objects.using(alias).filter(pk=row.pk).update(**wanted)
                updated.append(name)
        gone = [row.name for row in rows.values() if row.active and row.name not in declared]
        EventType.objects.using(alias).filter(name__in=gone).update(active=False)
    return Synced(created=created, updated=updated, deactivated=sorted(gone))
