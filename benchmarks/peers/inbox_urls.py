"""The inbox as it is usually written with DRF, and a view that does nothing."""

from typing import Any

from django.db import models
from django.http import HttpRequest, HttpResponse
from django.urls import path
from rest_framework import generics, permissions, serializers
from rest_framework.pagination import LimitOffsetPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from hub.urls import urlpatterns as hub_urls
from notifications.api.authentication import BearerAuthentication
from notifications.models import Event, EventType, Notification


class TypeSerializer(serializers.ModelSerializer[EventType]):
    class Meta:
        model = EventType
        fields = ("id", "name", "title", "description")


class EventSerializer(serializers.ModelSerializer[Event]):
    type = TypeSerializer()

    class Meta:
        model = Event
        fields = (
            *("id", "type", "author", "title", "message", "url", "data", "tag", "priority"),
            *("timestamp", "expires_at"),
        )


class NotificationSerializer(serializers.ModelSerializer[Notification]):
    event = EventSerializer()

    class Meta:
        model = Notification
        fields = (
            *("id", "arrived", "version", "seen_at", "read_at", "archived_at", "expired_at"),
            *("silent", "event"),
        )


class Page(LimitOffsetPagination):
    default_limit = 20


class Inbox(generics.ListAPIView[Notification]):
    authentication_classes = [BearerAuthentication]
    permission_classes = [permissions.IsAuthenticated]
    pagination_class = Page
    serializer_class = NotificationSerializer

    def get_queryset(self) -> models.QuerySet[Notification]:
        rows = Notification.objects.filter(user=self.request.user.pk, deleted_at=None)
        return rows.select_related("event__type", "event__author").order_by("-event_id")


class Nothing(APIView):
    """Does nothing, for whoever may."""

    authentication_classes = [BearerAuthentication]
    permission_classes = [permissions.IsAuthenticated]

    def get(self, request: Request) -> Response:
        return Response(status=304)


def empty(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b"{}", content_type="application/json")


urlpatterns: list[Any] = [
    path("peer/notifications/", Inbox.as_view()),
    path("peer/nothing/", Nothing.as_view()),
    path("peer/empty/", empty),
    *hub_urls,
]
