"""How often one user or one address may ask; counted in Django's default cache.

A window of fixed length per counter: one add and one increment per request, however high the
rate. A cache that does not answer throttles nobody.
"""

import hashlib
import logging
import re
from time import time
from typing import Any, NamedTuple

from django.core.cache import cache
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from notifications import users
from notifications.conf import conf
from notifications.models import ServiceKey

logger = logging.getLogger(__name__)

PERIODS = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "hour": 3600, "d": 86400, "day": 86400}
RATE = re.compile(r"\s*([a-z]+)\s*=\s*([1-9][0-9]{0,8})\s*/\s*([a-z]+)\s*", re.ASCII)


class Rate(NamedTuple):
    requests: int
    seconds: int


DEFAULTS = {
    "user": Rate(600, 60),
    "token": Rate(30, 60),
    "login": Rate(30, 60),
    "send": Rate(120, 60),
    "key": Rate(3000, 60),
    "anonymous": Rate(30, 3600),
}


def rates(text: str) -> dict[str, Rate]:
    """The setting THROTTLES: "on", "off", or e.g. "user=600/min,send=120/min" over the defaults.

    Raises `ImproperlyConfigured`.
    """
    wanted = text.strip().lower()
    if wanted == "off":
        return {}
    if wanted == "on":
        return DEFAULTS
    found = dict(DEFAULTS)
    for part in wanted.split(","):
        match = RATE.fullmatch(part)
        if match is None or match[1] not in DEFAULTS or match[3] not in PERIODS:
            raise ImproperlyConfigured(
                f"HUB['THROTTLES'] is on, off, or e.g. user=600/min,token=30/min,send=120/min"
                f" (kinds are {', '.join(DEFAULTS)}); it has {part!r}"
            )
        found[match[1]] = Rate(int(match[2]), PERIODS[match[3]])
    return found


class Throttle(BaseThrottle):
    """Counts the requests of one ident within a scope; subclasses say who that is."""

    scope = "user"
    kind = ""

    def ident(self, request: Request) -> Any:
        """Who is counted; None counts nobody."""
        raise NotImplementedError

    def allow_request(self, request: Request, view: APIView) -> bool:
        ident = self.ident(request)
        self._wait = None if ident is None else take(self.scope, self.kind, ident)
        return self._wait is None

    def wait(self) -> float | None:
        return self._wait


def take(scope: str, kind: str, ident: object) -> float | None:
    """Counts one more of `ident`; answers None, or how many seconds too early it came."""
    rate = rates(conf().throttles).get(scope)
    if rate is None:
        return None
    now = time()
    key = _key(scope, kind, ident, rate, now)
    if _count(key, rate.seconds) <= rate.requests:
        return None
    return (int(now // rate.seconds) + 1) * rate.seconds - now


def give_back(scope: str, kind: str, ident: object) -> None:
    """What `take` counted shall not count: it was no try that failed."""
    rate = rates(conf().throttles).get(scope)
    if rate is None:
        return
    try:
        cache.decr(_key(scope, kind, ident, rate, time()))
    except ValueError:
        pass  # the window is over
    except Exception as error:
        logger.warning("throttle cache failed error=%s", type(error).__name__)


def _key(scope: str, kind: str, ident: object, rate: Rate, now: float) -> str:
    # hashed: whatever a client calls itself is a good key, and no cache shows names
    name = hashlib.sha256(str(ident).encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return f"hub:throttle:{scope}:{kind}:{name}:{int(now // rate.seconds)}"


def _count(key: str, seconds: int) -> int:
    try:
        if cache.add(key, 1, timeout=seconds + 1):
            return 1
        return int(cache.incr(key))
    except Exception as error:
        logger.warning("throttle cache failed error=%s", type(error).__name__)
        return 0


class UserThrottle(Throttle):
    """Any request of one user; service keys, who are none, have a throttle of their own."""

    kind = "user"

    def ident(self, request: Request) -> Any:
        return request.user.pk


class KeyThrottle(Throttle):
    """Any request by one service key."""

    scope = "key"
    kind = "key"

    def ident(self, request: Request) -> Any:
        return request.auth.pk if isinstance(request.auth, ServiceKey) else None


class SendThrottle(UserThrottle):
    scope = "send"


class AddressThrottle(Throttle):
    """The address that the server saw: what a client says in X-Forwarded-For proves nothing.
    Behind a proxy it is the server's business to put the client's address there."""

    scope = "token"
    kind = "address"

    def ident(self, request: Request) -> Any:
        return address_of(request)


def address_of(request: Request | HttpRequest) -> str:
    return str(request.META.get("REMOTE_ADDR") or "none")


class NameThrottle(Throttle):
    """The name that somebody tries passwords for, from however many addresses."""

    scope = "token"
    kind = "name"

    def ident(self, request: Request) -> Any:
        data = request.data
        name = data.get("username") if isinstance(data, dict) else None
        return name_of(name) if isinstance(name, str) else None


def name_of(name: str) -> str:
    """By which tries of one name are counted, however it is written."""
    return users.normal(name).casefold()
