"""System checks: a setting that cannot work stops the start with a sentence."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, router

from notifications import conf, event_types
from notifications.models import Event
from notifications.templating import languages
from notifications.templating.models import template_model

SUPPORTED = {"postgresql", "sqlite"}


@register
def check_settings(**_: Any) -> list[CheckMessage]:
    """`HUB` and `EVENT_TYPES`: unknown keys, wrong types, declarations that contradict."""
    found: list[CheckMessage] = [
        Error(f"HUB has no setting {key!r}", id="hub.E001", hint="See docs/settings.md")
        for key in conf.unknown_keys()
    ]
    given = getattr(settings, "HUB", {})
    found += [
        Error(problem, id="hub.E002")
        for view in conf.HubSettings.views
        for problem in view.problems(given)
    ]
    found += _check_throttles(given)
    found += _check_templates()
    try:
        event_types.declared_types()
    except (ImproperlyConfigured, TypeError, AttributeError) as error:
        found.append(Error(str(error), id="hub.E003"))
    return found


def _check_throttles(given: Mapping[str, Any]) -> list[CheckMessage]:
    # imported late: REST framework wants its settings read first
    from notifications.api.throttles import rates

    text = given.get("THROTTLES", "on")
    try:
        if isinstance(text, str):
            rates(text)
    except ImproperlyConfigured as error:
        return [Error(str(error), id="hub.E006")]
    return []


def _check_templates() -> list[CheckMessage]:
    try:
        model, language = template_model(), conf.conf().user_language
    except ImproperlyConfigured as error:
        return [Error(str(error), id="hub.E009")]
    problem = languages.problem(language)
    return [Error(problem, id="hub.E009", obj=model)] if problem else []


@register
def check_database(**_: Any) -> list[CheckMessage]:
    """The hub's statements are written for PostgreSQL and SQLite, and rely on their locks."""
    connection = connections[router.db_for_write(Event)]
    if connection.vendor not in SUPPORTED:
        return [Error(f"the hub does not run on {connection.vendor}", id="hub.E004")]
    options = connection.settings_dict.get("OPTIONS", {})
    if connection.vendor == "sqlite" and options.get("transaction_mode") != "IMMEDIATE":
        return [
            Error(
                "SQLite needs OPTIONS transaction_mode IMMEDIATE",
                id="hub.E005",
                hint="A deferred transaction that reads and then writes fails at once when"
                " another one writes.",
            )
        ]
    return []
