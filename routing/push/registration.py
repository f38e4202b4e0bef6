"""Registration: a token becomes a device, once, whoever sends it and however often.

Whoever shows a token has the device: registering a token that another user has is a hand-over,
which ends the old row and begins a new one, so that what was planned for the old owner can never
reach the next one.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, transaction
from django.utils import timezone

from notifications.errors import InvalidField
from routing.conf import conf
from routing.push import applications, pausing
from routing.push.backends import registry
from routing.push.backends.base import PushBackend
from routing.push.credentials import Unreadable
from routing.push.devices import (
    Reason,
    alias,
    cap,
    clean_metadata,
    deactivated,
    end,
    hash_of,
    lock_inboxes,
    set_pushable,
)
from routing.push.models import Application, Device
from routing.push.outcomes import Address, InvalidAddress
from routing.push.signals import device_registered, device_updated, tell

logger = logging.getLogger(__name__)

MAX_TOKEN = 4_096  # characters
ENVIRONMENTS = ("production", "sandbox")
#: Two registrations of one token at the same moment wait for each other; this many can meet.
REPEATS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What somebody wants to register, checked and cleaned."""

    backend: str
    token: str = field(repr=False)
    token_hash: str
    extra: Mapping[str, Any] = field(repr=False)
    origin: str
    application: Application | None
    environment: str
    active: bool
    metadata: Mapping[str, str]


def register(
    user: Any,
    *,
    backend: str,
    token: str,
    extra: Mapping[str, Any] | None = None,
    application: str | None = None,
    environment: str = "",
    active: bool = True,
    old_token: str | None = None,
    using: str | None = None,
    **metadata: str,
) -> tuple[Device, bool]:
    """Registers a device for `user`: new, known already, or taken over from another user.

    Returns the device and whether the user has it only now. `old_token` is the one that the
    provider has replaced by this. For `user` None it becomes nobody's device, unless somebody has
    it in use: what is not signed in takes nothing from anybody. Raises `InvalidField`.
    """
    database = alias(using)
    wanted = cleaned(
        backend,
        token,
        dict(extra or {}),
        application=application,
        environment=environment,
        active=active,
        metadata=metadata,
        using=database,
    )
    user_id = None if user is None else user.pk
    old_hash = _old_hash(backend, old_token, extra or {}) if old_token else ""
    for _ in range(REPEATS):
        # What is read here without a lock says which inboxes to lock, and is looked at again.
        owner = _live(wanted, database).values_list("user_id", flat=True).first()
        with transaction.atomic(using=database):
            users = {user_id, owner, None}
            lock_inboxes(users, database)
            found = _live(wanted, database).select_for_update().first()
            if found is not None and found.user_id not in users:
                continue
            answer = _store(user_id, wanted, found, old_hash, database)
            if answer is not None:
                return answer
    raise RuntimeError("a device was registered too often at once")


def open_is_full(*, using: str | None = None) -> bool:
    """Whether there are as many devices without an owner as `HUB["OPEN_REGISTRATION"]` lets be."""
    nobodys = Device.objects.using(alias(using)).active().filter(user=None)
    return nobodys.count() >= conf().open_registration


def _live(wanted: Registration, using: str) -> Any:
    rows = Device.objects.using(using).live()
    return rows.filter(backend=wanted.backend, token_hash=wanted.token_hash)


def cleaned(
    backend: str,
    token: str,
    extra: dict[str, Any],
    *,
    application: str | None,
    environment: str,
    active: bool,
    metadata: Mapping[str, str],
    using: str,
    known: applications.Applications | None = None,
) -> Registration:
    """What is to be stored of a device. Raises `InvalidField`; no text of it quotes a token.

    `known` are the applications there are, for callers who have asked for them.
    """
    kind = _backend(backend)
    text = token.strip() if isinstance(token, str) else ""
    if not text or len(text) > MAX_TOKEN or not text.isprintable():
        raise InvalidField.of("token", f"must be 1 to {MAX_TOKEN} printable characters")
    if environment not in ("", *ENVIRONMENTS):
        raise InvalidField.of("environment", f"must be one of {', '.join(ENVIRONMENTS)}")
    metadata = clean_metadata(metadata)
    known = known or applications.current(using=using)
    row = _application(known, backend, application)
    try:
        address, kept = kind.clean_address(text, {**extra, "environment": environment})
    except InvalidAddress as problem:
        raise InvalidField.of("token", f"is refused: {problem}") from None
    kept.pop("environment", None)
    through = row or known.default_of(backend)
    if through is not None and through.backend != backend:
        through = None  # the console, which stands in
    stamp, origin = _seen_by(kind, through, address, kept)
    return Registration(
        backend=backend,
        token=address,
        token_hash=hash_of(address),
        extra=kept | stamp,
        origin=origin,
        application=through,
        environment=environment,
        active=active,
        metadata=metadata,
    )


