"""System checks of the hub as its own project: what makes it unsafe where others can reach it.

Settings that cannot work at all are checked by the apps themselves; Django's own `check --deploy`
knows HTTPS, cookies and the key. These know what stands between the two.
"""

import ipaddress
import stat
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register

SHORTEST_TOKEN = 32
LOOPBACK_NAMES = {"localhost"}


@register(Tags.security)
def check_debug(**_: Any) -> list[CheckMessage]:
    """Also without --deploy: whoever tries the hub out in a network should hear of it."""
    outside = [host for host in settings.ALLOWED_HOSTS if not is_loopback(host)]
    if not settings.DEBUG or not outside:
        return []
    return [
        Warning(
            f"DEBUG is on and ALLOWED_HOSTS has {', '.join(outside)}",
            hint="With DEBUG error pages show settings and values, and the demo users' password is"
            " known. Leave DEBUG on for this machine alone.",
            id="hub.W101",
        )
    ]


@register(Tags.security)
def check_kept_secret(**_: Any) -> list[CheckMessage]:
    """Who can read the kept key can sign in as anybody."""
    path = settings.DATA / "secret_key"
    if not _is_open_to_others(path) or path.read_text().strip() != settings.SECRET_KEY:
        return []
    return [
        Warning(
            f"{path} can be read by other accounts of this machine",
            hint="Delete it, and a new key is made that only the hub's account can read."
            " All sessions end with the old one.",
            id="hub.W102",
        )
    ]


@register(Tags.security, deploy=True)
def check_database_file(**_: Any) -> list[CheckMessage]:
    """SQLite's file holds everybody's notifications, sessions and hashes of passwords."""
    database = settings.DATABASES["default"]
    path = Path(str(database["NAME"]))
    if database["ENGINE"] != "django.db.backends.sqlite3" or not _is_open_to_others(path):
        return []
    return [
        Warning(
            f"{path} can be read by other accounts of this machine",
            hint="chmod 600, and start the hub with umask 077 (UMask=0077 in systemd).",
            id="hub.W103",
        )
    ]


@register(Tags.security, deploy=True)
def check_hosts(**_: Any) -> list[CheckMessage]:
    if "*" not in settings.ALLOWED_HOSTS:
        return []
    return [
        Warning(
            "ALLOWED_HOSTS has *",
            hint="Then whoever asks decides which host stands in the addresses of answers."
            " Name the hosts.",
            id="hub.W104",
        )
    ]


@register(Tags.security, deploy=True)
def check_origins(**_: Any) -> list[CheckMessage]:
    """Wildcards and what is no origin are errors of the live road's own, also without --deploy."""
    found: list[CheckMessage] = []
    plain = [origin for origin in settings.ALLOWED_ORIGINS if _is_plain_http(origin)]
    outside = [origin for origin in plain if not is_loopback(_host_of(origin))]
    if outside:
        found.append(
            Warning(
                f"ALLOWED_ORIGINS has {', '.join(outside)}",
                hint="Whoever sits between a browser and a page without HTTPS can put a script"
                " into it that reads the inbox. Name origins with https.",
                id="hub.W105",
            )
        )
    if settings.SESSION_COOKIE_SECURE and plain == settings.ALLOWED_ORIGINS:
        found.append(
            Warning(
                "HUB_HTTPS is on, and no origin of ALLOWED_ORIGINS has https",
                hint="Pages that browsers reach by HTTPS could open no socket.",
                id="hub.W106",
            )
        )
    return found


@register(Tags.security, deploy=True)
def check_throttles(**_: Any) -> list[CheckMessage]:
    if settings.DEBUG or str(settings.HUB["THROTTLES"]).strip().lower() != "off":
        return []
    return [
        Warning(
            "HUB_THROTTLES is off",
            hint="Nothing limits how often somebody may try passwords or send.",
            id="hub.W107",
        )
    ]


@register(Tags.security, deploy=True)
def check_basic(**_: Any) -> list[CheckMessage]:
    """A proxy ends TLS: without the header that says so no request counts as secure."""
    seen = getattr(settings, "SECURE_PROXY_SSL_HEADER", None)
    if not settings.HUB["BASIC_AUTHENTICATION"] or seen:
        return []
    return [
        Warning(
            "HUB_BASIC_AUTHENTICATION is on and HUB_HTTPS is off",
            hint="Basic is taken over HTTPS only, and the hub cannot see HTTPS: every try is"
            " refused.",
            id="hub.W109",
        )
    ]


@register(Tags.security, deploy=True)
def check_log_level(**_: Any) -> list[CheckMessage]:
    """The hub's own lines hold no secrets at any level; a library's might, some day."""
    root: Any = settings.LOGGING["root"]
    if root["level"].upper() != "DEBUG":
        return []
    return [
        Warning(
            "HUB_LOG_LEVEL is DEBUG",
            hint="Libraries log more then than is meant for keeping. Use INFO.",
            id="hub.W108",
        )
    ]


@register(Tags.security)
def check_metrics_token(**_: Any) -> list[CheckMessage]:
    if not settings.METRICS_TOKEN or len(settings.METRICS_TOKEN) >= SHORTEST_TOKEN:
        return []
    return [
        Warning(
            f"HUB_METRICS_TOKEN has fewer than {SHORTEST_TOKEN} characters",
            hint="Nothing limits how often somebody may try it. python3 -c"
            " 'import secrets; print(secrets.token_urlsafe(32))' makes one.",
            id="hub.W109",
        )
    ]


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server by this name."""
    name = host.strip("[]").lower()
    if name in LOOPBACK_NAMES or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _is_plain_http(origin: str) -> bool:
    return origin.lower().startswith("http://")


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin).hostname or ""
    except ValueError:
        return ""


def _is_open_to_others(path: Path) -> bool:
    """Whether another account may read the file, and may get to it: as far as modes tell."""
    try:
        file, folder = path.stat(), path.parent.stat()
    except OSError:
        return False
    for read, enter in ((stat.S_IRGRP, stat.S_IXGRP), (stat.S_IROTH, stat.S_IXOTH)):
        if file.st_mode & read and folder.st_mode & enter:
            return True
    return False
