"""Settings that the live road cannot work with stop the start with a sentence."""

from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from routing import checks

pytestmark = pytest.mark.embedded


def ids(*found: Any) -> list[str]:
    return [message.id for messages in found for message in messages]


def layer(backend: str) -> dict[str, Any]:
    return {"default": {"BACKEND": backend, "CONFIG": {}}}


def all_ids() -> list[str]:
    return ids(
        checks.check_layer(),
        checks.check_origins(),
        checks.check_sessions(),
        checks.check_choices(),
    )


def test_the_default_is_fine() -> None:
    assert all_ids() == []


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ({}, "hub.E011"),
        (layer("channels.layers.InMemoryChannelLayer"), "hub.E012"),
        (layer("channels_redis.core.RedisChannelLayer"), "hub.E013"),
    ],
)
def test_layers_that_lose_messages(settings: Any, layers: Any, expected: str) -> None:
    settings.CHANNEL_LAYERS = layers
    assert all_ids() == [expected]


@pytest.mark.parametrize("backend", [checks.LOCAL, checks.PUBSUB, "somebody.elses.Layer"])
def test_other_layers(settings: Any, backend: str) -> None:
    settings.CHANNEL_LAYERS = layer(backend)
    assert all_ids() == []


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("ALLOWED_ORIGINS", ["*"], "hub.E014"),
        ("ALLOWED_ORIGINS", ["https://*.example.com"], "hub.E014"),
        ("ALLOWED_ORIGINS", [None], "hub.E014"),
        ("ALLOWED_ORIGINS", ["example.com"], "hub.E015"),
        ("ALLOWED_ORIGINS", ["https://example.com/"], "hub.E015"),
        ("ALLOWED_ORIGINS", ["null"], "hub.E015"),
        ("WORKER_IN_SERVER", "yes", "hub.E017"),
        ("SOCKETS_PER_USER", 0, "hub.E018"),
        ("RECONCILE", timedelta(0), "hub.E019"),
        ("RECONCILE", timedelta(seconds=16), "hub.E019"),
        ("VERIFY", timedelta(seconds=61), "hub.E020"),
    ],
)
def test_values_that_cannot_work(settings: Any, key: str, value: Any, expected: str) -> None:
    settings.HUB = {**settings.HUB, key: value}
    assert all_ids() == [expected]


def test_sessions_that_cannot_be_revoked(settings: Any) -> None:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    assert all_ids() == ["hub.E016"]


def test_several_processes_need_a_layer_between_them(settings: Any) -> None:
    with pytest.raises(CommandError, match="--processes 1"):
        call_command("serve", "--processes", "2", "--port", "0")
    settings.CHANNEL_LAYERS = layer(checks.PUBSUB)
    assert checks.problem_with_processes(2) is None


def test_a_wrong_number_of_processes() -> None:
    with pytest.raises(CommandError, match="at least 1"):
        call_command("serve", "--processes", "0")


def test_a_port_that_is_taken() -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(CommandError, match="cannot listen on"):
            call_command("serve", "--port", str(taken.getsockname()[1]))
    with pytest.raises(CommandError, match="cannot listen on"):
        call_command("serve", "--port", "70000")


def test_a_faulty_setting_stops_the_start(settings: Any) -> None:
    from django.core.management.base import SystemCheckError

    settings.HUB = {**settings.HUB, "ALLOWED_ORIGINS": ["*"]}
    with pytest.raises(SystemCheckError, match="ALLOWED_ORIGINS"):
        call_command("serve", "--port", "0", skip_checks=False)
