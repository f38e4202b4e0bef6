"""Staff at the admin's pages."""

from collections.abc import Callable
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.test import Client


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def staff(make_user: Callable[..., Any], name: str, *permissions: str) -> Client:
    """A member of staff with these permissions, such as `view_event`, and no others."""
    user = make_user(name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    assert user.user_permissions.count() == len(permissions)
    return signed_in(user)


def said(answer: Any) -> str:
    """The messages on the page that an answer leads to."""
    return " | ".join(str(message) for message in answer.context["messages"])


def history() -> list[tuple[str, str]]:
    """What was done, and to what, oldest first."""
    rows = LogEntry.objects.order_by("pk")
    return [(row.get_change_message(), row.object_id or "") for row in rows]
