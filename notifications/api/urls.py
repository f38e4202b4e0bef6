"""The addresses of the API, to be included under `/api/`.

The last one answers 404 for everything else below `/api/`: addresses of other apps there are
included before these.
"""

from django.urls import path, re_path

from notifications.api.views.base import NoSuchPath
from notifications.api.views.events import EventsView
from notifications.api.views.notifications import (
    ChangesView,
    MarkView,
    NotificationsView,
    NotificationView,
    SummaryView,
)
from notifications.api.views.schema import DocsView, SchemaView
from notifications.api.views.tokens import OneTokenView, TokensView, TokenView
from notifications.api.views.types import EventTypesView, FilterView

# Tried one by one: the one that is polled comes first.
urlpatterns = [
    path("notifications/summary/", SummaryView.as_view(), name="hub-summary"),
    path("notifications/", NotificationsView.as_view(), name="hub-notifications"),
    path("notifications/mark/", MarkView.as_view(), name="hub-mark"),
    path("notifications/changes/", ChangesView.as_view(), name="hub-changes"),
    path("notifications/filter/", FilterView.as_view(), name="hub-filter"),
    path("notifications/<int:event_id>/", NotificationView.as_view(), name="hub-notification"),
    path("auth/token/", TokenView.as_view(), name="hub-token"),
    path("auth/tokens/", TokensView.as_view(), name="hub-tokens"),
    path("auth/tokens/<int:token_id>/", OneTokenView.as_view(), name="hub-one-token"),
    path("event-types/", EventTypesView.as_view(), name="hub-event-types"),
    path("events/", EventsView.as_view(), name="hub-events"),
    path("schema/", SchemaView.as_view(), name="hub-schema"),
    path("docs/", DocsView.as_view(url_name="hub-schema"), name="hub-docs"),
    re_path("", NoSuchPath.as_view()),
]
