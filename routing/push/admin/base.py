"""What the push road's admin pages share with the domain's."""

from notifications.admin.base import (
    Acts,
    BoundedPaginator,
    Large,
    LookOnly,
    ModelAdmin,
    id_of,
    log,
    may_change,
    people,
    trace_link,
)

__all__ = [
    "Acts",
    "BoundedPaginator",
    "Large",
    "LookOnly",
    "ModelAdmin",
    "id_of",
    "log",
    "may_change",
    "people",
    "trace_link",
]
