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
from routing.push import applications, browser, devices, quiet_hours
from routing.push.api import answers
from routing.push.api.bodies import (
    DeviceBody,
    DevicePatch,
    PreferencesBody,
    patch_of,
    registration_of,
)
from routing.push.models import Delivery, Device
from routing.push.registration import register

TAG = "push"
STATES = tuple(Delivery.State.values)


class RegistrationThrottle(UserThrottle):
    """As often as one may send: nobody shall try tokens of others."""

    scope = "send"
    kind = "device"

    def allow_request(self, request: Request, view: Any) -> bool:
        return request.method != "POST" or super().allow_request(request, view)


class DevicesView(HubView):
    throttle_classes = [UserThrottle, RegistrationThrottle]

    @operation(
        "device_list",
        tag=TAG,
        summary="One's own devices, newest first",
        answers={200: answers.DevicePage},
        parameters=[LIMIT, OFFSET],
    )
    def get(self, request: Request) -> Response:
        rows = Device.objects.filter(user=request.user.pk).select_related("application")
        return Response(_page(request, rows, answers.device_json))

    @operation(
        "device_create",
        tag=TAG,
        summary="Register a device, or a browser's PushSubscription as it is",
        body=DeviceBody,
        answers={201: answers.DeviceAnswer, 200: answers.DeviceAnswer},
    )
    def post(self, request: Request) -> Response:
        device, fresh = register(request.user, **registration_of(read(DeviceBody, request.data)))
        if request.auth is None:
            browser.remember(request, device)
        return Response(answers.device_json(device), status=201 if fresh else 200)


class DeviceView(HubView):
    @operation(
        "device_retrieve",
        tag=TAG,
        summary="One device",
        answers={200: answers.DeviceAnswer},
        errors=["not_found"],
    )
    def get(self, request: Request, device_id: int) -> Response:
        return Response(answers.device_json(own(request, device_id)))

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
        device = own(request, device_id)
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
        devices.remove(own(request, device_id))
        return Response(status=204)


def own(request: Request, device_id: int) -> Device:
    """Raises `NotFound`, also for another user's."""
    rows = Device.objects.select_related("application").filter(user=request.user.pk)
    found = rows.filter(pk=device_id).first() if device_id <= pagination.BIGGEST else None
    if found is None:
        raise exceptions.NotFound("There is no such device.")
    return found


class VapidKeyView(HubView):
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
    @operation(
        "delivery_list",
        tag=TAG,
        summary="One's own deliveries, newest first; all of them for staff",
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
        if not getattr(request.user, "is_staff", False):
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
