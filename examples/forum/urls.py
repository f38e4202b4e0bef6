"""Addresses of the forum, with those of the hub's API beside them."""

from django.contrib import admin
from django.contrib.auth.views import LoginView
from django.urls import include, path
from posts import views

from routing.push.browser import service_worker

urlpatterns = [
    path("", LoginView.as_view(template_name="posts/inbox.html"), name="home"),
    path("posts/<int:post_id>/replies/", views.reply, name="reply"),
    path("admin/", admin.site.urls),
    # From the root, so that it is in charge of every page.
    path("service-worker.js", service_worker, {"title": "Forum"}, name="hub-service-worker"),
    # The roads' first: the domain's end with the answer to every unknown path under api/.
    path("api/", include("routing.live.urls")),
    path("api/", include("routing.push.urls")),
    path("api/", include("notifications.api.urls")),
]
