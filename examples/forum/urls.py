"""Addresses of the forum, with those of the hub's API beside them."""

from django.contrib import admin
from django.contrib.auth.views import LoginView
from django.urls import include, path
from posts import views

urlpatterns = [
    path("", LoginView.as_view(template_name="posts/inbox.html"), name="home"),
    path("posts/<int:post_id>/replies/", views.reply, name="reply"),
    path("admin/", admin.site.urls),
    # The live road's first: the domain's end with the answer to every unknown path under api/.
    path("api/", include("routing.live.urls")),
    path("api/", include("notifications.api.urls")),
]
