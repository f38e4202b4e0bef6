"""The push road in the admin: secrets go in and never come out, tokens show as a short hash."""

import json
import re
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponseRedirect

from routing.push import applications, deliveries, devices, direct, pausing
from routing.push.backends import registry
from routing.push.models import Application, Delivery, Device
from routing.push.outcomes import InvalidAddress, PayloadTooLarge, UnsupportedOption

SHORT = 12  # characters of a hash that are shown
HASH = re.compile(r"[0-9a-f]{12,64}", re.ASCII)

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    # The stubs make it generic, Django does not.
    ModelAdmin = admin.ModelAdmin


class ApplicationForm(forms.ModelForm):  # type: ignore[type-arg]
    credentials_ = forms.CharField(
        label="Credentials",
        required=False,
        widget=forms.Textarea(attrs={"rows": 8, "autocomplete": "off", "spellcheck": "false"}),
        help_text="A JSON object as the backend documents it. Never shown again; left empty, the"
        " stored one stays.",
    )

    class Meta:
        model = Application
        fields = ("name", "backend", "is_default", "active", "concurrency")

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        text = cleaned.get("credentials_", "").strip()
        backend = cleaned.get("backend") or self.instance.backend
        cleaned["secrets"] = None
        try:
            kind = registry.load(backend)
            if text:
                cleaned["secrets"] = _read(text)
                applications.check(backend, cleaned["secrets"])
            elif not self.instance.credentials and kind.check_credentials({}):
                self.add_error("credentials_", "This backend needs credentials.")
        except registry.UnknownBackend as error:
            self.add_error("backend", str(error))
        except (ImproperlyConfigured, ValidationError) as error:
            self.add_error("credentials_", getattr(error, "message", None) or str(error))
        return cleaned


