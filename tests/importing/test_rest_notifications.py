"""`import_from rest-notifications`: types, filters, events and notifications keep what they say."""

from typing import Any

import pytest
from django.core.management.base import CommandError

from notifications import inbox, send_notification
from notifications.importing import tables
from notifications.models import Event, EventType, Filter, Imported, Inbox, Notification
from tests.importing.tables import OldTables, ago, stored

NOTIFICATION = "notifications_notification"


@pytest.fixture
def forum(old: OldTables, alice: Any, bob: Any) -> OldTables:
    """Two events that came in another order than their ids say, and Bob's filter."""
    old.make("rest_notifications")
    like = old.add("notifications_eventtype", name="post_like", title="Likes")
    gone = old.add("notifications_eventtype", name="poke", title="Pokes", description="Old.")
    late = old.add(
        "notifications_event", timestamp=ago(days=1), title="Late", message="Two\r\nlines",
        data='{"post": 7}', author_id=bob.pk, type_id=like,
    )  # fmt: skip
    early = old.add(
        "notifications_event", timestamp=ago(days=9), title="Early", type_id=gone,
        author_id=10**6,
    )  # fmt: skip
    old.add(NOTIFICATION, event_id=late, user_id=alice.pk, readed=None)
    old.add(NOTIFICATION, event_id=early, user_id=alice.pk, readed=ago(days=3))
    old.add(NOTIFICATION, event_id=late, user_id=bob.pk, readed=None)
    old.add(NOTIFICATION, event_id=late, user_id=10**6, readed=None)
    mine = old.add("notifications_notificationsfilter", user_id=bob.pk)
    old.add(
        "notifications_notificationsfilter_types_enabled",
        notificationsfilter_id=mine,
        eventtype_id=like,
    )
    return old


def test_inboxes_are_as_they_were_and_in_the_order_of_the_old_times(forum, import_from, alice, bob):
    said = import_from("rest-notifications")
    early, late = Event.objects.order_by("id")
    assert (early.title, early.timestamp, early.author) == ("Early", ago(days=9), None)
    assert (late.title, late.message, late.data) == ("Late", "Two\nlines", {"post": 7})
    assert (late.author, late.type.name) == (bob, "post_like")
    rows = Notification.objects.filter(user=alice).order_by("arrived")
    assert [(r.event_id, r.arrived, r.version, r.read_at) for r in rows] == [
        (early.pk, 1, 1, ago(days=3)),
        (late.pk, 2, 2, None),
    ]
    found = inbox.summary(alice.pk)
    assert (found.unread, found.unseen, found.total, found.version) == (1, 1, 2, 2)
    assert [row["id"] for row in inbox.page(alice.pk).results] == [late.pk, early.pk]
    assert "events: 2 imported, 0 known already, 0 skipped" in said
    assert "notifications: 3 imported, 0 known already, 1 skipped" in said
    assert "1  its user is not there" in said


def test_what_comes_after_the_import_stands_above_it(forum, import_from, alice):
    import_from("rest-notifications")
    sent = send_notification("post_like", users=[alice])
    assert sent.pk > max(Event.objects.exclude(pk=sent.pk).values_list("pk", flat=True))
    assert Inbox.objects.get(pk=alice.pk).version == 3
    assert inbox.page(alice.pk).results[0]["id"] == sent.pk


def test_a_type_that_is_not_declared_is_stored_inactive(forum, import_from):
    said = import_from("rest-notifications")
    poke = EventType.objects.get(name="poke")
    assert (poke.title, poke.description, poke.active) == ("Pokes", "Old.", False)
    assert EventType.objects.get(name="post_like").active
    assert "1  inactive: not declared in EVENT_TYPES" in said


def test_what_was_muted_is_muted_and_a_choice_made_here_is_left(forum, import_from, alice, bob):
    import_from("rest-notifications")
    rows = Filter.objects.values_list("user", "type__name", "channel", "enabled")
    assert list(rows) == [(bob.pk, "poke", "inbox", False)]
    Filter.objects.update(enabled=True)
    said = import_from("rest-notifications")
    assert Filter.objects.get().enabled and "filters: 0 imported, 1 known already" in said


def test_a_second_run_adds_nothing(forum, import_from):
    import_from("rest-notifications")
    models = (Event, Notification, Inbox, Filter, EventType, Imported)
    before = [stored(model) for model in models]
    said = import_from("rest-notifications")
    assert [stored(model) for model in models] == before
    assert "notifications: 0 imported, 3 known already, 1 skipped" in said


def test_what_is_new_there_is_added_and_what_was_deleted_here_does_not_come_back(
    forum, import_from, alice
):
    import_from("rest-notifications")
    event = Event.objects.get(title="Late")
    inbox.delete(alice.pk, ids=[event.pk])
    Notification.objects.filter(user=alice, event=event).delete()  # its tombstone was purged
    fresh = forum.add("notifications_event", timestamp=ago(hours=1), title="New", type_id=1)
    forum.add(NOTIFICATION, event_id=fresh, user_id=alice.pk, readed=None)
    import_from("rest-notifications")
    assert [row["event"]["title"] for row in inbox.page(alice.pk).results] == ["New", "Early"]


def test_a_dry_run_says_the_same_and_stores_nothing(forum, import_from):
    models = (Event, Notification, Inbox, Filter, EventType, Imported)
    before = [stored(model) for model in models]
    dry = import_from("rest-notifications", "--dry-run")
    assert [stored(model) for model in models] == before
    assert dry.replace("would be imported", "imported") == import_from("rest-notifications")


def test_what_retention_would_delete_is_skipped(forum, import_from, settings, alice):
    settings.HUB = {**settings.HUB, "RETENTION": ago(days=4) - ago(days=9)}
    said = import_from("rest-notifications")
    assert [event.title for event in Event.objects.all()] == ["Late"]
    assert said.count('1  it is older than HUB["RETENTION"] keeps') == 2


def test_another_system_with_tables_of_that_name_is_told_apart(old, import_from):
    old.make("notifications_hq")
    with pytest.raises(CommandError, match="has no table 'notifications_eventtype'"):
        import_from("rest-notifications")
    with pytest.raises(CommandError, match="'notifications_notification' is not"):
        import_from("rest-notifications", "--table", "notifications_eventtype=hub_eventtype",
                    "--table", "notifications_event=hub_event")  # fmt: skip


def test_pages_are_cut_anywhere_and_memory_holds_one(forum, import_from, alice, monkeypatch):
    """Rows of one time, and of no whole second, stand on both sides of a page's end."""
    plain, read = tables.Source.all, []

    def counts(self: Any, text: str, parameters: Any = ()) -> Any:
        rows = plain(self, text, parameters)
        read.append(len(rows))
        return rows

    monkeypatch.setattr(tables, "PAGE", 2)
    monkeypatch.setattr(tables.Source, "all", counts)
    for number in range(9):
        key = forum.add("notifications_event", timestamp=ago(hours=5), title=f"{number}", type_id=1)
        forum.add(NOTIFICATION, event_id=key, user_id=alice.pk, readed=None)
    import_from("rest-notifications")
    titles = list(Event.objects.order_by("id").values_list("title", flat=True))
    assert titles == ["Early", "Late", *map(str, range(9))]
    assert max(read) == 2 < len(read)
    assert inbox.summary(alice.pk).total == 11
