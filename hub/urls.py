"""Addresses of the hub's own project."""

from django.conf import settings
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

from hub import health, metrics, operator, pages
from hub.passwords import throttled
from routing.push.browser import service_worker

handler400 = "hub.errors.bad_request"
handler500 = "hub.errors.server_error"

admin.site.site_header = admin.site.site_title = "Notification hub"

#: Of pushes that bring none: in the notification, and in Android's status bar.
PICTURES = {
    "icon": f"{settings.STATIC_URL}hub/icon-192.png",
    "badge": f"{settings.STATIC_URL}hub/badge-96.png",
}

# Django tries them one by one: what clients ask for again and again comes before the pages.
urlpatterns: list[URLPattern | URLResolver] = [
    # The roads' first: the domain's end with the answer to every unknown path under api/.
    path("api/", include("routing.live.urls")),
    path("api/", include("routing.push.urls")),
    path("api/", include("notifications.api.urls")),
    path("", pages.inbox, name="inbox"),
    path("send/", pages.send, name="send"),
    path("preferences/", pages.preferences, name="preferences"),
    path("operator/", operator.page, name="operator"),
    path("operator/numbers", operator.numbers, name="operator-numbers"),
    path("login/", throttled(pages.Login.as_view()), name="login"),
    path("logout/", pages.Logout.as_view(), name="logout"),
    # Before the admin's own, which has no throttle.
    path("admin/login/", throttled(admin.site.login)),
    path("admin/", admin.site.urls),
    path("service-worker.js", service_worker, PICTURES, name="hub-service-worker"),
    # Browsers ask for it on pages that name no icon, such as admin's.
    path("favicon.ico", RedirectView.as_view(url=f"{settings.STATIC_URL}hub/bell.svg")),
    path("health/live", health.live),
    path("health/ready", health.ready),
    path("health/numbers", health.numbers),
    path("metrics", metrics.metrics),
]
