"""The hub's settings that concern the domain: the dict `HUB`, read lazily and typed."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, TypeVar

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

View = TypeVar("View", bound="HubSettings")


class HubSettings:
    """Base of the typed views on `HUB`: each app's dataclass names the keys that it reads."""

    views: ClassVar[list[type["HubSettings"]]] = []

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        # A dataclass with slots is made twice under one name; the last one counts.
        HubSettings.views = [view for view in HubSettings.views if view.__name__ != cls.__name__]
        HubSettings.views.append(cls)

    @classmethod
    def keys(cls) -> dict[str, type]:
        return {field.name.upper(): field.type for field in dataclasses.fields(cls)}  # type: ignore[arg-type, misc]

    @classmethod
    def problems(cls, given: Mapping[str, Any]) -> list[str]:
        """Sentences about values whose type is not the one that the field declares."""
        found = []
        for key, kind in cls.keys().items():
            if key not in given:
                continue
            value = given[key]
            if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
                # never the value itself: it may be a secret in the wrong place
                given_kind = type(value).__name__
                found.append(f"HUB[{key!r}] must be a {kind.__name__}; it is a {given_kind}")
            elif isinstance(value, int) and not isinstance(value, bool) and value < 0:
                found.append(f"HUB[{key!r}] must not be negative; it is {value!r}")
            elif isinstance(value, timedelta) and value < timedelta(0):
                found.append(f"HUB[{key!r}] must not be negative; it is {value!r}")
        return found


@dataclass(frozen=True, slots=True)
class NotificationSettings(HubSettings):
    #: How long a notification is kept before retention deletes it.
    retention: timedelta = timedelta(days=180)
    #: How long a deletion can be resumed across; older cursors are answered by `reset`.
    tombstones: timedelta = timedelta(days=30)
    #: How long a repeated call with the same idempotency key is recognised.
    idempotency: timedelta = timedelta(days=30)
    #: "on", "off", or rates such as "user=600/min,token=30/min,send=120/min".
    throttles: str = "on"
    #: Whether REST takes `Authorization: Basic`; outside of DEBUG over HTTPS only.
    basic_authentication: bool = False
    #: Whether staff may make server calls: devices of others by REST, each by its permission.
    staff_calls: bool = False
    #: Bearer tokens of one user; the oldest goes when one more is made.
    tokens_per_user: int = 50
    #: The model of templates: `app.Model`, a child of `AbstractTemplate`.
    template_model: str = "hub_notifications.Template"
    #: Where users' languages stand: a field of the user model, also through links
    #: (`profile__language`), or the dotted path of a function (docs/templates.md).
    user_language: str = ""


def load(view: type[View]) -> View:
    """`HUB` as the given view.

    Raises `ImproperlyConfigured` when a value has another type than the view declares.
    """
    given: Mapping[str, Any] = getattr(settings, "HUB", {})
    known = _loaded.get(view)
    if known is not None and known[0] == given:
        return known[1]  # type: ignore[return-value]
    problems = view.problems(given)
    if problems:
        raise ImproperlyConfigured("; ".join(problems))
    names = view.keys()
    found = view(**{key.lower(): value for key, value in given.items() if key in names})
    _loaded[view] = dict(given), found
    return found


#: What each view was made of, and what it became: a send asks several times.
_loaded: dict[type[HubSettings], tuple[dict[str, Any], HubSettings]] = {}


def conf() -> NotificationSettings:
    return load(NotificationSettings)


def unknown_keys() -> list[str]:
    """Keys of `HUB` that no installed app reads."""
    known = {key for view in HubSettings.views for key in view.keys()}
    return sorted(str(key) for key in getattr(settings, "HUB", {}) if key not in known)
