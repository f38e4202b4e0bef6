"""`manage.py demo` makes the people to try the hub with, once, and only with DEBUG."""

import io
from typing import Any

import pytest
from django.contrib.auth import authenticate, get_user_model
from django.core.management import CommandError, call_command

from notifications.models import Inbox, Notification

pytestmark = pytest.mark.django_db


def demo() -> str:
    output = io.StringIO()
    call_command("demo", stdout=output)
    return output.getvalue()


@pytest.fixture
def debug(settings: Any) -> None:
    settings.DEBUG = True
    settings.PORT = 8123


def test_everybody_can_log_in_and_has_an_empty_inbox(debug: None) -> None:
    demo()
    people = {name: authenticate(username=name, password="demo") for name in ("alice", "bob")}
    admin: Any = authenticate(username="admin", password="demo")
    assert all(people.values())
    assert not any(person.is_staff or person.is_superuser for person in people.values() if person)
    assert admin.is_superuser and admin.is_staff
    assert Inbox.objects.count() == 3
    assert not Notification.objects.exists()


def test_it_says_where_and_as_whom(debug: None) -> None:
    text = demo()
    for word in ("http://127.0.0.1:8123", "alice", "bob", "admin", "demo"):
        assert word in text


def test_a_second_run_changes_nothing(debug: None) -> None:
    demo()
    before = list(get_user_model()._default_manager.order_by("pk").values())
    demo()
    assert list(get_user_model()._default_manager.order_by("pk").values()) == before


def test_somebody_who_has_the_name_keeps_their_password(debug: None, alice: Any) -> None:
    password = alice.password
    demo()
    alice.refresh_from_db()
    assert alice.password == password


def test_never_without_debug() -> None:
    with pytest.raises(CommandError, match="DEBUG"):
        demo()
    assert not get_user_model()._default_manager.exists()
