"""The pages a person sees: log in, log out, the inbox, a form to send oneself something, and
preferences."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from notifications import filters
from notifications.errors import HubError
from notifications.models import Channel, EventType
from notifications.sending import send_notification
from notifications.words import MAX_MESSAGE, MAX_TITLE
from routing.push import quiet_hours


class Login(LoginView):
    template_name = "hub/login.html"


class Logout(LogoutView):
    """Logs out by POST only; GET, which any link can cause, asks first."""

    http_method_names = ["get", "post"]
    template_name = "hub/logout.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        return render(request, self.template_name)


@never_cache
@login_required
@require_GET
def inbox(request: HttpRequest) -> HttpResponse:
    return _page(request)


@never_cache
@login_required
@require_POST
def send(request: HttpRequest) -> HttpResponse:
    """Sends the user themselves a notification; answers a script in JSON, a plain form by a page.

    This view is also the shortest example of how a view sends.
    """
    given = {name: request.POST.get(name, "") for name in ("type", "title", "message")}
    by_script = not request.accepts("text/html")
    try:
        event = send_notification(
            given["type"],
            users=request.user,
            author=request.user,
            title=given["title"],
            message=given["message"],
        )
    except HubError as error:
        if by_script:
            body = {"code": error.code, "detail": error.detail, "fields": error.fields}
            return JsonResponse(body, status=400)
        return _page(request, given=given, error=error.detail, status=400)
    if by_script:
        return JsonResponse({"id": event.pk}, status=201)
    messages.success(request, "Sent.")
    return redirect("inbox")


@never_cache
@login_required
@require_GET
def preferences(request: HttpRequest) -> HttpResponse:
    """What is chosen stands in the page; its script changes it by REST, and lists the devices."""
    context = {
        "place": "preferences",
        "api": reverse("hub-summary").removesuffix("notifications/summary/"),
        "channels": [{"name": channel.value, "title": channel.label} for channel in Channel],
        "choices": [_choice(choice) for choice in filters.read(request.user.pk)],
        "quiet": quiet_hours.read(request.user.pk),
    }
    return render(request, "hub/preferences.html", context)


def _choice(choice: filters.Choice) -> dict[str, Any]:
    """One row of the page: which of its switches are on, and which cannot be moved."""
    fixed: set[str] = set()
    if choice.type.critical:
        fixed = set(filters.CHANNELS)
    elif not choice.channels[Channel.INBOX.value]:
        fixed = set(filters.CHANNELS) - {Channel.INBOX.value}
    on = {name for name, wanted in choice.channels.items() if wanted}
    return {"type": choice.type, "channels": choice.channels, "on": on, "fixed": fixed}


def _page(
    request: HttpRequest,
    *,
    given: dict[str, str] | None = None,
    error: str = "",
    status: int = 200,
) -> HttpResponse | HttpResponseRedirect:
    context = {
        "place": "inbox",
        "event_types": EventType.objects.active(),
        "given": given or {},
        "error": error,
        "max_title": MAX_TITLE,
        "max_message": MAX_MESSAGE,
    }
    return render(request, "hub/inbox.html", context, status=status)
