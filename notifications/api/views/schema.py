"""The API's own description: the OpenAPI schema, and a page that shows it without any network."""

from drf_spectacular import views
from rest_framework.permissions import AllowAny

from notifications.api.views.base import ApiView


class SchemaView(ApiView, views.SpectacularJSONAPIView):
    authentication_classes = []
    permission_classes = [AllowAny]


class DocsView(ApiView, views.SpectacularSwaggerSplitView):
    authentication_classes = []
    permission_classes = [AllowAny]
