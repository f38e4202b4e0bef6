"""The API's own description: the OpenAPI schema, and a page that shows it without any network."""

from typing import Any

from django.apps import apps
from drf_spectacular import views
from rest_framework import exceptions
from rest_framework.permissions import AllowAny
from rest_framework.request import Request

from notifications.api.views.base import ApiView


class SchemaView(ApiView, views.SpectacularJSONAPIView):
    authentication_classes = []
    permission_classes = [AllowAny]
    schema = None  # it describes the others


class DocsView(ApiView, views.SpectacularSwaggerSplitView):
    """Only where `drf_spectacular` is an installed app: the page is a template of its own."""

    authentication_classes = []
    permission_classes = [AllowAny]
    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if not apps.is_installed("drf_spectacular"):
            raise exceptions.NotFound("This project does not show the schema as a page.")
        super().initial(request, *args, **kwargs)
