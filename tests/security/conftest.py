"""An owner whose things others try to reach, and what is stored of them, to see that it stays."""

import base64
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client

from notifications import send_notification, tokens
from notifications.models import Notification, Token
from notifications.testing import settle
from routing.push import applications
from routing.push.models import Application
from routing.push.registration import register
from tests.processes import Processes, ServerProcess
from tests.security.operations import Owned
from tests.waiting import wait_for

#: Stands in every text of the owner's: no answer to anybody else may hold it.
MARKER = "only-for-alice-7c1f"

#: Columns that change by being asked, or on their own.
MOVING = {"last_used_at", "until", "last_login"}


@pytest.fixture
def owned(alice: Any, password: str) -> Owned:
    """Alice has a notification, a token, and the permission to send."""
    alice.user_permissions.add(Permission.objects.get(codename="add_event"))
    text = tokens.make(alice, name=MARKER)
    send_now(
        "post_like",
        users=alice,
        author=alice,
        title=f"{MARKER} title",
        message=f"{MARKER} message",
        url=f"/{MARKER}/",
        data={"text": MARKER},
        tag=MARKER,
    )
    applications.ensure_web_push()  # whose public key is an operation of its own
    Application.objects.create(name="phones", backend="dummy", is_default=True)
    device, _ = register(alice, backend="dummy", token=f"{MARKER}-token", name=MARKER)
    return Owned(
        user_id=alice.pk,
        username=alice.get_username(),
        password=password,
        event_id=Notification.objects.get(user=alice).event_id,
        token_id=Token.objects.get(digest=tokens.digest(text)).pk,
        device_id=device.pk,
    )


def send_now(*arguments: Any, **options: Any) -> None:
    """Sends and fans out, also within the transaction of a test."""
    send_notification(*arguments, **options)
    settle()


@pytest.fixture
def stored(owned: Owned) -> Callable[[], dict[str, list[Any]]]:
    """What every table of the hub holds of the owner, and the owner's own row."""

    def read() -> dict[str, list[Any]]:
        found = {"user": list(get_user_model().objects.filter(pk=owned.user_id).values())}
        for model in models_of_users():
            columns = [field.attname for field in model._meta.concrete_fields]
            kept = [column for column in columns if column not in MOVING]
            for field in user_fields(model):
                rows = model._default_manager.filter(**{field.attname: owned.user_id})
                found[f"{model.__name__}.{field.name}"] = sorted(rows.values_list(*kept), key=repr)
        found["user"] = [
            {name: value for name, value in row.items() if name not in MOVING}
            for row in found["user"]
        ]
        return found

    return read


def models_of_users() -> list[Any]:
    """The hub's models that have a key to users: also those that are not written yet."""
    mine = [apps.get_app_config(label) for label in ("hub_notifications", "hub_routing")]
    return [model for app in mine for model in app.get_models() if user_fields(model)]


def user_fields(model: Any) -> list[Any]:
    user = get_user_model()
    return [field for field in model._meta.concrete_fields if field.related_model is user]


@pytest.fixture
def bearer() -> Callable[[Any], dict[str, str]]:
    """Headers of an app with a new token of this user."""
    return lambda user: {"Authorization": f"Bearer {tokens.make(user)}"}


def basic(name: str, password: str) -> dict[str, str]:
    """Headers of a program that signs in by Basic."""
    text = base64.b64encode(f"{name}:{password}".encode()).decode()
    return {"Authorization": f"Basic {text}"}


@pytest.fixture
def browser() -> Callable[..., Client]:
    """A browser in which this user has logged in; `strict=True` where CSRF is checked."""

    def make(user: Any, *, strict: bool = False) -> Client:
        client = Client(enforce_csrf_checks=strict)
        client.force_login(user)
        return client

    return make


@pytest.fixture(scope="module")
def standing_server(django_db_setup: None) -> Iterator[ServerProcess]:
    """One server for all tests of a module: starting it takes longer than most of them."""
    running = Processes()
    yield running.serve()
    running.close()


@pytest.fixture
def server(standing_server: ServerProcess, transactional_db: None) -> Iterator[ServerProcess]:
    """The standing server; it is idle again before the test's rows are removed."""
    yield standing_server
    assert standing_server.is_running, standing_server.log
    wait_for(lambda: not _connections(standing_server), 15, what="the server to be idle")


def _connections(server: ServerProcess) -> list[Any]:
    return [
        connection
        for connection in psutil.Process(server.pid).net_connections("tcp")
        if connection.status == psutil.CONN_ESTABLISHED and connection.laddr.port == server.port
    ]
