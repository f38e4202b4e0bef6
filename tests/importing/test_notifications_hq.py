"""`import_from notifications-hq`: a row per recipient there, an event with its recipients here."""

from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.contrib.contenttypes.models import ContentType
from django.core.management.base import CommandError
from django.db import OperationalError

from notifications import inbox
from notifications.importing import notifications_hq, running
from notifications.models import Event, EventType, Imported, Inbox, Notification, RelatedObject
from tests.importing.tables import OldTables, ago, stored

TABLE = "notifications_notification"
MODELS = (Event, Notification, Inbox, RelatedObject, EventType, Imported)


def type_of(model: Any) -> int:
    return ContentType.objects.get_for_model(model).pk


def row(recipient: Any, actor: Any, **more: Any) -> dict[str, Any]:
    fields = {
        "level": "info", "unread": True, "public": True, "deleted": False, "emailed": False,
        "recipient_id": recipient.pk, "actor_content_type_id": type_of(type(actor)),
        "actor_object_id": str(actor.pk), "verb": "commented on", "timestamp": ago(days=2),
    }  # fmt: skip
    return fields | more


@pytest.fixture
def hq(old: OldTables) -> OldTables:
    old.make("notifications_hq")
    return old


def test_one_send_to_two_people_is_one_event(hq, import_from, alice, bob, charlie):
    post = Group.objects.create(name="The post")
    about = {
        "target_content_type_id": type_of(Group), "target_object_id": str(post.pk),
        "description": "Nice.", "data": '{"comment": 3}', "level": "success",
    }  # fmt: skip
    hq.add(TABLE, **row(alice, charlie, **about))
    hq.add(TABLE, **row(bob, charlie, unread=False, **about))
    said = import_from("notifications-hq")
    event = Event.objects.get()
    assert (event.title, event.message) == ("charlie commented on The post", "Nice.")
    assert (event.author, event.timestamp) == (charlie, ago(days=2))
    assert (event.type.name, event.type.title, event.type.active) == (
        "commented_on", "commented on", False,
    )  # fmt: skip
    assert event.data == {
        "verb": "commented on",
        "level": "success",
        "actor": {"type": "auth.user", "id": str(charlie.pk)},
        "target": {"type": "auth.group", "id": str(post.pk)},
        "public": True,
        "emailed": False,
        "data": {"comment": 3},
    }
    links = RelatedObject.objects.values_list("content_type", "object_id")
    assert list(links) == [(type_of(Group), str(post.pk))]
    mine, bobs = (Notification.objects.get(user=user) for user in (alice, bob))
    assert (mine.read_at, bobs.read_at) == (None, ago(days=2))
    assert "events: 1 imported" in said and "notifications: 2 imported" in said


def test_a_send_whose_recipients_are_in_two_chunks_is_still_one_event(
    hq, import_from, alice, bob, charlie, monkeypatch
):
    monkeypatch.setattr(running, "CHUNK", 2)
    for person in (alice, bob, charlie):
        hq.add(TABLE, **row(person, charlie))
    hq.add(TABLE, **row(alice, charlie))  # the same again: a second event
    import_from("notifications-hq")
    counts = [Notification.objects.filter(event=event).count() for event in Event.objects.all()]
    assert sorted(counts) == [1, 3]
    assert inbox.summary(alice.pk).total == 2


def test_order_counters_and_deletions(hq, import_from, alice, bob):
    hq.add(TABLE, **row(alice, bob, timestamp=ago(days=1), verb="liked"))
    hq.add(TABLE, **row(alice, bob, timestamp=ago(days=3), verb="poked", unread=False))
    hq.add(TABLE, **row(alice, bob, timestamp=ago(days=2), verb="waved", deleted=True))
    said = import_from("notifications-hq")
    titles = [event.title for event in Event.objects.order_by("id")]
    assert titles == ["bob poked", "bob waved", "bob liked"]
    rows = Notification.objects.filter(user=alice).order_by("event_id")
    assert [(r.arrived, r.version, r.deleted_at is None) for r in rows] == [
        (1, 1, True), (2, 2, False), (3, 3, True),
    ]  # fmt: skip
    found = inbox.summary(alice.pk)
    assert (found.unread, found.unseen, found.total, found.version) == (1, 1, 2, 3)
    listed = [r["event"]["title"] for r in inbox.page(alice.pk).results]
    assert listed == ["bob liked", "bob poked"]
    assert "1  deleted there, so deleted here" in said


def test_a_second_run_adds_nothing_and_a_dry_run_stores_nothing(hq, import_from, alice, bob):
    for days in range(5):
        hq.add(TABLE, **row(alice, bob, timestamp=ago(days=days)))
    dry = import_from("notifications-hq", "--dry-run")
    assert not Event.objects.exists() and not Imported.objects.exists()
    assert dry.replace("would be imported", "imported") == import_from("notifications-hq")
    before = [stored(model) for model in MODELS]
    said = import_from("notifications-hq")
    assert [stored(model) for model in MODELS] == before
    assert "notifications: 0 imported, 5 known already, 0 skipped" in said


