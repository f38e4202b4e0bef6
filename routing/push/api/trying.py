"""A test push to a device of one's own: what a person presses to see that it rings."""

from django.utils.translation import gettext
from rest_framework.request import Request
from rest_framework.response import Response

from notifications.api import HubView, operation
from notifications.api.throttles import UserThrottle
from routing.push.api import answers
from routing.push.api.views import TAG, own
from routing.push.models import Delivery, Device


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
        [result] = device.send_message(
            gettext("Notifications reach this device."), title=gettext("It works")
        )
        if result.delivery_id is None or result.is_failed:
            return Response({"code": "cannot_send", "detail": _why(device)}, status=409)
        row = Delivery.objects.select_related("application").get(pk=result.delivery_id)
        return Response(answers.delivery_json(row), status=202)


def _why(device: Device) -> str:
    if not device.active:
        return "This device is switched off."
    return "The hub cannot send to this kind of device at the moment."
