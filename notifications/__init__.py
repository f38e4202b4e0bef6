"""The domain of the hub: what happened, whom it concerns, and what each person has seen of it."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from notifications.audiences import EVERYONE
    from notifications.sending import asend_notification, send_notification
    from notifications.templating.sending import send_template

__all__ = ["EVERYONE", "asend_notification", "send_notification", "send_template"]


def __getattr__(name: str) -> Any:
    # Models cannot be imported before Django is set up, and this package is an app: hence lazily.
    if name == "EVERYONE":
        from notifications.audiences import EVERYONE

        return EVERYONE
    if name == "send_template":
        from notifications.templating.sending import send_template

        return send_template
    if name in __all__:
        from notifications import sending

        return getattr(sending, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
