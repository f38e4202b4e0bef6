"""One direct push in the making: its event, and what each recipient gets of it."""

import json
import logging
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import Model
from django.utils import timezone

from notifications import related
from notifications.errors import InvalidField
from notifications.models import Event, EventType
from notifications.templating import guard, wording
from routing.conf import conf
from routing.push import applications, notes
from routing.push.backends.base import PushBackend
from routing.push.models import Application, Delivery, Device
from routing.push.outcomes import (
    Address,
    InvalidAddress,
    Note,
    PayloadTooLarge,
    UnsupportedOption,
)
from routing.push.planning import RANKS
from routing.push.results import Result

logger = logging.getLogger(__name__)

#: The type of events that nobody declared: it is inactive, so that no list of types shows it.
TYPE = "direct_push"
CHUNK = 500  # recipients that are looked at, and stored by one statement
KINDS = ("topic", "condition", "alias")
LARGEST_BADGE = 2**31 - 1
LONGEST_RECIPIENT = 1_000

NO_APPLICATION = "no application for it"

State = Delivery.State


class UnknownApplication(LookupError):
    """No application has this name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One place that a direct push goes to."""

    application: Application
    address: Address
    device: Device | None = None


Recipient = Device | Target

#: A number for all, none at all (False), or what says it for each device.
Badge = int | bool | Callable[[Device], int | None] | None


def recipient(application: Application | str, *, kind: str, recipient: str) -> Target:
    """A topic, condition or alias that only the provider of this application knows.

    Raises `UnknownApplication`.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}")
    if isinstance(application, str):
        found = applications.current().named(application)
        if found is None:
            raise UnknownApplication(f"there is no application {application!r}")
        application = found
    return Target(application=application, address=Address(token=recipient, kind=kind))


def address_of(device: Device) -> Address:
    about = {
        "environment": device.environment, "type": device.type, "locale": device.locale,
    }  # fmt: skip
    return Address(
        token=device.token, extra={**device.extra, **about}, registered_at=device.registered_at
    )


class Call:
    """What is the same for all recipients, and what has been found out about their applications."""

    def __init__(
        self,
        *,
        title: str,
        message: str,
        tag: str,
        options: Mapping[str, Any],
        badge: Badge,
        batch: bool,
        using: str,
        related_objects: Iterable[Model] = (),
        template: str | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> None:
        """Raises `UnsupportedOption`, `InvalidField` for related objects that are none, and for a
        template what `send_notification` raises."""
        self.using, self.batch, self.at = using, batch, timezone.now()
        self._badge = badge if callable(badge) else None
        given = dict(options)
        if badge is not None and not callable(badge):
            given["badge"] = badge
        self.event = _event(title=title, message=message, tag=tag, push=given, using=using)
        # read once: it may be an iterator
        objects: Any = related_objects
        if isinstance(related_objects, Iterable):
            objects = list(related_objects)
        self._links, self._once = related.links_of(objects, using=using), False
        if template is not None:
            said = wording.apply(self.event, template, context, users=None, related_objects=objects)
            self._once = bool(self._links) and not said.base.allow_duplicates
        elif context is not None:
            raise InvalidField.of("context", "goes with a template")
        self.mark = uuid.uuid4().hex
        self.event.mark = self.mark  # type: ignore[attr-defined] # by which devices know duplicates
        self._known = applications.current(using=using)
        self._backends: dict[int, PushBackend | None] = {}
        self._problems: dict[tuple[int, str], str] = {}

    @property
    def stored_event(self) -> Event | None:
        return None if self.event._state.adding else self.event

    def target(self, to: Recipient) -> Target | Result:
        """Where it goes to; or why nothing is sent."""
        if isinstance(to, Target):
            text = to.address.token
            if len(text) > LONGEST_RECIPIENT or not text.isprintable():
                reason = f"a recipient has at most {LONGEST_RECIPIENT} printable characters"
                return self.result(to, State.ERROR, reason)
            return to
        if not to.active or not to.live:
            return self.result(to, State.SKIPPED, to.inactivity)
        application = self._known.of_device(to.backend, to.application_id)
        if application is None:
            return self.result(to, State.ERROR, NO_APPLICATION)
        return Target(application=application, address=address_of(to), device=to)

    def planned(self, to: Recipient) -> Delivery | Result:
        """The row to be stored; in its last state where it can never be sent."""
        target = self.target(to)
        if isinstance(target, Result):
            return target
        problem, badge = self.problem(target), None
        try:
            badge = self.badge(target)
        except ValueError as error:
            problem = str(error)
        row = self.row(target, badge)
        if problem:
            row.state, row.error, row.finished_at = State.ERROR, problem[:300], self.at
        return row

    def row(self, target: Target, badge: int | None) -> Delivery:
        device = target.device
        row = Delivery(
            user_id=device.user_id if device is not None else None,
            device_id=device.pk if device is not None else None,
            application=target.application,
            backend=target.application.backend if device is None else device.backend,
            origin=device.origin if device is not None else "",
            recipient="" if device is not None else target.address.token,
            kind=target.address.kind,
            direct=True,
            batch=self.batch,
            badge=badge,
            rank=RANKS[self.event.priority],  # type: ignore[index]
            due=self.at,
            expires_at=self.at + conf().push_wait,
            created_at=self.at,
        )
        row.event = self.event
        return row

    def words(self, users: Iterable[Any]) -> dict[Any, notes.Words]:
        """What the template says to these users, in their languages."""
        readers = [(self.event, user_id, True) for user_id in users]
        found = wording.push_words(readers, using=self.using)
        return {user_id: notes.Words().said(said) for (_, user_id), said in found.items()}

    def badge(self, target: Target) -> int | None:
        """The recipient's own number. Raises `ValueError`."""
        if self._badge is None or target.device is None:
            return None
        try:
            found = self._badge(target.device)
        except Exception as error:
            logger.exception("badge failed device=%s", target.device.pk)
            raise ValueError(f"badge: {type(error).__name__}") from None
        if found is not None and (type(found) is not int or not 0 <= found <= LARGEST_BADGE):
            raise ValueError("badge: must be an integer from 0 on, or None")
        return found

    def problems(self, targets: Iterable[Recipient]) -> list[str]:
        """What is known against sending this to these, each sentence once."""
        found = [self.target(each) for each in targets]
        said = [self.problem(each) for each in found if isinstance(each, Target)]
        return list(dict.fromkeys(filter(None, said)))

    def problem(self, target: Target) -> str:
        """Why no message of this call can ever be sent so; empty if nothing is known against it.
        For devices it is found out once per application."""
        key = (target.application.pk, target.address.kind)
        if target.device is None:
            return self._render(target)
        if key not in self._problems:
            self._problems[key] = self._render(target)
        return self._problems[key]

    def _render(self, target: Target) -> str:
        try:
            backend = self._backend(target.application)
            if backend is not None:
                backend.render(note_for(self.event, target=target), target.address, ref=0)
        except InvalidAddress as problem:
            # A device's is its own.
            return str(problem) if target.device is None else ""
        except PayloadTooLarge as problem:
            return f"too long: {problem}"
        except UnsupportedOption as problem:
            return str(problem)
        return ""

    def _backend(self, application: Application) -> PushBackend | None:
        """Not opened; None where it cannot be loaded: then it waits, as all of its do."""
        if application.pk not in self._backends:
            try:
                kind = applications.backend_of(application)
                found = kind(applications.credentials_of(application))
            except Exception as error:
                logger.error("backend not loaded application=%s error=%s", application.pk, error)
                found = None
            self._backends[application.pk] = found
        return self._backends[application.pk]

    def store(self, rows: Sequence[Delivery]) -> None:
        """In one transaction; the event with the first of them. Raises `TemplateRefused` where the
        template was sent already for the same related objects."""
        if not rows:
            return
        with transaction.atomic(using=self.using):
            if self.event._state.adding:
                self.event.save(using=self.using)
                if self._once:
                    guard.claim(self.event, self._links, using=self.using)
                if self._links:
                    related.store(self.event, self._links, using=self.using)
            for row in rows:
                row.event = self.event
            Delivery.objects.using(self.using).bulk_create(rows, batch_size=CHUNK)

    def result(self, to: Recipient, state: str, reason: str = "") -> Result:
        """Of a recipient of whom there is no row."""
        device = to if isinstance(to, Device) else to.device
        return Result(
            state=state,
            reason=reason,
            device_id=device.pk if device is not None else None,
            recipient=to.address.token if isinstance(to, Target) and device is None else "",
            application=to.application.name if isinstance(to, Target) else "",
        )

    def result_of(self, row: Delivery) -> Result:
        return Result(
            state=row.state,
            reason=row.error,
            delivery_id=row.pk,
            device_id=row.device_id,
            recipient=row.recipient,
            application=row.application.name if row.application is not None else "",
        )