def _read(text: str) -> dict[str, Any]:
    """Raises `ValidationError`, whose text quotes nothing of it."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ValidationError("This is not a JSON object.")
    return found


@admin.register(Application)
class ApplicationAdmin(ModelAdmin):
    form = ApplicationForm
    list_display = ("name", "backend", "is_default", "active", "in_settings", "paused", "alert")
    list_filter = ("backend", "active")
    readonly_fields = ("in_settings", "fingerprint", "version", "paused", "alert", "alerted_at")
    actions = ("resume",)

    @admin.display(boolean=True, description="in settings")
    def in_settings(self, row: Application) -> bool:
        return row.declared

    @admin.display(description="paused")
    def paused(self, row: Application) -> str:
        # A form for a new one asks, too.
        pauses = row.pauses.all() if row.pk else ()
        return ", ".join(f"{pause.origin or 'all of it'}: {pause.reason}" for pause in pauses)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Application]":
        return super().get_queryset(request).prefetch_related("pauses")

    def has_change_permission(self, request: HttpRequest, obj: Application | None = None) -> bool:
        # What settings declare is changed there.
        return super().has_change_permission(request, obj) and not (obj and obj.declared)

    def has_delete_permission(self, request: HttpRequest, obj: Application | None = None) -> bool:
        return super().has_delete_permission(request, obj) and not (obj and obj.declared)

    def save_model(self, request: HttpRequest, obj: Application, form: Any, change: bool) -> None:
        if obj.is_default:
            others = Application.objects.filter(backend=obj.backend, is_default=True)
            others.exclude(pk=obj.pk).update(is_default=False)
        super().save_model(request, obj, form, change)
        if form.cleaned_data.get("secrets") is not None:
            applications.set_credentials(obj, form.cleaned_data["secrets"])

    @admin.action(description="End pauses and suspensions", permissions=["change"])
    def resume(self, request: HttpRequest, queryset: "QuerySet[Application]") -> None:
        for row in queryset:
            pausing.lift(row, using=str(queryset.db))
        self.message_user(request, f"{len(queryset)} resumed.")


@admin.register(Device)
class DeviceAdmin(ModelAdmin):
    list_display = (
        "id", "user", "backend", "application", "token_shown", "name", "type", "active", "reason",
        "suspended_for", "last_used_at", "created_at",
    )  # fmt: skip
    list_filter = ("backend", "application", "active", "type", "reason")
    list_select_related = ("user", "application")
    search_fields = ("name",)
    search_help_text = "A name, a user name, a whole token, or its short hash."
    actions = ("activate", "deactivate", "send_test")
    fields = readonly_fields = (
        "user", "backend", "application", "environment", "token_shown", "origin", "name", "type",
        "client_id", "app_version", "os_version", "locale", "time_zone", "active", "live", "reason",
        "created_at", "registered_at", "last_used_at", "deactivated_at", "suspended_until",
        "suspended_for",
    )  # fmt: skip

    @admin.display(description="token")
    def token_shown(self, row: Device) -> str:
        return row.short_hash

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Device | None = None) -> bool:
        return super().has_change_permission(request, obj)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """A token that was searched for is replaced by its hash before any page is made: it must
        not go on into links, histories and logs."""
        text = request.GET.get("q", "").strip()
        hashed = devices.hash_of(text)
        if text and Device.objects.filter(token_hash=hashed).exists():
            wanted = request.GET.copy()
            wanted["q"] = hashed[:SHORT]
            return HttpResponseRedirect(f"{request.path}?{wanted.urlencode()}")
        return super().changelist_view(request, extra_context)

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Device]", search_term: str
    ) -> tuple["QuerySet[Device]", bool]:
        text = search_term.strip()
        if not text:
            return queryset, False
        name = f"user__{get_user_model().USERNAME_FIELD}__icontains"
        found = Q(name__icontains=text) | Q(**{name: text})
        if HASH.fullmatch(text):
            found |= Q(token_hash__startswith=text)
        return queryset.filter(found), False

    def delete_model(self, request: HttpRequest, obj: Device) -> None:
        devices.remove(obj)

    def delete_queryset(self, request: HttpRequest, queryset: "QuerySet[Device]") -> None:
        for row in queryset:
            devices.remove(row)

    @admin.action(description="Activate", permissions=["change"])
    def activate(self, request: HttpRequest, queryset: "QuerySet[Device]") -> None:
        done, elsewhere = 0, 0
        for row in queryset:
            try:
                devices.change(row, active=True)
                done += 1
            except devices.TokenElsewhere:
                elsewhere += 1
        self.message_user(request, f"{done} activated.")
        if elsewhere:
            text = f"{elsewhere} not: their tokens belong to other devices now."
            self.message_user(request, text, messages.WARNING)

    @admin.action(description="Deactivate", permissions=["change"])
    def deactivate(self, request: HttpRequest, queryset: "QuerySet[Device]") -> None:
        for row in queryset:
            devices.change(row, active=False)
        self.message_user(request, f"{len(queryset)} deactivated.")

    @admin.action(description="Send a test message", permissions=["change"])
    def send_test(self, request: HttpRequest, queryset: "QuerySet[Device]") -> None:
        try:
            event = direct.send_to_devices(queryset, title="Test", message="This is a test.")
        except (
            direct.NothingToSend,
            UnsupportedOption,
            PayloadTooLarge,
            InvalidAddress,
            ImproperlyConfigured,
        ) as error:
            self.message_user(request, f"Nothing sent: {error}", messages.ERROR)
            return
        planned = Delivery.objects.filter(event=event).count()
        self.message_user(request, f"{planned} planned, as event {event.pk}.")


@admin.register(Delivery)
class DeliveryAdmin(ModelAdmin):
    list_display = (
        "id", "event_id", "user_id", "device_id", "backend", "application", "state", "attempts",
        "error", "due", "sent_at",
    )  # fmt: skip
    list_filter = ("state", "backend", "application")
    list_select_related = ("application",)
    search_fields = ("=event__id", "=user__id")
    search_help_text = "The id of an event or of a user."
    show_full_result_count = False
    actions = ("retry", "cancel")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Delivery | None = None) -> bool:
        # Read-only, but for the actions.
        return obj is None and super().has_change_permission(request, obj)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        hidden = {"event", "user", "device", "claim"}
        names = [field.name for field in Delivery._meta.fields if field.name not in hidden]
        return ["event_id", "user_id", "device_id", *names]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.get_fields(request, obj)

    @admin.action(description="Try again", permissions=["change"])
    def retry(self, request: HttpRequest, queryset: Any) -> None:
        self.message_user(request, f"{deliveries.retry(queryset)} are due again.")

    @admin.action(description="Cancel", permissions=["change"])
    def cancel(self, request: HttpRequest, queryset: Any) -> None:
        self.message_user(request, f"{deliveries.cancel(queryset)} cancelled.")
