"""The push road's views: they parse, authorise, call and answer."""

from typing import Any

from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response

from notifications.api import HubView, operation, pagination
from notifications.api.schema import LIMIT, OFFSET, query
from notifications.api.serializers import read
from notifications.api.throttles import UserThrottle
from notifications.errors import InvalidField
from notifications.service_keys import READ, REGISTER
from routing.push import applications, browser, devices, quiet_hours
from routing.push.api import access, answers
from routing.push.api.access import AnonymousThrottle, OpenView
from routing.push.api.bodies import (
    DeviceBody,
    DevicePatch,
    PreferencesBody,
    ServerDeviceBody,
    patch_of,
    registration_of,
)
from routing.push.models import Delivery, Device
from routing.push.registration import open_is_full, register

TAG = "push"
#: Seconds after which somebody may ask again where there is no room for devices of nobody.
FULL = 3600
STATES = tuple(Delivery.State.values)


class RegistrationThrottle(UserThrottle):
    """As often as one may send: nobody shall try tokens of others."""

    scope = "send"
    kind = "device"

    def allow_request(self, request: Request, view: Any) -> bool:
        return request.method != "POST" or super().allow_request(request, view)


class DevicesView(OpenView):
    scopes = {"GET": READ, "POST": REGISTER}
    open_methods = ("POST",)
    throttle_classes = [UserThrottle, RegistrationThrottle, AnonymousThrottle]

    @operation(
        "device_list",
        tag=TAG,
        summary="One's own devices, newest first; in a server call those of others",
        answers={200: answers.DevicePage},
        errors=["unknown_user"],
        parameters=[
            LIMIT,
            OFFSET,
            query("user", str, "Server call: the name of a user, or everyone."),
            query("user_id", str, "Server call: the id of a user."),
        ],
    )
    def get(self, request: Request) -> Response:
        rows = Device.objects.select_related("application")
        if access.asks_for_others(request):
            access.check_server_call(request, "hub_routing.view_device")
            whose = access.devices_of(request)
            return Response(_page(request, rows.filter(whose), answers.server_device_json))
        return Response(_page(request, rows.filter(user=request.user.pk), answers.device_json))

    @operation(
        "device_create",
        tag=TAG,
        summary="Register a device, or a browser's PushSubscription as it is",
        body=ServerDeviceBody,
        answers={201: answers.DeviceAnswer, 200: answers.DeviceAnswer, 204: None},
        errors=["unknown_user"],
    )
    def post(self, request: Request) -> Response:
        if not request.user.is_authenticated:
            return _register_nobodys(request)
        serves = access.is_server_call(request, "hub_routing.add_device")
        given = read(ServerDeviceBody if serves else DeviceBody, request.data)
        user = access.user_of(request, given) if serves else request.user
        device, fresh = register(user, **registration_of(given))
        if request.auth is None and user == request.user:
            browser.remember(request, device)
        shape = answers.server_device_json if serves else answers.device_json
        return Response(shape(device), status=201 if fresh else 200)


def _register_nobodys(request: Request) -> Response:
    """Tells nothing: neither whether the token was known nor what became of it."""
    given = registration_of(read(DeviceBody, request.data))
    for key in ("active", "old_token"):
        if given.get(key, True) is not True:
            raise InvalidField.of(key, "is for whoever has signed in")
    if open_is_full():
        raise exceptions.Throttled(wait=FULL)
    register(None, **given)
    return Response(status=204)


class DeviceView(HubView):
    scopes = {"GET": READ, "PATCH": REGISTER, "DELETE": REGISTER}

    @operation(
        "device_retrieve",
        tag=TAG,
        summary="One device",
        answers={200: answers.DeviceAnswer},
        errors=["not_found"],
    )
    def get(self, request: Request, device_id: int) -> Response:
        return Response(answers.device_json(_reached(request, device_id, "view_device")))

    @operation(
        "device_update",
        tag=TAG,
        summary="Change a device; `active: false` is a logout",
        body=DevicePatch,
        answers={200: answers.DeviceAnswer, 409: answers.Conflict},
        errors=["not_found"],
    )
    def patch(self, request: Request, device_id: int) -> Response:
        given = patch_of(read(DevicePatch, request.data))
        device = _reached(request, device_id, "change_device")
        try:
            changed = devices.change(device, **given)
        except devices.TokenElsewhere as error:
            return Response({"code": error.code, "detail": error.detail}, status=409)
        return Response(answers.device_json(changed))

    @operation(
        "device_delete",
        tag=TAG,
        summary="Delete a device",
        answers={204: None},
        errors=["not_found"],
    )
    def delete(self, request: Request, device_id: int) -> Response:
        devices.remove(_reached(request, device_id, "delete_device"))
        return Response(status=204)