def _event(*, title: str, message: str, tag: str, push: Mapping[str, Any], using: str) -> Event:
    """Not stored. Raises `UnsupportedOption`."""
    notes.check_options(push)
    _check_words(title=title, message=message, tag=tag)
    _check_json(push)
    rows = EventType.objects.using(using)
    kind, _ = rows.get_or_create(name=TYPE, defaults={"title": "Message", "active": False})
    return Event(
        type=kind,
        title=title,
        message=message,
        tag=tag,
        push=dict(push),
        priority=push.get("priority", "normal"),
        timestamp=timezone.now(),
    )


def _check_words(**words: Any) -> None:
    for name, text in words.items():
        longest = Event._meta.get_field(name).max_length  # type: ignore[union-attr]
        if not isinstance(text, str) or "\0" in text:
            raise UnsupportedOption(f"{name} must be text")
        if name != "message" and len(text) > (longest or 0):
            raise UnsupportedOption(f"{name} must have at most {longest} characters")


def _check_json(push: Mapping[str, Any]) -> None:
    """The options are stored with the event. Raises `UnsupportedOption`."""
    try:
        text = json.dumps(push, allow_nan=False, ensure_ascii=False)
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise UnsupportedOption(f"the push options must be JSON: {type(error).__name__}") from None
    if "\\u0000" in text:
        raise UnsupportedOption("the push options must not hold a null character")


def note_for(event: Event, *, target: Target) -> Note:
    return notes.note_of(
        event,
        words=notes.Words(),
        unread=None,
        folded=0,
        locale=str(target.address.extra.get("locale", "")),
        at=timezone.now(),
        ttl=conf().push_ttl,
    )
