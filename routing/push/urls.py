"""The addresses of the push road, to be included under `/api/` before those of the domain."""

from django.urls import path

from routing.push.api.trying import DeviceTestView
from routing.push.api.views import (
    DeliveriesView,
    DevicesView,
    DeviceView,
    PreferencesView,
    VapidKeyView,
)

urlpatterns = [
    path("devices/", DevicesView.as_view(), name="hub-devices"),
    path("devices/<int:device_id>/", DeviceView.as_view(), name="hub-device"),
    path("devices/<int:device_id>/test/", DeviceTestView.as_view(), name="hub-device-test"),
    path("push/vapid-public-key/", VapidKeyView.as_view(), name="hub-vapid-key"),
    path("deliveries/", DeliveriesView.as_view(), name="hub-deliveries"),
    path("preferences/", PreferencesView.as_view(), name="hub-preferences"),
]
