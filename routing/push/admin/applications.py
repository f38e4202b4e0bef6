"""Applications in the admin: their credentials go in and never come out."""

import json
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest

from routing.push import applications, pausing
from routing.push.admin.base import Acts, ModelAdmin, log
from routing.push.backends import registry
from routing.push.models import Application


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
class ApplicationAdmin(Acts, ModelAdmin):
    form = ApplicationForm
    list_display = ("name", "backend", "is_default", "active", "in_settings", "paused", "alert")
    list_filter = ("backend", "active", ("alert", admin.EmptyFieldListFilter))
    search_fields = ("name", "backend", "alert")
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

    # Also of those that settings declare: a pause is nothing of the settings.
    @admin.action(description="End pauses and suspensions", permissions=["act"])
    def resume(self, request: HttpRequest, queryset: "QuerySet[Application]") -> None:
        log(request, queryset, "Ended its pauses and suspensions.")
        for row in queryset:
            pausing.lift(row, using=str(queryset.db))
        self.message_user(request, f"{len(queryset)} resumed.")
