"""Service keys in the admin: made, shown once, revoked."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from notifications import event_types, service_keys
from notifications.admin.base import ModelAdmin
from notifications.errors import HubError
from notifications.models import ServiceKey

MOST_DAYS = 36_500

if TYPE_CHECKING:
    KeyModelForm = forms.ModelForm[ServiceKey]
else:
    KeyModelForm = forms.ModelForm


class ServiceKeyForm(KeyModelForm):
    scopes = forms.MultipleChoiceField(
        choices=[(name, f"{name}: {what}") for name, what in service_keys.SCOPES.items()],
        widget=forms.CheckboxSelectMultiple,
    )
    types = forms.MultipleChoiceField(
        required=False,
        choices=lambda: [(name, name) for name in sorted(event_types.declared_types())],
        widget=forms.CheckboxSelectMultiple,
        label="Event types",
        help_text=f"What it may send, with {service_keys.SEND}.",
    )
    every_type = forms.BooleanField(
        required=False, help_text="It may send all event types, also those to come."
    )
    days = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=MOST_DAYS,
        initial=service_keys.LIFETIME.days,
        help_text="After so many days it ends. Empty: never.",
    )

    class Meta:
        model = ServiceKey
        fields = ["name"]

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or self.cleaned_data
        if self.errors:
            return given
        days = given["days"]
        try:
            found = service_keys.cleaned(
                given["name"],
                scopes=given["scopes"],
                event_types=None if given["every_type"] else given["types"],
                expires_at=None if days is None else timezone.now() + timedelta(days=days),
            )
        except HubError as error:
            names = {"event_types": "types", "expires_at": "days"}
            for field, words in error.fields.items():
                self.add_error(names.get(field, field), words)
            return given
        for field, value in found.items():
            setattr(self.instance, field, value)
        return given


@admin.register(ServiceKey)
class ServiceKeyAdmin(ModelAdmin):
    """A key is shown by the page that follows its making, and never again."""

    list_display = [
        "id", "name", "may", "types", "live", "created_at", "expires_at", "revoked_at",
        "last_used_at",
    ]  # fmt: skip
    search_fields = ["name"]
    actions = ["revoke"]
    form = ServiceKeyForm

    @admin.display(description="scopes")
    def may(self, row: ServiceKey) -> str:
        return ", ".join(row.scopes)

    @admin.display(description="event types")
    def types(self, row: ServiceKey) -> str:
        return "every type" if row.event_types is None else ", ".join(row.event_types)

    @admin.display(boolean=True)
    def live(self, row: ServiceKey) -> bool:
        return row.is_live

    def get_fields(self, request: HttpRequest, obj: ServiceKey | None = None) -> Any:
        if obj is None:
            return ["name", "scopes", "types", "every_type", "days"]
        return self.list_display

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: ServiceKey, form: Any, change: bool) -> None:
        request.new_key = service_keys.issue(obj)  # type: ignore[attr-defined]

    def response_add(
        self, request: HttpRequest, obj: ServiceKey, post_url_continue: Any = None
    ) -> HttpResponse:
        # In this answer alone: a message would be kept in a cookie or in the session.
        context = {
            **self.admin_site.each_context(request),
            "title": f"The key of {obj.name}",
            "text": request.new_key,  # type: ignore[attr-defined]
            "opts": self.opts,
        }
        return TemplateResponse(request, "admin/hub_notifications/servicekey/made.html", context)

    @admin.action(description="Revoke", permissions=["delete"])
    def revoke(self, request: HttpRequest, queryset: "QuerySet[ServiceKey]") -> None:
        number = sum(service_keys.revoke(row.pk) for row in queryset)
        self.message_user(request, f"{number} revoked.", messages.SUCCESS)
