"""Load balancers and operators learn what they need, and nobody learns a secret."""

from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client

from notifications.models import Audience

SECRET = "password=hunter2"


def test_a_living_process_needs_no_database(client: Client) -> None:
    # without the mark django_db any query is an error
    answer = client.get("/health/live")
    assert (answer.status_code, answer.json()) == (200, {"live": True})


@pytest.mark.django_db
def test_ready_with_database_and_tables(client: Client) -> None:
    answer = client.get("/health/ready")
    assert answer.status_code == 200
    assert answer.json()["ready"] is True
    assert answer.json()["reasons"] == []
    assert "no-store" in answer["Cache-Control"]


@pytest.mark.django_db
def test_parked_audiences_are_counted_and_do_not_stop_it(client: Client) -> None:
    from django.utils import timezone

    Audience.objects.create(event_id=1, due=timezone.now(), state=Audience.State.PARKED)
    Audience.objects.create(event_id=2, due=timezone.now())
    answer = client.get("/health/ready")
    assert (answer.status_code, answer.json()["parked_audiences"]) == (200, 1)


@pytest.mark.django_db
@pytest.mark.parametrize(("deaf", "said"), [(True, "deaf"), (False, "ok"), (None, "unknown")])
def test_the_layer_is_reported_and_does_not_stop_it(
    client: Client, monkeypatch: pytest.MonkeyPatch, deaf: bool | None, said: str
) -> None:
    here = None if deaf is None else SimpleNamespace(listener=SimpleNamespace(deaf=deaf))
    monkeypatch.setattr("routing.live.runtime._running", here)
    answer = client.get("/health/ready")
    assert (answer.status_code, answer.json()["layer"]) == (200, said)


@pytest.mark.django_db
def test_not_ready_without_a_migration(client: Client) -> None:
    applied = MigrationRecorder(connection).migration_qs.filter(app="hub_notifications")
    applied.order_by("-id")[0].delete()
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["ready"] is False
    assert answer.json()["reasons"] == ["1 migrations are not applied"]


@pytest.mark.django_db
def test_not_ready_without_a_database(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*_: Any) -> None:
        raise OperationalError(f"connection failed: {SECRET}")

    monkeypatch.setattr("django.db.migrations.recorder.MigrationRecorder.has_table", away)
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["reasons"] == ["the database does not answer"]
    assert SECRET not in answer.content.decode() + caplog.text


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
@pytest.mark.django_db
def test_only_looks_are_answered(client: Client, path: str) -> None:
    assert client.head(path).status_code == 200
    assert client.post(path).status_code == 405


def test_its_numbers_a_process_tells_on_its_own_machine(client: Client) -> None:
    answer = client.get("/health/numbers")
    assert answer.status_code == 200
    numbers = answer.json()
    assert numbers["sockets"] == numbers["users"] == numbers["subscriptions"] == 0
    assert numbers["tasks"] >= 1


@pytest.mark.parametrize(
    "given", [{"REMOTE_ADDR": "10.0.0.9"}, {"HTTP_X_FORWARDED_FOR": "10.0.0.9"}]
)
def test_its_numbers_it_tells_nobody_else(client: Client, given: dict[str, Any]) -> None:
    answer = client.get("/health/numbers", **given)
    assert answer.status_code == 403
    assert b"tasks" not in answer.content
