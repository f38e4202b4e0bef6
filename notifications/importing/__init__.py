"""Imports from other systems: their old tables, read in pages and settled in chunks.

`Source` finds the tables, `Run` settles their rows so that a repeated import adds nothing, and
`Report` says what became of them. The domain's part is here (event types, filters, events,
notifications); devices and deliveries are the push road's. docs/migrating.md is the manual.
"""

from notifications.importing.errors import (
    ImportFault,
    Interrupted,
    MissingTable,
    OtherTable,
    UnusableOption,
)
from notifications.importing.events import (
    EVENTS,
    TOO_OLD,
    ContentTypes,
    OldEvent,
    store_events,
    text_of,
    too_old,
)
from notifications.importing.notifications_hq import NotificationsHq
from notifications.importing.people import NO_USER, USER_GONE, existing, key_of
from notifications.importing.report import Report
from notifications.importing.rest_notifications import RestNotifications
from notifications.importing.running import Run
from notifications.importing.tables import Query, Row, Source, Table, columns_of, json_of
from notifications.importing.templates import OldTemplate, store_templates
from notifications.importing.types import TypeBook

__all__ = [
    "EVENTS",
    "NO_USER",
    "TOO_OLD",
    "USER_GONE",
    "ContentTypes",
    "ImportFault",
    "Interrupted",
    "MissingTable",
    "NotificationsHq",
    "OldEvent",
    "OldTemplate",
    "OtherTable",
    "Query",
    "Report",
    "RestNotifications",
    "Row",
    "Run",
    "Source",
    "Table",
    "TypeBook",
    "UnusableOption",
    "columns_of",
    "existing",
    "json_of",
    "key_of",
    "store_events",
    "store_templates",
    "text_of",
    "too_old",
]
