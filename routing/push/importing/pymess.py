"""pymess: its push notification templates, and its messages, each of which becomes an event and
its delivery."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.contrib.auth import get_user_model

from notifications.importing import (
    TOO_OLD,
    ContentTypes,
    OldEvent,
    OldTemplate,
    Query,
    Report,
    Row,
    Run,
    TypeBook,
    UnusableOption,
    columns_of,
    existing,
    json_of,
    store_events,
    store_templates,
    text_of,
    too_old,
)
from notifications.models import EventType
from routing.conf import conf
from routing.push import direct
from routing.push.models import Delivery

SYSTEM = "django-pymess"
MESSAGE = "pymess_pushnotificationmessage"
RELATED = "pymess_pushnotificationmessagerelatedobject"
TEMPLATE = "pymess_pushnotificationtemplate"
TEMPLATE_SOURCE = "pymess:pushnotificationtemplate"
MESSAGE_SOURCE = "pymess:pushnotificationmessage"
DELIVERIES = "deliveries"
STILL_WAITING = "it still waits there: let pymess send it, then import again"
OVER = 'its delivery is older than HUB["DELIVERY_RETENTION"] keeps'
RECIPIENTS = ("ids", "names")

State = Delivery.State
STATES = {2: State.SENT, 3: State.ERROR, 4: State.DEBUG}
WAITING, ERROR_RETRY = 1, 5
FIRST = 1  # its highest priority

#: What a template can be switched to, by our names, and the default.
SWITCHES = {
    "is_active": ("is_active", True),
    "is_locked": ("is_locked", False),
    "is_allowed_duplicate_messages": ("allow_duplicates", True),
}
COLUMNS = (
    "id", "created_at", "changed_at", "sent_at", "recipient", "content", "heading", "url",
    "redirect_url", "template_slug", "backend", "error", "extra_data", "extra_sender_data", "tag",
    "state", "number_of_send_attempts", "priority",
)  # fmt: skip


class Pymess:
    """Raises `ImportFault` where a table is not there or not its."""

    def __init__(self, run: Run, *, event_type: str = "", recipients: str = "") -> None:
        """`recipients` says whether its recipients are users' `ids` or `names`; empty: neither."""
        if not conf().persist_deliveries:
            raise UnusableOption('HUB["PERSIST_DELIVERIES"] is off: the hub would keep nothing.')
        self.run, self.event_type, self.recipients = run, event_type, recipients
        needs = {"id", "created_at", "recipient", "content", "state", "template_slug"}
        self.messages = run.source.table(MESSAGE, needs=needs, of=SYSTEM)
        self.related = run.source.table(
            RELATED, needs={"push_notification_message_id", "object_id"}, of=SYSTEM
        )
        self.templates = run.source.table(TEMPLATE, needs={"slug", "body"}, of=SYSTEM)
        self.content_types = ContentTypes(run.source)
        self.book = TypeBook(run)

    @property
    def total(self) -> int:
        return self.templates.rows + self.messages.rows

    def run_all(self) -> None:
        wanted = ("slug", "heading", "body", "redirect_url", *SWITCHES)
        templates = Query(
            self.run.source,
            f"{self.templates.name} t",
            columns_of(self.templates, *wanted) | {"id": 't."slug"'},
            order=("slug",),
        )
        self.run.settle("templates", templates, self._settle_templates)
        self._make_types()
        query = Query(
            self.run.source,
            f"{self.messages.name} t",
            columns_of(self.messages, *COLUMNS),
            order=("created_at", "id"),
            times=frozenset({"created_at"}),
        )
        self.run.settle(DELIVERIES, query, self._settle)

    def _settle_templates(self, rows: Sequence[Row], sheet: Report) -> None:
        olds = [
            OldTemplate(
                slug=text_of(row, "slug"),
                title=text_of(row, "heading"),
                message=text_of(row, "body"),
                url=text_of(row, "redirect_url"),
                # what an early version could not switch was as it is by default
                **{
                    ours: default if row[theirs] is None else bool(row[theirs])
                    for theirs, (ours, default) in SWITCHES.items()
                },
            )
            for row in rows
        ]
        store_templates(self.run, TEMPLATE_SOURCE, olds, sheet)

    def _make_types(self) -> None:
        if self.event_type:
            self._type("")
            return
        rows = self.run.source.all(
            f"SELECT DISTINCT template_slug FROM {self.messages.name} ORDER BY template_slug"
        )
        for (slug,) in rows:
            self._type(slug or "")

    def _type(self, slug: str) -> EventType:
        name = self.event_type or slug or direct.TYPE
        return self.book.named(name, title=name)

    def _settle(self, rows: Sequence[Row], sheet: Report) -> None:
        run = self.run
        known = run.known(MESSAGE_SOURCE, (row["id"] for row in rows))
        taken = []
        for row in rows:
            at = run.source.time(row["created_at"])
            if str(row["id"]) in known:
                sheet.known[DELIVERIES] += 1
            elif row["state"] in (WAITING, ERROR_RETRY):
                sheet.skip(DELIVERIES, STILL_WAITING)
            elif row["state"] not in STATES:
                sheet.skip(DELIVERIES, "its state is none that pymess has")
            elif at is None or too_old(run, at):
                sheet.skip(DELIVERIES, TOO_OLD)
            elif self._finished(row) < run.at - conf().delivery_retention:
                sheet.skip(DELIVERIES, OVER)
            else:
                taken.append({**row, "at": at})
        if taken:
            self._store(taken, sheet)

    def _finished(self, row: Row) -> Any:
        time = self.run.source.time
        return time(row["sent_at"]) or time(row["changed_at"]) or time(row["created_at"])

    def _store(self, rows: list[Row], sheet: Report) -> None:
        run = self.run
        links = self._links(rows)
        users = self._users(rows)
        events = [self._event(row, links.get(row["id"], [])) for row in rows]
        ids = store_events(run, events, sheet)
        sheet.imported[DELIVERIES] += len(rows)
        if run.dry_run:
            return
        deliveries = [
            self._delivery(row, event_id, users.get(row["recipient"]))
            for row, event_id in zip(rows, ids, strict=True)
        ]
        Delivery.objects.using(run.using).bulk_create(deliveries)
        run.remember(
            MESSAGE_SOURCE,
            {row["id"]: made.pk for row, made in zip(rows, deliveries, strict=True)},
        )

    def _links(self, rows: list[Row]) -> dict[int, list[tuple[int, str]]]:
        marks = ", ".join(["%s"] * len(rows))
        found: dict[int, list[tuple[int, str]]] = {}
        for message, content_type, object_id in self.run.source.all(
            f"SELECT push_notification_message_id, content_type_id, object_id"
            f" FROM {self.related.name} WHERE push_notification_message_id IN ({marks})",
            [row["id"] for row in rows],
        ):
            link = self.content_types.link(content_type, object_id)
            if link is not None:
                found.setdefault(message, []).append(link)
        return found

    def _users(self, rows: list[Row]) -> Mapping[Any, Any]:
        """Whose messages these were, where recipients are said to be users."""
        recipients = {row["recipient"] for row in rows}
        if self.recipients == "ids":
            return existing(recipients, using=self.run.using)
        if self.recipients == "names":
            model = get_user_model()
            column = model.USERNAME_FIELD
            users = model._default_manager.using(self.run.using)
            return dict(users.filter(**{f"{column}__in": recipients}).values_list(column, "pk"))
        return {}

    def _event(self, row: Row, links: list[tuple[int, str]]) -> OldEvent:
        return OldEvent(
            type=self._type(text_of(row, "template_slug")),
            timestamp=row["at"],
            title=text_of(row, "heading"),
            message=text_of(row, "content"),
            url=text_of(row, "redirect_url") or text_of(row, "url"),
            data=json_of(row["extra_data"]),
            tag=text_of(row, "tag"),
            template=text_of(row, "template_slug"),
            links=links,
        )

    def _delivery(self, row: Row, event_id: int, user_id: Any) -> Delivery:
        sent_at = self.run.source.time(row["sent_at"])
        answer = json_of(row["extra_sender_data"])
        provider_id = answer.get("id") if isinstance(answer, dict) else None
        return Delivery(
            event_id=event_id,
            user_id=user_id,
            backend=_backend(text_of(row, "backend")),
            recipient=text_of(row, "recipient"),
            kind="alias",
            direct=True,
            state=STATES[row["state"]],
            rank=Delivery.Rank.HIGH if row["priority"] == FIRST else Delivery.Rank.NORMAL,
            due=row["at"],
            expires_at=row["at"],
            attempts=min(row["number_of_send_attempts"] or 1, 32_767),
            error=text_of(row, "error")[:300],
            provider_id=str(provider_id or "")[:255],
            created_at=row["at"],
            sent_at=sent_at,
            finished_at=self._finished(row),
        )


def _backend(path: str) -> str:
    """`pymess.backend.push.onesignal.OneSignalPushNotificationBackend` becomes `onesignal`."""
    parts = path.split(".")
    return (parts[-2] if len(parts) > 1 else path or "onesignal")[:50]
