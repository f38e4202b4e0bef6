"""Event types: declared in code, copied to the database, checked at send."""

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command

from notifications import errors, event_types, inbox, send_notification
from notifications.models import EventType

pytestmark = pytest.mark.django_db(transaction=True)


def declare(settings, *types):
    settings.EVENT_TYPES = list(types)
    return event_types.sync()


def test_migrate_writes_the_declared_types(settings):
    EventType.objects.all().delete()
    call_command("migrate", verbosity=0)
    names = {given["name"] for given in settings.EVENT_TYPES}
    assert set(EventType.objects.active().values_list("name", flat=True)) == names


def test_a_new_title_is_the_new_title_and_a_vanished_type_becomes_inactive(settings):
    declare(settings, {"name": "a", "title": "Old"}, {"name": "b", "title": "B"})
    done = declare(settings, {"name": "a", "title": "New"})
    assert (done.updated, done.deactivated) == (["a"], ["b"])
    assert EventType.objects.get(name="a").title == "New"
    assert not EventType.objects.get(name="b").active
    assert declare(settings, {"name": "a", "title": "New"}) == event_types.Synced(
        created=[], updated=[], deactivated=[]
    )


def test_a_type_that_comes_back_is_active_again_under_its_id(settings):
    declare(settings, {"name": "a", "title": "A"})
    before = EventType.objects.get(name="a").pk
    declare(settings)
    declare(settings, {"name": "a", "title": "A"})
    row = EventType.objects.get(name="a")
    assert (row.pk, row.active) == (before, True)


def test_an_inactive_type_is_refused(alice, settings):
    declare(settings, {"name": "a", "title": "A"})
    declare(settings)
    with pytest.raises(errors.UnknownEventType):
        send_notification("a", users=alice)


def test_data_is_checked_against_the_declared_schema(alice, settings):
    schema = {"type": "object", "required": ["post"], "properties": {"post": {"type": "integer"}}}
    declare(settings, {"name": "a", "title": "A", "schema": schema})
    for wrong in (None, {}, {"post": "7"}, []):
        with pytest.raises(errors.InvalidData):
            send_notification("a", users=alice, data=wrong)
    assert inbox.summary(alice.pk).version == 0
    assert send_notification("a", users=alice, data={"post": 7}).pk


def test_the_type_decides_the_priority_unless_the_sender_does(alice):
    assert send_notification("become_friends_request", users=alice).priority == "high"
    assert send_notification("become_friends_request", users=alice, priority="low").priority == (
        "low"
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"title": "no name"},
        {"name": "no_title"},
        {"name": "x", "title": "X", "colour": "red"},
        {"name": "two\nlines", "title": "X"},
        {"name": "x" * 101, "title": "X"},
        {"name": "x", "title": "X", "priority": "urgent"},
        {"name": "x", "title": "X", "schema": {"type": "no such type"}},
        {"name": "x", "title": "X", "critical": True, "push": False},
        {"name": "x", "title": "X", "description": "d" * 1001},
    ],
)
def test_a_wrong_declaration_stops_the_start_with_a_sentence(settings, wrong):
    settings.EVENT_TYPES = [wrong]
    with pytest.raises(ImproperlyConfigured):
        event_types.declared_types()
    from django.core.checks import run_checks

    assert "hub.E003" in [message.id for message in run_checks()]


def test_two_declarations_of_one_name_must_agree(settings):
    settings.EVENT_TYPES = [{"name": "a", "title": "A"}, {"name": "a", "title": "B"}]
    with pytest.raises(ImproperlyConfigured):
        event_types.declared_types()


def test_an_installed_app_may_register_types(settings, monkeypatch):
    monkeypatch.setattr(event_types, "_registered", {})
    event_types.register({"name": "from_app", "title": "From an app"})
    settings.EVENT_TYPES = []
    assert event_types.sync().created == ["from_app"]
    with pytest.raises(ImproperlyConfigured):
        event_types.register({"name": "from_app", "title": "Otherwise"})


def test_the_migrations_hold_no_event_types():
    from pathlib import Path

    import notifications

    folder = Path(notifications.__file__).parent / "migrations"
    assert not any("post_like" in path.read_text() for path in folder.glob("*.py"))