def own(request: Request, device_id: int) -> Device:
    """Raises `NotFound`, also for another user's."""
    return _one(Device.objects.filter(user=request.user.pk), device_id)


def _one(rows: Any, device_id: int) -> Device:
    found: Device | None = None
    if device_id <= pagination.BIGGEST:
        found = rows.select_related("application").filter(pk=device_id).first()
    if found is None:
        raise exceptions.NotFound("There is no such device.")
    return found


def _reached(request: Request, device_id: int, permission: str) -> Device:
    """One's own device, or in a server call anybody's. Raises `NotFound`."""
    if access.is_server_call(request, f"hub_routing.{permission}"):
        return _one(Device.objects.all(), device_id)
    return own(request, device_id)


class VapidKeyView(OpenView):
    open_methods = ("GET",)

    @operation(
        "vapid_public_key",
        tag=TAG,
        summary="The key that browsers subscribe under",
        answers={200: answers.VapidKeyAnswer},
        errors=["not_found"],
    )
    def get(self, request: Request) -> Response:
        key = applications.vapid_public_key()
        if key is None:
            raise exceptions.NotFound("There is no Web Push application.")
        return Response({"key": key})


class DeliveriesView(HubView):
    scopes = {"GET": READ}

    @operation(
        "delivery_list",
        tag=TAG,
        summary="One's own deliveries, newest first; all of them for staff and keys",
        answers={200: answers.DeliveryPage},
        parameters=[
            LIMIT,
            OFFSET,
            query("event", {"type": "integer"}, "The id of an event."),
            query("device", {"type": "integer"}, "The id of a device."),
            query("state", str, "A delivery state.", enum=STATES),
        ],
    )
    def get(self, request: Request) -> Response:
        rows = Delivery.objects.select_related("application")
        if not (access.is_service(request) or getattr(request.user, "is_staff", False)):
            rows = rows.filter(user=request.user.pk)
        for name in ("event", "device"):
            wanted = pagination.query_integer(request, name, least=1)
            if wanted is not None:
                rows = rows.filter(**{name: wanted})
        state = request.query_params.get("state")
        if state is not None:
            if state.upper() not in STATES:
                raise InvalidField.of("state", f"must be one of {', '.join(STATES)}")
            rows = rows.filter(state=state.upper())
        return Response(_page(request, rows, answers.delivery_json))


class PreferencesView(HubView):
    @operation(
        "preferences_retrieve",
        tag=TAG,
        summary="Quiet hours and time zone",
        answers={200: answers.PreferencesAnswer},
    )
    def get(self, request: Request) -> Response:
        return Response(answers.preferences_json(quiet_hours.read(request.user.pk)))

    @operation(
        "preferences_update",
        tag=TAG,
        summary="Change quiet hours or time zone",
        body=PreferencesBody,
        answers={200: answers.PreferencesAnswer},
    )
    def patch(self, request: Request) -> Response:
        given = read(PreferencesBody, request.data)
        return Response(answers.preferences_json(quiet_hours.change(request.user.pk, **given)))


def _page(request: Request, rows: Any, shape: Any) -> dict[str, Any]:
    part = pagination.window(request)
    count = rows.count()
    # An offset beyond the end may be larger than any database takes.
    page = rows[part.offset : part.offset + part.limit] if part.offset < count else []
    links = pagination.links(request, part=part, more=part.offset + part.limit < count)
    return {"count": count, **links, "results": [shape(row) for row in page]}
