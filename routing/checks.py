"""System checks: a combination of settings that the live road cannot work with stops the start."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, router

from notifications import conf as domain
from notifications.models import Inbox
from routing.conf import conf

LOCAL = "routing.live.layer.LocalChannelLayer"
PUBSUB = "channels_redis.pubsub.RedisPubSubChannelLayer"
UNFIT = {
    "channels.layers.InMemoryChannelLayer": (
        "hub.E012",
        "it delivers late from other threads, and slower than linear in the number of sockets",
    ),
    "channels_redis.core.RedisChannelLayer": (
        "hub.E013",
        "it drops messages above 100 per process, and a restart of Redis ends it",
    ),
}


def layer_backend() -> str | None:
    config = getattr(settings, "CHANNEL_LAYERS", {}).get("default") or {}
    backend = config.get("BACKEND")
    return None if backend is None else str(backend)


@register
def check_layer(**_: Any) -> list[CheckMessage]:
    backend = layer_backend()
    if backend is None:
        return [
            Error(
                "CHANNEL_LAYERS has no default layer",
                id="hub.E011",
                hint=f"Use {PUBSUB}, or {LOCAL} for a single process.",
            )
        ]
    if backend in UNFIT:
        code, reason = UNFIT[backend]
        return [
            Error(
                f"the hub does not work with {backend}: {reason}",
                id=code,
                hint=f"Use {PUBSUB}, or {LOCAL} for a single process.",
            )
        ]
    if backend == LOCAL and connections[router.db_for_write(Inbox)].vendor != "sqlite":
        return [
            Warning(
                "the local layer reaches one process only",
                id="hub.W011",
                hint="What other processes send shows only after the next reconcile;"
                " set REDIS_URL or CHANNEL_LAYERS.",
            )
        ]
    return []


@register
def check_origins(**_: Any) -> list[CheckMessage]:
    """Origins are compared whole: a wildcard would let any page open sockets."""
    from routing.live.auth import origin_of

    try:
        origins = conf().allowed_origins
    except ImproperlyConfigured:
        return []  # reported by the check of the settings themselves
    found: list[CheckMessage] = []
    for origin in origins:
        if not isinstance(origin, str) or "*" in origin:
            found.append(
                Error(
                    f"HUB['ALLOWED_ORIGINS'] must not hold {origin!r}",
                    id="hub.E014",
                    hint="Name each origin whole, e.g. https://www.example.com",
                )
            )
        elif origin_of(origin) is None:
            found.append(
                Error(
                    f"{origin!r} in HUB['ALLOWED_ORIGINS'] is not an origin",
                    id="hub.E015",
                    hint="Scheme, host and port without a path, e.g. https://www.example.com",
                )
            )
    return found


@register
def check_sessions(**_: Any) -> list[CheckMessage]:
    if settings.SESSION_ENGINE == "django.contrib.sessions.backends.signed_cookies":
        return [
            Error(
                "sessions in signed cookies cannot be revoked: their sockets would never end",
                id="hub.E016",
                hint="Use a session engine that stores sessions on the server.",
            )
        ]
    return []


@register
def check_choices(**_: Any) -> list[CheckMessage]:
    try:
        settings = conf()
    except ImproperlyConfigured:
        return []
    found: list[CheckMessage] = []
    if settings.worker_in_server not in {"auto", "on", "off"}:
        found.append(Error("HUB['WORKER_IN_SERVER'] is auto, on or off", id="hub.E017"))
    if settings.sockets_per_user < 1:
        found.append(Error("HUB['SOCKETS_PER_USER'] must be at least 1", id="hub.E018"))
    if not settings.reconcile or settings.reconcile.total_seconds() > 15:
        found.append(
            Error(
                "HUB['RECONCILE'] must be above 0 and at most 15 seconds",
                id="hub.E019",
                hint="It bounds how long a client may lack what is stored.",
            )
        )
    if not settings.verify or settings.verify.total_seconds() > 60:
        found.append(
            Error(
                "HUB['VERIFY'] must be above 0 and at most 60 seconds",
                id="hub.E020",
                hint="It bounds how long a socket outlives its session.",
            )
        )
    return found


@register(Tags.security)
def check_open_registration(**_: Any) -> list[CheckMessage]:
    """Also without --deploy: a door that is open to anybody should be known of."""
    try:
        if not conf().open_registration:
            return []
        limited = domain.conf().throttles.strip().lower() != "off"
    except ImproperlyConfigured:
        return []
    found: list[CheckMessage] = [
        Warning(
            "HUB['OPEN_REGISTRATION'] is on: anybody may register devices without signing in",
            id="hub.W021",
            hint="Such devices are nobody's and get direct pushes only. Set it to 0 unless an app"
            " has users who do not sign in.",
        )
    ]
    if not limited:
        found.append(
            Warning(
                "HUB['OPEN_REGISTRATION'] is on and HUB['THROTTLES'] is off",
                id="hub.W022",
                hint="One address can use up the room for all devices without an owner.",
            )
        )
    return found


def problem_with_processes(processes: int) -> str | None:
    """Why the hub cannot be served by so many processes; None if it can."""
    if processes > 1 and layer_backend() == LOCAL:
        return (
            f"{processes} processes need a layer that reaches them all:"
            " set REDIS_URL or CHANNEL_LAYERS, or serve with --processes 1"
        )
    return None
