"""A test push to a device of one's own: what a person presses to see that it rings."""

from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext
from rest_framework.request import Request
from rest_framework.response import Response

from notifications.api import HubView, operation
from notifications.api.throttles import UserThrottle
from routing.push import direct
from routing.push.api import answers
from routing.push.api.views import TAG, own
from routing.push.backends.registry import UnknownBackend
from routing.push.models import Delivery, Device
from routing.push.outcomes import InvalidAddress


class TestThrottle(UserThrottle):
    """As often as one may send."""

    scope = "send"
    kind = "device_test"


class DeviceTestView(HubView):
    throttle_classes = [UserThrottle, TestThrottle]

    @operation(
        "device_test",
        tag=TAG,
        summary="Push a test to one's own device; the delivery tells what becomes of it",
        answers={202: answers.DeliveryAnswer, 409: answers.Conflict},
        errors=["not_found"],
    )
    def post(self, request: Request, device_id: int) -> Response:
        device = own(request, device_id)
        try:
            event = direct.send_to_device(
                device,
                title=gettext("It works"),
                message=gettext("Notifications reach this device."),
            )
        except (direct.NothingToSend, InvalidAddress, ImproperlyConfigured, UnknownBackend):
            return Response({"code": "cannot_send", "detail": _why(device)}, status=409)
        row = Delivery.objects.select_related("application").get(event=event.pk, device=device.pk)
        return Response(answers.delivery_json(row), status=202)


def _why(device: Device) -> str:
    if not device.active:
        return "This device is switched off."
    return "The hub cannot send to this kind of device at the moment."
