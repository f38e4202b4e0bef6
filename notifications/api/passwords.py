"""Tries of passwords, at whatever door: those that fail count against the address and the name."""

from typing import Any

from django.contrib.auth import authenticate
from django.http import HttpRequest
from rest_framework import exceptions

from notifications import users
from notifications.api.throttles import address_of, give_back, name_of, take

SCOPE = "login"


class Tries:
    """The tries of one address, and of one name from however many addresses."""

    def __init__(self, request: HttpRequest, username: str) -> None:
        self._idents = {"address": address_of(request), "name": name_of(username)}

    def take(self) -> float | None:
        """Before the password is looked at, so that many at once count too: None, or how many
        seconds too early this one comes."""
        for kind, ident in self._idents.items():
            # an address that is told to wait uses up no name's tries: its owner is elsewhere
            wait = take(SCOPE, kind, ident)
            if wait is not None:
                return wait
        return None

    def give_back(self) -> None:
        """It was right: whoever knows the password may sign in as often as they like."""
        for kind, ident in self._idents.items():
            give_back(SCOPE, kind, ident)


def check(request: HttpRequest, *, username: str, password: str) -> Any | None:
    """The active user with this name and password, or None.

    Raises `Throttled` where too many tries have failed before: then the password is not looked at.
    """
    tries = Tries(request, username)
    wait = tries.take()
    if wait is not None:
        raise exceptions.Throttled(wait=wait)
    user = authenticate(request, username=users.normal(username), password=password)
    if user is not None:
        tries.give_back()
    return user
