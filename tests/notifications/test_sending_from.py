"""The same call from everywhere: a view, an async view, a shell, a command, another process."""

from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import path

from notifications import asend_notification, inbox, send_notification

pytestmark = pytest.mark.django_db(transaction=True)


def plain_view(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(send_notification("post_like", users=int(request.GET["to"])).pk))


def atomic_view(request: HttpRequest) -> HttpResponse:
    with transaction.atomic():
        event = send_notification("post_like", users=int(request.GET["to"]))
        assert inbox.summary(int(request.GET["to"])).unread == 0
    return HttpResponse(str(event.pk))


async def async_view(request: HttpRequest) -> HttpResponse:
    event = await asend_notification("post_like", users=int(request.GET["to"]))
    return HttpResponse(str(event.pk))


urlpatterns = [
    path("plain/", plain_view),
    path("atomic/", atomic_view),
    path("async/", async_view),
]


@pytest.mark.parametrize("view", ["plain", "atomic", "async"])
def test_from_a_view(alice: Any, view: str) -> None:
    with override_settings(ROOT_URLCONF=__name__):
        answer = Client().get(f"/{view}/?to={alice.pk}")
    assert [row["id"] for row in inbox.page(alice.pk).results] == [int(answer.content)]


@pytest.mark.parametrize("view", ["plain", "atomic", "async"])
def test_from_a_view_under_asgi(alice: Any, view: str) -> None:
    with override_settings(ROOT_URLCONF=__name__):
        answer = async_to_sync(AsyncClient().get)(f"/{view}/?to={alice.pk}")
    assert [row["id"] for row in inbox.page(alice.pk).results] == [int(answer.content)]


def test_from_a_shell(alice: Any, processes: Any) -> None:
    code = (
        "from notifications import send_notification;"
        f"print(send_notification('post_like', users={alice.pk}, title='from a shell').pk)"
    )
    processes.run("shell", "-c", code)
    assert inbox.page(alice.pk).results[0]["event"]["title"] == "from a shell"


def test_from_a_command_in_another_process(alice: Any, bob: Any, processes: Any) -> None:
    processes.run(
        "send_notification", "post_like", "--user", "alice", "--user", "bob", "--title", "Hello"
    )
    for user in (alice, bob):
        assert inbox.page(user.pk).results[0]["event"]["title"] == "Hello"


def test_what_a_worker_process_finds_it_fans_out(alice: Any, processes: Any) -> None:
    from django.utils import timezone

    from notifications.models import Audience, Event, EventType

    event = Event.objects.create(type=EventType.objects.get(name="post_like"), title="left behind")
    Audience.objects.create(event=event, user_ids=[alice.pk], due=timezone.now())
    processes.run("worker", "--once")
    assert inbox.page(alice.pk).results[0]["id"] == event.pk
    assert not Audience.objects.exists()
