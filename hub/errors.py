"""What answers where no view could: under api/ in the API's one shape, else by Django's page."""

from django.http import HttpRequest, HttpResponse
from django.views import defaults

from notifications.api.errors import plain


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """E.g. a host that is not allowed, which is found before any view is."""
    return plain("invalid") if _of_the_api(request) else defaults.bad_request(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    return plain("server_error") if _of_the_api(request) else defaults.server_error(request)


def _of_the_api(request: HttpRequest) -> bool:
    return request.path_info.startswith("/api/")
