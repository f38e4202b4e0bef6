"""What all views of the API share: who may ask, how a body is read, how an answer is written."""

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from django.db import connections, transaction
from django.http import HttpRequest
from django.utils.cache import patch_vary_headers
from drf_spectacular.openapi import AutoSchema
from rest_framework import exceptions, permissions
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import JSONParser
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from notifications.api.authentication import (
    BasicAuthentication,
    BearerAuthentication,
    SessionAuthentication,
)
from notifications.api.body import JsonRequest, check_address, check_length
from notifications.api.errors import CHALLENGE, exception_handler
from notifications.api.throttles import KeyThrottle, UserThrottle
from notifications.conf import conf
from notifications.models import ServiceKey
from notifications.representation import encode


class CompactRenderer(JSONRenderer):
    """UTF-8 JSON without blanks. The only one: there is no browsable API."""

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        return b"" if data is None else encode(data)


class Negotiation(DefaultContentNegotiation):
    """By the header Accept alone; `?format=` is a parameter like any other unknown one."""

    settings: Any = SimpleNamespace(URL_FORMAT_OVERRIDE=None)

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> Any:
        # what nearly every client says costs REST framework a twentieth of a small request to parse
        if request.META.get("HTTP_ACCEPT", "*/*") == "*/*" and format_suffix is None:
            return renderers[0], renderers[0].media_type
        return super().select_renderer(request, renderers, format_suffix)


class ApiView(APIView):
    """A view that depends on no setting of REST_FRAMEWORK, so that it behaves the same in every
    project. Each method opens its own transactions, whatever ATOMIC_REQUESTS says: a send must
    be able to go the short way, and an answer must not say more than what is committed."""

    content_negotiation_class: Any = Negotiation
    metadata_class = None
    versioning_class = None
    throttle_classes: Any = []
    http_method_names = ["get", "head", "post", "patch", "delete"]

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Any:
        view = super().as_view(**initkwargs)
        for alias in connections.settings:
            view = transaction.non_atomic_requests(using=alias)(view)
        return view

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        check_address(request._request)
        check_length(request._request)
        super().initial(request, *args, **kwargs)

    def get_exception_handler(self) -> Callable[..., Any]:
        return exception_handler

    def get_authenticate_header(self, request: Request) -> str:
        return CHALLENGE


class HubView(ApiView):
    """JSON for whoever has signed in."""

    authentication_classes: Any = [BearerAuthentication, SessionAuthentication]
    permission_classes: Any = [permissions.IsAuthenticated]
    throttle_classes: Any = [UserThrottle]
    #: The scope that a service key needs for a method; methods that are not named it may not use.
    scopes: Mapping[str, str] = {}
    #: Whether a token is to be found together with where its user's inbox stands.
    with_inbox = False
    parser_classes: Any = [JSONParser]  # for the schema: a body is read by JsonRequest
    renderer_classes: Any = [CompactRenderer]
    schema: Any = AutoSchema()

    def get_authenticators(self) -> list[Any]:
        found = super().get_authenticators()
        if found and conf().basic_authentication:
            return [BasicAuthentication(), *found]
        return found

    def check_permissions(self, request: Request) -> None:
        """Here and not in a permission class: no view can forget it."""
        if isinstance(request.auth, ServiceKey):
            method = "GET" if request.method == "HEAD" else str(request.method)
            if self.scopes.get(method) not in request.auth.scopes:
                raise exceptions.PermissionDenied("The key has no scope for this.")
        super().check_permissions(request)

    def get_throttles(self) -> list[Any]:
        return [KeyThrottle(), *super().get_throttles()]

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        return JsonRequest(
            request,
            authenticators=self.get_authenticators(),
            negotiator=self.get_content_negotiator(),
            parser_context=self.get_parser_context(request),
        )

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        # what one person was answered is for nobody else's cache
        if not response.has_header("Cache-Control"):
            response["Cache-Control"] = "private, no-cache"
        patch_vary_headers(response, ["Authorization", "Cookie"])
        final = super().finalize_response(request, response, *args, **kwargs)
        if isinstance(request, JsonRequest):
            request.forget()
        return final


class NoSuchPath(HubView):
    """Answers 404 for whatever no other address matches, in the shape of all errors."""

    authentication_classes = []
    permission_classes = []
    throttle_classes = []
    schema = None

    def http_method_not_allowed(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        raise exceptions.NotFound("There is no such path.")
