"""What a backend is given and what it answers: plain values, no models, no database."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any


class Verdict(Enum):
    """What a provider's answer means. A table per backend says which answer means what."""

    SENT = "sent"  # the provider took it; no proof that it was shown
    RETRY = "retry"  # not now: network, 429, 5xx
    GONE = "gone"  # this address will never take anything again
    REFUSED = "refused"  # this message can never succeed; the address is not blamed
    MISCONFIGURED = "misconfigured"  # our credentials: pause, alert, keep what waits


class Scope(Enum):
    """What an answer speaks of: whom to slow down, suspend or pause."""

    DELIVERY = "delivery"
    DEVICE = "device"
    ORIGIN = "origin"
    APPLICATION = "application"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A backend's answer for one message. Exactly one per message, and never an exception.

    `retry_after` is in seconds. `gone_since` is the provider's time from which the address was
    dead: a device registered after it lives. `may_have_arrived` says that the message may have
    been taken although no answer came. `suspends` marks answers that one foreign registration can
    provoke: the device is suspended, and only many of them pause the application. `alert` asks
    for a person's look although nothing is paused: a redirect, an answer that no table knows.
    """

    verdict: Verdict
    reason: str = ""
    status: int | None = None
    retry_after: float | None = None
    scope: Scope = Scope.DELIVERY
    gone_since: datetime | None = None
    may_have_arrived: bool = False
    suspends: bool = False
    alert: bool = False
    provider_id: str = ""

    @property
    def was_answered(self) -> bool:
        """Whether a provider said this, and not that nobody answered."""
        return self.verdict is not Verdict.RETRY or self.status is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a message goes. `secret` parts never stand in a repr or a log."""

    #: Token, endpoint URL, channel URI or subscription id; for a direct push a topic or condition.
    token: str = field(repr=False)
    #: "device", "topic", "condition" or "alias".
    kind: str = "device"
    #: What else the provider needs: Web Push `p256dh`, `auth`, `vapid`; APNs `environment`;
    #: `type` (ios, android, web, windows), `locale`.
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)
    registered_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """The words and options of one push, before a backend renders them for its provider.

    `badge` is the absolute number to show, `ttl` in seconds from now, `collapse_id` at most 64
    bytes. `raw` holds payloads for single backends, by backend name, that replace the rendered
    one; `options` holds, by backend name too, what only that provider knows (docs/push.md lists
    them). What another backend is told is nothing to this one.
    """

    title: str = ""
    body: str = ""
    url: str = ""
    data: Any = None
    tag: str = ""
    collapse_id: str = ""
    priority: str = "normal"
    ttl: int = 0
    badge: int | None = None
    silent: bool = False
    sound: str | Mapping[str, Any] | None = None
    image: str = ""
    icon: str = ""
    actions: tuple[Mapping[str, str], ...] = ()
    event_id: int | None = None
    event_type: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A rendered message: pure data, ready to be handed over."""

    #: The caller's own reference, given back with the outcome.
    ref: Any
    address: Address
    headers: Mapping[str, str] = field(repr=False, default_factory=dict)
    body: bytes = field(repr=False, default=b"")
    attempt: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """A provider's limits: sizes in bytes, times in seconds."""

    max_payload: int
    max_ttl: int
    max_batch: int = 1
    concurrency: int = 50
    request_seconds: float = 15.0


class PayloadTooLarge(Exception):
    """The rendered message is over the provider's limit; raised before any request."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"the payload has {size} bytes, {limit} are allowed")
        self.size, self.limit = size, limit


class UnsupportedOption(Exception):
    """The message asks for something that this provider cannot do or that contradicts itself."""


class InvalidAddress(Exception):
    """A token, endpoint or key that this backend cannot send to; the text never quotes it."""
