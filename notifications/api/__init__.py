"""The REST API. docs/protocol.md says what clients can rely on.

`HubView` and `operation` are here for the addresses that the roads add.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from notifications.api.schema import operation
    from notifications.api.views.base import HubView

__all__ = ["HubView", "operation"]


def __getattr__(name: str) -> Any:
    # Views cannot be imported before Django is set up: hence lazily.
    if name == "HubView":
        from notifications.api.views.base import HubView

        return HubView
    if name == "operation":
        from notifications.api.schema import operation

        return operation
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
