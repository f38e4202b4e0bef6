"""Who may register and see devices: their owners; in server calls staff and service keys; and
anybody, where `HUB["OPEN_REGISTRATION"]` says so.

A server call is one about the devices of others. Staff may make them where `HUB["STAFF_CALLS"]` is
on, each with the Django permission for it; a key by its scope, which `HubView` looks at.
"""

from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import Q
from rest_framework import exceptions
from rest_framework.permissions import AllowAny
from rest_framework.request import Request

from notifications import conf as domain
from notifications import users
from notifications.api import HubView
from notifications.api.throttles import Throttle, address_of
from notifications.errors import InvalidField, UnknownUser
from notifications.models import ServiceKey
from routing.conf import conf


class OpenView(HubView):
    """Takes `open_methods` from anybody where `OPEN_REGISTRATION` is on."""

    open_methods: tuple[str, ...] = ()

    def get_permissions(self) -> list[Any]:
        if self.request.method in self.open_methods and conf().open_registration:
            return [AllowAny()]
        return list(super().get_permissions())


class AnonymousThrottle(Throttle):
    """One address that has not signed in."""

    scope = "anonymous"
    kind = "device"

    def ident(self, request: Request) -> Any:
        return None if request.user.is_authenticated else address_of(request)


def is_service(request: Request) -> bool:
    return isinstance(request.auth, ServiceKey)


def is_server_call(request: Request, permission: str) -> bool:
    """Whether the caller may do to devices of others what this Django permission is for."""
    if is_service(request):
        return True
    if not domain.conf().staff_calls or not getattr(request.user, "is_staff", False):
        return False
    return bool(request.user.has_perm(permission))


def check_server_call(request: Request, permission: str) -> None:
    """Raises `PermissionDenied`."""
    if not is_server_call(request, permission):
        raise exceptions.PermissionDenied("This is for server calls.")


def asks_for_others(request: Request) -> bool:
    """A key has no devices of its own."""
    return is_service(request) or bool({"user", "user_id"} & set(request.query_params))


def devices_of(request: Request) -> Q:
    """Whose devices the query asks for. Raises `UnknownUser` or `InvalidField`."""
    name, key = request.query_params.get("user"), request.query_params.get("user_id")
    if name is not None and key is not None:
        raise InvalidField.of("user_id", "does not go with user")
    if key is not None:
        return Q(user=_key(key))
    if name is None or name == "everyone":
        return Q()
    return Q(user__in=list(users.keys_of_names([name])))


def _key(text: str) -> Any:
    field: Any = get_user_model()._meta.pk
    try:
        key = field.to_python(text)
        field.run_validators(key)
    except ValidationError:
        raise InvalidField.of("user_id", "must be the id of a user") from None
    return key


def user_of(request: Request, given: dict[str, Any]) -> Any:
    """The active user for whom a server call registers; takes `user` out of what is given.

    Staff may leave it out and mean themselves. Raises `InvalidField` or `UnknownUser`.
    """
    wanted = given.pop("user", None)
    if wanted is None:
        if is_service(request):
            raise InvalidField.of("user", "is missing")
        return request.user
    found: Any = users.named([wanted])
    user = get_user_model()._default_manager.filter(pk__in=found).first()
    if user is None or not getattr(user, "is_active", True):
        raise UnknownUser("There is no such user.", fields={"user": ["There is no such user."]})
    return user
