"""One numbered history: whatever happens, every client's copy ends up equal to the database.

Hypothesis drives sends, broadcasts, marks, deletions, expiry, retention, filters and clients that
come, go, lose frames and page slowly. The clients here follow docs/protocol.md and nothing else.
"""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from notifications import EVERYONE, inbox, send_notification
from notifications.models import (
    Event,
    EventType,
    Filter,
    HubState,
    IdempotencyKey,
    Inbox,
    Notification,
)
from notifications.representation import moment
from notifications.signals import Arrived, Broadcast, Deleted, Marked, inbox_changed

NAMES = ("alice", "bob", "charlie")
TYPES = ("post_like", "post_comment")
PAGE = 3  # small, so that paging is the usual case

User = get_user_model()


class Client:
    """A copy of one inbox, kept by the rules of docs/protocol.md."""

    def __init__(self, user_id: int) -> None:
        self.user_id = user_id
        self.rows: dict[int, dict[str, Any]] = {}
        self.tombs: dict[int, int] = {}
        self.connected = False
        self.paging: str | None = None
        self.behind = False
        self.reload()

    def reload(self) -> None:
        """The list as REST gives it, after a reset."""
        page = inbox.page(self.user_id, limit=1000, state="all")
        self.rows = {row["id"]: row for row in page.results}
        self.tombs = {}
        self.epoch, self.version = page.epoch, page.version
        self.paging, self.behind = None, False
        self.counters = inbox.summary(self.user_id)

    def read_a_page(self) -> None:
        since = self.paging or self.version
        found = inbox.changes(self.user_id, epoch=self.epoch, since=since, limit=PAGE)
        if found.reset:
            self.reload()
            return
        for change in found.changes:
            self.apply(change)
        # A read that settles its inbox may be overtaken by the frame that tells of it.
        self.version = max(found.version, self.version)
        self.paging = found.cursor if found.more else None
        self.behind = found.more

    def apply(self, change: dict[str, Any]) -> None:
        key, version = change["id"], change["version"]
        known = self.rows[key]["version"] if key in self.rows else self.tombs.get(key, 0)
        if version <= known:
            return
        if change.get("deleted"):
            self.rows.pop(key, None)
            self.tombs[key] = version
        else:
            self.tombs.pop(key, None)
            self.rows[key] = change

    def hear(self, version: int) -> bool:
        """Whether the frame of this number is the next one; a gap is noted and read later."""
        if not self.connected or self.paging or version <= self.version:
            return False
        if self.behind or version != self.version + 1:
            self.behind = True
            return False
        self.version = version
        return True

    def on_marked(self, change: Marked) -> None:
        if len(change.ids) > 100:
            self.behind = True
            return
        if not self.hear(change.position.version):
            return
        for row in self.rows.values():
            if row["version"] < change.position.version and self.reached(row, change):
                self.mark(row, change.state, change.at)
                row["version"] = change.position.version

    @staticmethod
    def reached(row: dict[str, Any], change: Marked) -> bool:
        if change.up_to is None:
            return row["id"] in change.ids
        if row["arrived"] > change.up_to or row["expired_at"]:
            return False
        if change.type is not None and row["event"]["type"]["name"] != change.type:
            return False
        # of what `up_to` reaches, only the rows that the mark alters
        if change.state == "unarchived":
            return bool(row["archived_at"])
        unmarked = {
            "seen": not row["seen_at"],
            "read": not row["read_at"],
            "unread": bool(row["read_at"]),
            "archived": True,
        }
        return not row["archived_at"] and unmarked[change.state]

    @staticmethod
    def mark(row: dict[str, Any], state: str, at: datetime) -> None:
        when = moment(at)
        if state in {"seen", "read"}:
            row["seen_at"] = row["seen_at"] or when
        if state == "read":
            row["read_at"] = row["read_at"] or when
        if state == "unread":
            row["read_at"] = None
        if state == "archived":
            row["archived_at"] = row["archived_at"] or when
        if state == "unarchived":
            row["archived_at"] = None
        if state == "expired":
            row["expired_at"] = when