def _old_hash(backend: str, old_token: str, extra: Mapping[str, Any]) -> str:
    """As the old token was stored; one that is none any more is nobody's."""
    try:
        return hash_of(_backend(backend).clean_address(old_token.strip(), extra)[0])
    except InvalidAddress:
        return hash_of(old_token.strip())


def _backend(name: str) -> type[PushBackend]:
    try:
        return registry.load(name)
    except registry.UnknownBackend:
        # The console and the dummy are not offered to clients, but nothing refuses them.
        raise InvalidField.of("backend", "must be the name of a backend") from None


def _application(
    known: applications.Applications, backend: str, name: str | None
) -> Application | None:
    if not name:
        return None
    found = known.named(name)
    if found is None or found.backend != backend:
        raise InvalidField.of("application", "must be the name of an application of this backend")
    return found


def _seen_by(
    kind: type[PushBackend], through: Application | None, token: str, extra: Mapping[str, Any]
) -> tuple[dict[str, Any], str]:
    """What the device must remember of its application's credentials, and its origin there."""
    if through is None:
        return {}, ""
    try:
        secrets = applications.credentials_of(through)
        stamp = kind.stamp(secrets)
        address = Address(token=token, extra={**extra, **stamp})
        return stamp, kind(secrets).origin(address)[:255]
    except (Unreadable, ImproperlyConfigured, LookupError, ValueError) as error:
        # Credentials that cannot be used are no fault of who registers: the worker will say so.
        logger.warning("registration application=%s error=%s", through.pk, type(error).__name__)
        return {}, ""


def _store(
    user_id: Any, wanted: Registration, found: Device | None, old_hash: str, using: str
) -> tuple[Device, bool] | None:
    """Under the locks: the device and whether it is new; None when another registration came
    first and it is all to be looked at again."""
    at = timezone.now()
    if user_id is None and found is not None and found.user_id is not None and found.active:
        return found, False  # somebody's, and in use
    if found is not None and found.user_id == user_id:
        _forget_old(user_id, wanted, old_hash, using)
        return _again(found, wanted, at, using)
    if found is None and old_hash and old_hash != wanted.token_hash:
        replaced = _own(user_id, wanted.backend, old_hash, using)
        if replaced is not None:
            return _again(replaced, wanted, at, using)
    if found is not None:
        end(found, Reason.HANDED_OVER, at, using)
    # A row of one's own that was handed over meanwhile comes back, with its name and its id.
    earlier = (
        Device.objects.using(using)
        .filter(user=user_id, backend=wanted.backend, token_hash=wanted.token_hash, live=False)
        .order_by("-pk")
        .first()
    )
    device = earlier or Device(user_id=user_id, backend=wanted.backend, created_at=at)
    _fill(device, wanted, at)
    if not _saved(device, using):
        return None
    _forget_old(user_id, wanted, old_hash, using)
    if user_id is not None:
        cap(user_id, device, at, using)
    set_pushable({user_id} | ({found.user_id} if found is not None else set()), using)
    tell(device_registered, using=using, device=device)
    logger.info("registered device=%s user=%s hash=%s", device.pk, user_id, device.short_hash)
    return device, True


def _saved(device: Device, using: str) -> bool:
    """False where another registration of the token was first."""
    try:
        with transaction.atomic(using=using):
            device.save(using=using)
    except IntegrityError:
        return False
    return True


def _own(user_id: Any, backend: str, token_hash: str, using: str) -> Device | None:
    rows = Device.objects.using(using).live().filter(user=user_id, backend=backend)
    return rows.select_for_update().filter(token_hash=token_hash).first()


def _forget_old(user_id: Any, wanted: Registration, old_hash: str, using: str) -> None:
    """The provider has replaced this token: a push to it reaches nobody, or the same device."""
    if old_hash and old_hash != wanted.token_hash:
        old = _own(user_id, wanted.backend, old_hash, using)
        if old is not None:
            end(old, Reason.GONE, timezone.now(), using)


def _fill(device: Device, wanted: Registration, at: datetime) -> None:
    device.token, device.token_hash = wanted.token, wanted.token_hash
    device.extra, device.origin = dict(wanted.extra), wanted.origin
    device.application = wanted.application
    device.environment = wanted.environment
    device.active, device.live, device.registered_at = wanted.active, True, at
    device.deactivated_at = None if wanted.active else at
    device.reason = "" if wanted.active else Reason.LOGOUT
    device.suspended_until, device.suspended_for = None, ""
    for key, value in wanted.metadata.items():
        setattr(device, key, value)


def _again(
    device: Device, wanted: Registration, at: datetime, using: str
) -> tuple[Device, bool] | None:
    """The same user registers the device again: whatever had befallen it is forgiven."""
    was_active = device.active
    since = device.deactivated_at
    _fill(device, wanted, at)
    if not wanted.active and not was_active:
        device.deactivated_at = since
    if not _saved(device, using):
        return None
    pausing.release(device.pk, using=using)
    set_pushable({device.user_id}, using)
    if was_active and not device.active:
        deactivated(device, Reason.LOGOUT, using)
    else:
        tell(device_updated, using=using, device=device)
    return device, False
