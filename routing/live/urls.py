"""The addresses of the live road, to be included under `/api/` before those of the domain."""

from django.urls import path

from routing.live.views import TicketView

urlpatterns = [path("ws-ticket/", TicketView.as_view(), name="hub-ws-ticket")]