class History(RuleBasedStateMachine):
    events = Bundle("events")
    people = st.sampled_from(NAMES)

    def __init__(self) -> None:
        super().__init__()
        for model in (Notification, Event, Filter, IdempotencyKey, Inbox):
            model.objects.all()._raw_delete("default")
        HubState.objects.update(broadcast=0)
        self.users = {name: User.objects.get_or_create(username=name)[0].pk for name in NAMES}
        inbox.make_missing()
        self.clients: list[Client] = []
        self.lose = 0
        inbox_changed.connect(self.on_change)

    def teardown(self) -> None:
        try:
            self.catch_up()
            self.every_copy_equals_the_database()
        finally:
            inbox_changed.disconnect(self.on_change)

    def on_change(self, change: Any, **_: Any) -> None:
        if self.lose:
            self.lose -= 1
            return
        if isinstance(change, Broadcast):
            connected = [client.user_id for client in self.clients if client.connected]
            inbox.take_in(connected)
            return
        for client in self.clients:
            if isinstance(change, Arrived):
                for recipient in change.recipients:
                    if recipient.user_id == client.user_id and client.hear(recipient.version):
                        row = inbox.get(client.user_id, change.event.pk)
                        if row is not None:
                            client.apply({**row, "version": recipient.version})
            elif change.position.user_id == client.user_id:
                if isinstance(change, Marked):
                    client.on_marked(change)
                elif isinstance(change, Deleted) and client.hear(change.position.version):
                    for key in change.ids:
                        client.apply(
                            {"id": key, "version": change.position.version, "deleted": True}
                        )

    # --- what happens in the application

    @initialize(target=events)
    def first(self) -> int:
        return send_notification("post_like", users=list(self.users.values())).pk

    @rule(
        target=events,
        names=st.sets(people, max_size=3),
        name=st.sampled_from(TYPES),
        lives=st.booleans(),
    )
    def send(self, names: set[str], name: str, lives: bool) -> int:
        expires_at = None if lives else timezone.now() + timedelta(hours=1)
        users = [self.users[person] for person in names]
        return send_notification(name, users=users, expires_at=expires_at).pk

    @rule(target=events, name=st.sampled_from(TYPES), lives=st.booleans())
    def broadcast(self, name: str, lives: bool) -> int:
        expires_at = None if lives else timezone.now() + timedelta(hours=1)
        return send_notification(name, users=EVERYONE, expires_at=expires_at).pk

    @rule(
        person=people,
        chosen=st.lists(events, max_size=4),
        state=st.sampled_from(list(inbox.STATES)),
    )
    def mark_ids(self, person: str, chosen: list[int], state: str) -> None:
        inbox.mark(self.users[person], state=state, ids=chosen)

    @rule(
        person=people,
        back=st.integers(0, 6),
        state=st.sampled_from(list(inbox.STATES)),
        name=st.none() | st.sampled_from(TYPES),
    )
    def mark_up_to(self, person: str, back: int, state: str, name: str | None) -> None:
        up_to = max(inbox.summary(self.users[person]).version - back, 0)
        inbox.mark(self.users[person], state=state, up_to=up_to, type=name)

    @rule(person=people, chosen=st.lists(events, max_size=3))
    def delete(self, person: str, chosen: list[int]) -> None:
        inbox.delete(self.users[person], ids=chosen)

    @rule(person=people, name=st.sampled_from(TYPES), on=st.booleans())
    def filter(self, person: str, name: str, on: bool) -> None:
        Filter.objects.update_or_create(
            user_id=self.users[person],
            type=EventType.objects.get(name=name),
            channel="inbox",
            defaults={"enabled": on},
        )

    @rule()
    def time_passes(self) -> None:
        over = timezone.now() - timedelta(milliseconds=1)
        Event.objects.exclude(expires_at=None).update(expires_at=over)
        Inbox.objects.exclude(next_expiry=None).update(next_expiry=over)

    @rule()
    def sweep(self) -> None:
        inbox.sweep_expired()

    @rule(keep=st.integers(0, 4))
    def retention(self, keep: int) -> None:
        """All but the newest events are old, and so are their tombstones."""
        old = timezone.now() - timedelta(days=200)
        newest = list(Event.objects.order_by("-pk").values_list("pk", flat=True)[:keep])
        Event.objects.exclude(pk__in=newest).update(timestamp=old)
        Notification.objects.exclude(deleted_at=None).update(deleted_at=old)
        inbox.prune()

    @rule()
    def a_backup_is_restored(self) -> None:
        inbox.new_epoch()
        for client in self.clients:
            client.behind = True  # what reconcile tells its sockets

    # --- what happens to clients

    @precondition(lambda self: len(self.clients) < 5)
    @rule(person=people)
    def come(self, person: str) -> None:
        client = Client(self.users[person])
        client.connected = True
        self.clients.append(client)

    @precondition(lambda self: self.clients)
    @rule(data=st.data())
    def go_or_return(self, data: st.DataObject) -> None:
        client = data.draw(st.sampled_from(self.clients))
        client.connected = not client.connected
        client.behind = True

    @precondition(lambda self: self.clients)
    @rule(data=st.data())
    def read_slowly(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.clients)).read_a_page()

    @rule(number=st.integers(1, 3))
    def frames_are_lost(self, number: int) -> None:
        self.lose = number

    # --- what must hold

    def catch_up(self) -> None:
        """What reconcile does: whoever is below the inbox reads until complete."""
        for client in self.clients:
            for _ in range(400):
                stand = inbox.positions([client.user_id])
                at = stand.inboxes[client.user_id]
                settled = at.broadcast == stand.broadcast and not at.expiry_due
                if settled and not client.behind and client.version == at.version:
                    break
                client.read_a_page()
            else:
                raise AssertionError("a client never became complete")

    def every_copy_equals_the_database(self) -> None:
        for client in self.clients:
            rows = inbox.page(client.user_id, limit=1000, state="all").results
            for row in [*rows, *client.rows.values()]:
                row["event"].pop("expires_at", None)  # `time_passes` moves it, not a change
            assert client.rows == {row["id"]: row for row in rows}

    @invariant()
    def counters_are_exact_and_numbers_dense(self) -> None:
        for stand in Inbox.objects.all():
            rows = list(Notification.objects.filter(user=stand.pk))
            listed = [
                row for row in rows if not (row.archived_at or row.expired_at or row.deleted_at)
            ]
            assert stand.total == len(listed)
            assert stand.unread == sum(row.read_at is None for row in listed)
            assert stand.unseen == sum(row.seen_at is None for row in listed)
            assert all(row.version <= stand.version for row in rows)
            assert len({row.arrived for row in rows}) == len(rows)

    @rule()
    def faults_heal(self) -> None:
        self.lose = 0
        self.catch_up()
        self.every_copy_equals_the_database()


@pytest.mark.timeout(300)
@pytest.mark.django_db(transaction=True)
def test_every_client_ends_up_equal_to_the_database():
    run_state_machine_as_test(
        History,
        settings=settings(
            max_examples=30,
            stateful_step_count=40,
            deadline=None,
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
