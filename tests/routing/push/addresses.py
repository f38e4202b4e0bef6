"""The addresses that the push road adds, with the domain's behind them."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("api/", include("routing.push.urls")),
    path("api/", include("notifications.api.urls")),
    path("admin/", admin.site.urls),
]
