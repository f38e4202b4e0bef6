"""What a caller of the hub can do wrong; each error has a code that clients see.

HubError
├── UnknownEventType       unknown_event_type
├── UnknownTemplate        unknown_template
├── TemplateRefused        template_refused
├── TemplateFailed         template_failed
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
    #: The one key that errors of this kind are about, where the raiser names none.
    field: str | None = None

    def __init__(self, detail: str, *, fields: Mapping[str, list[str]] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        if fields is None:
            fields = {self.field: [detail]} if self.field else {}
        self.fields = dict(fields)


class UnknownEventType(HubError):
    code = "unknown_event_type"
    field = "type"


class UnknownTemplate(HubError):
    code = "unknown_template"
    field = "template"


class TemplateRefused(HubError):
    """It may not be sent: it is inactive, its `can_send` says no, or it was sent already."""

    code = "template_refused"
    field = "template"


class TemplateFailed(HubError):
    """It cannot be rendered with this context, or what comes out may not be stored."""

    code = "template_failed"
    field = "template"


class NoAudience(HubError):
    code = "no_audience"
    field = "users"


class InvalidAudience(HubError):
    code = "invalid_audience"
    field = "users"


class UnknownUser(HubError):
    code = "unknown_user"
    field = "users"


class InvalidData(HubError):
    code = "invalid_data"
    field = "data"


class InvalidField(HubError):
    """A value that breaks a rule of `docs/protocol.md`."""

    @classmethod
    def of(cls, field: str, reason: str) -> "InvalidField":
        """`reason` is the rest of a sentence that begins with the field, e.g. `must be text`."""
        return cls(f"{field} {reason}.", fields={field: [f"{reason[:1].upper()}{reason[1:]}."]})


class CriticalType(HubError):
    code = "critical_type"


class IdempotencyConflict(HubError):
    code = "idempotency_conflict"
