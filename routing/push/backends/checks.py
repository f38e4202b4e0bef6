"""System checks of what the backends are told by the settings."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.core.exceptions import ImproperlyConfigured

from routing.conf import conf
from routing.push import credentials
from routing.push.backends import registry


@register
def check_push_settings(**_: Any) -> list[CheckMessage]:
    """The seam for local providers is for development; keys must be able to hide something."""
    try:
        found = conf()
    except ImproperlyConfigured:
        return []  # notifications.checks says which value is wrong
    problems = [
        Error(problem, id="hub.E040", hint="Fernet.generate_key() makes a good one.")
        for problem in credentials.problems(found.credential_keys)
    ]
    if found.push_local_peers and not settings.DEBUG:
        problems.append(
            Error(
                'HUB["PUSH_LOCAL_PEERS"] (HUB_PUSH_LOCAL_PEERS) needs DEBUG: it lets users make'
                " the hub ask addresses on its own machine",
                id="hub.E041",
            )
        )
    if not all(isinstance(host, str) and host == host.lower() for host in found.webpush_hosts):
        problems.append(Error('HUB["WEBPUSH_HOSTS"] must hold names in lower case', id="hub.E042"))
    problems += [
        Error(f'HUB["BACKENDS"][{name!r}] must be a dotted path', id="hub.E043")
        for name, path in found.backends.items()
        if not isinstance(path, str) or "." not in path
    ]
    return list(problems)


@register
def check_applications(**_: Any) -> list[CheckMessage]:
    """The applications of settings: whether each backend can be loaded and takes its credentials.

    What is wrong with one is a warning: it is paused, and the others go on.
    """
    try:
        declared = conf().applications
    except ImproperlyConfigured:
        return []
    found: list[CheckMessage] = []
    for name, wanted in declared.items():
        where = f'HUB["APPLICATIONS"][{name!r}]'
        try:
            kind = registry.load(wanted["backend"])
        except (registry.UnknownBackend, ImproperlyConfigured) as error:
            found.append(Warning(f"{where}: {error}", id="hub.W023"))
            continue
        found += [
            Warning(f"{where}: {problem}", id="hub.W024", hint="manage.py check_push says more.")
            for problem in kind.check_credentials(wanted.get("credentials", {}))
        ]
    return found