def test_an_import_that_was_interrupted_goes_on(hq, import_from, alice, bob, monkeypatch):
    monkeypatch.setattr(running, "CHUNK", 3)
    for days in range(10):
        hq.add(TABLE, **row(alice, bob, timestamp=ago(days=days)))
    plain, calls = running.Run._settle_once, []

    def stops_in_the_third_chunk(self: Any, rows: Any, settle: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return plain(self, rows, settle)

    with monkeypatch.context() as patch:
        patch.setattr(running.Run, "_settle_once", stops_in_the_third_chunk)
        with pytest.raises(CommandError, match="Run the import again to go on"):
            import_from("notifications-hq")
    assert inbox.summary(alice.pk).total == 6
    assert "notifications: 4 imported, 6 known already" in import_from("notifications-hq")
    rows = Notification.objects.order_by("arrived").values_list("arrived", "event__timestamp")
    assert [number for number, _ in rows] == list(range(1, 11))
    assert [at for _, at in rows] == [ago(days=days) for days in reversed(range(10))]


@pytest.mark.parametrize("where", ["_settle_once", "_chunks"])
def test_a_database_that_goes_away_is_a_sentence(hq, import_from, alice, bob, monkeypatch, where):
    hq.add(TABLE, **row(alice, bob))

    def lost(*_: Any) -> Any:
        raise OperationalError("the connection is lost")

    with monkeypatch.context() as patch:
        patch.setattr(running, "islice" if where == "_chunks" else "_alone", lost)
        with pytest.raises(CommandError, match="the connection is lost"):
            import_from("notifications-hq")
    assert "notifications: 1 imported" in import_from("notifications-hq")


def test_a_row_that_cannot_be_stored_is_a_fault_and_the_rest_goes_on(
    hq, import_from, alice, bob, monkeypatch
):
    plain = notifications_hq.title_of

    def breaks(verb: str, named: Any) -> str:
        if verb == "broken":
            raise ValueError("a title that is none")
        return plain(verb, named)

    monkeypatch.setattr(notifications_hq, "title_of", breaks)
    for number in range(9):
        verb = "broken" if number == 4 else "liked"
        hq.add(TABLE, **row(alice, bob, verb=verb, timestamp=ago(hours=number)))
    with pytest.raises(CommandError, match="1 rows could not be imported"):
        import_from("notifications-hq")
    found = inbox.summary(alice.pk)
    assert (found.total, found.version) == (8, 8)


def test_verbs_that_are_no_types_need_an_event_type(hq, import_from, alice, bob):
    hq.add_many(
        TABLE,
        [row(alice, bob, verb=f"reached level {n}", timestamp=ago(hours=n)) for n in range(101)],
    )
    with pytest.raises(CommandError, match="give --event-type NAME"):
        import_from("notifications-hq")
    assert not Event.objects.exists()
    import_from("notifications-hq", "--event-type", "post_like")
    assert set(Event.objects.values_list("type__name", flat=True)) == {"post_like"}


def test_the_first_versions_table_has_fewer_columns(old, import_from, alice, bob):
    old.make("notifications_hq_0_5")
    values = row(alice, bob)
    for name in ("deleted", "emailed"):
        del values[name]
    old.add(TABLE, **values)
    import_from("notifications-hq")
    assert Event.objects.get().title == "bob commented on"
    assert "emailed" not in Event.objects.get().data


def test_too_long_and_strange_words_are_cut_and_said(hq, import_from, alice, bob):
    hq.add(TABLE, **row(alice, bob, verb="x" * 250, description="y" * 4_001, data="not JSON"))
    said = import_from("notifications-hq", "--event-type", "post_like")
    event = Event.objects.get()
    assert len(event.title) == 200 and len(event.message) == 4_000
    assert event.data["data"] == "not JSON"
    assert "1  title cut to 200 characters" in said
    assert "1  message cut to 4,000 characters" in said


def test_a_missing_table_is_a_sentence(import_from, transactional_db):
    with pytest.raises(CommandError, match="--database-from"):
        import_from("notifications-hq")
    with pytest.raises(CommandError, match="has no alias 'elsewhere'"):
        import_from("notifications-hq", "--database-from", "elsewhere")
    with pytest.raises(CommandError, match="--recipients is for pymess"):
        import_from("notifications-hq", "--recipients", "ids")


def test_rest_notifications_table_is_not_taken_for_its(old, import_from):
    old.make("rest_notifications")
    with pytest.raises(CommandError, match="is not django-notifications-hq's"):
        import_from("notifications-hq")
