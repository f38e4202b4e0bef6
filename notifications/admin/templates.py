"""Templates in the admin: written, checked as they are saved, and looked at in every language."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.contrib.admin.widgets import AdminTextareaWidget
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from notifications.admin.base import ModelAdmin
from notifications.templating import wording
from notifications.templating.models import TEXTS, AbstractTemplate, Template, template_model


class PreviewForm(forms.Form):
    """What the gaps are filled with."""

    context = forms.JSONField(
        required=False, widget=forms.Textarea(attrs={"rows": 8, "class": "vLargeTextField"})
    )


class TemplateAdmin(ModelAdmin):
    """For the hub's own table; a team registers its own model with this class or a child of it."""

    list_display = [
        "slug",
        "language",
        "title",
        "is_active",
        "is_locked",
        "is_strict",
        "changed_at",
    ]
    list_filter = ["is_active", "is_locked", "language"]
    search_fields = ["slug", "title", "message"]
    readonly_fields = ["created_at", "changed_at"]
    list_per_page = 50
    change_form_template = "notifications/admin/template.html"

    def formfield_for_dbfield(self, db_field: Any, request: Any, **more: Any) -> Any:
        """Boxes of the size of what is written in them."""
        if db_field.name in TEXTS:
            rows = 5 if db_field.name in ("message", "push_body") else 2
            more["widget"] = AdminTextareaWidget(attrs={"rows": rows})
        return super().formfield_for_dbfield(db_field, request, **more)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Of a locked one nothing can be changed but the lock itself, and that by a superuser."""
        readonly = [str(field) for field in super().get_readonly_fields(request, obj)]
        if obj is None or not obj.is_locked:
            return readonly
        fields = [field.name for field in obj._meta.fields if field.name not in readonly]
        if request.user.is_superuser:
            fields.remove("is_locked")
        return readonly + fields

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        locked = obj is not None and obj.is_locked
        return not locked and super().has_delete_permission(request, obj)

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_preview"
        view = self.admin_site.admin_view(self.preview)
        return [path("<path:object_id>/preview/", view, name=name), *super().get_urls()]

    def preview(self, request: HttpRequest, object_id: str) -> TemplateResponse:
        """The texts of the template and of its variants, with the sample or another context."""
        shown = self.get_object(request, unquote(object_id))
        if not self.has_view_permission(request, shown):
            raise PermissionDenied
        if shown is None:
            raise Http404
        rows = list(type(shown)._default_manager.filter(slug=shown.slug).order_by("language"))
        # a variant without a sample of its own is shown with that of the template itself
        context = shown.sample or rows[0].sample
        form = PreviewForm(request.POST or None, initial={"context": context})
        if form.is_valid():
            context = form.cleaned_data["context"] or {}
        texts = [wording.preview(row, context) for row in rows]
        return TemplateResponse(
            request,
            "notifications/admin/template_preview.html",
            {
                **self.admin_site.each_context(request),
                "title": f"Preview of {shown.slug}",
                "opts": self.opts,
                "original": shown,
                "back": reverse(
                    f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[shown.pk]
                ),
                "form": form,
                "previews": [
                    (row, wording.completed(said, base=texts[0]))
                    for row, said in zip(rows, texts, strict=True)
                ],
            },
        )


def register(model: type[AbstractTemplate]) -> None:
    """The hub's own table only: where a team has another one, it registers that itself."""
    if model is Template:
        admin.site.register(Template, TemplateAdmin)


register(template_model())
