"""Finds a backend by its name: the hub's own and what `HUB["BACKENDS"]` adds or replaces.

A backend's module, and with it the vendor's library, is imported when the backend is first asked
for, not before.
"""

from importlib import import_module

from django.core.exceptions import ImproperlyConfigured

from routing.conf import conf
from routing.push.backends.base import PushBackend

OWN = {
    "webpush": "routing.push.backends.webpush.WebPushBackend",
    "dummy": "routing.push.backends.dummy.DummyBackend",
    "fcm": "routing.push.backends.fcm.FcmBackend",
    "wns": "routing.push.backends.wns.WnsBackend",
    "onesignal": "routing.push.backends.onesignal.OneSignalBackend",
    "apns": "routing.push.backends.apns.ApnsBackend",
    "console": "routing.push.backends.console.ConsoleBackend",
}


class UnknownBackend(LookupError):
    """No backend has this name."""


def names() -> list[str]:
    return sorted({**OWN, **conf().backends})


def load(name: str) -> type[PushBackend]:
    """The backend's class.

    Raises `UnknownBackend`, or `ImproperlyConfigured` where the path of its settings leads to no
    backend or its vendor's library is not installed.
    """
    path = {**OWN, **conf().backends}.get(name)
    if path is None:
        raise UnknownBackend(f"no backend is called {name!r}; there are {', '.join(names())}")
    if not isinstance(path, str) or "." not in path:
        raise ImproperlyConfigured(f'HUB["BACKENDS"][{name!r}] must be a dotted path')
    module_name, _, attribute = path.rpartition(".")
    try:
        module = import_module(module_name)
    except ImportError as error:
        missing = error.name or "a module"
        if missing == module_name or module_name.startswith(missing + "."):
            raise ImproperlyConfigured(
                f"the backend {name!r} is said to be in {module_name}, which does not exist"
            ) from error
        raise ImproperlyConfigured(
            f"the backend {name!r} needs {missing}, which cannot be imported: {error.msg}"
        ) from error
    found = getattr(module, attribute, None)
    if not (isinstance(found, type) and issubclass(found, PushBackend)):
        raise ImproperlyConfigured(f"the backend {name!r}: {path} is no subclass of PushBackend")
    return found
