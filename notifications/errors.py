"""What a caller of the hub can do wrong; each error has a code that clients see.

HubError
├── UnknownEventType       unknown_event_type
├── UnknownTemplate        unknown_template
├── NoAudience             no_audience
├── InvalidAudience        invalid_audience
├── UnknownUser            unknown_user
├── InvalidData            invalid_data
├── InvalidField           invalid
├── CriticalType           critical_type
└── IdempotencyConflict    idempotency_conflict
"""

from collections.abc import Mapping


class HubError(ValueError):
    """Do not raise directly. `code` is for programs, `detail` for people, `fields` for forms."""

    code = "invalid"

    def __init__(self, detail: str, *, fields: Mapping[str, list[str]] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.fields = dict(fields or {})


class UnknownEventType(HubError):
    code = "unknown_event_type"


class UnknownTemplate(HubError):
    code = "unknown_template"


class NoAudience(HubError):
    code = "no_audience"


class InvalidAudience(HubError):
    code = "invalid_audience"


class UnknownUser(HubError):
    code = "unknown_user"


class InvalidData(HubError):
    code = "invalid_data"


class InvalidField(HubError):
    """A value that breaks a rule of `docs/protocol.md`."""

    @classmethod
    def of(cls, field: str, reason: str) -> "InvalidField":
        return cls(f"{field}: {reason}", fields={field: [reason]})


class CriticalType(HubError):
    code = "critical_type"


class IdempotencyConflict(HubError):
    code = "idempotency_conflict"
