"""The devices API for registering alone: no list, no single device, no deliveries.

To be included in the place of `routing.push.urls` where clients shall register and see nothing.
"""

from django.urls import path

from routing.push.api.views import DevicesView, VapidKeyView

urlpatterns = [
    path("devices/", DevicesView.as_view(http_method_names=["post"]), name="hub-devices"),
    path("push/vapid-public-key/", VapidKeyView.as_view(), name="hub-vapid-key"),
]
