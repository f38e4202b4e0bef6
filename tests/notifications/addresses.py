"""The API as any project would include it: tests of the domain do not need the hub's own one."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("api/", include("notifications.api.urls")),
    path("admin/", admin.site.urls),
]
