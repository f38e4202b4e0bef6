"""Composing in the admin: words and an audience, a look at whom it reaches, and "Send now"."""

from datetime import date, datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html
from django.views.decorators.http import require_POST

from notifications import announcements, tracing
from notifications.admin.base import ModelAdmin, log, trace_link
from notifications.errors import HubError
from notifications.event_types import declaration_of
from notifications.models import Announcement, Event, EventType, has_field
from notifications.words import MAX_MESSAGE, MAX_TAG, MAX_TITLE, clean_data, clean_text, clean_url

State = Announcement.State
COMPOSE = "hub_notifications.add_event"
LOOK = "hub_notifications.view_event"
QUERY = "query_"


class AnnouncementForm(forms.ModelForm):  # type: ignore[type-arg]
    """The words, and the audience as fields of its own; only those of its kind are read."""

    kind = forms.ChoiceField(
        label="Audience",
        choices=list(announcements.KINDS.items()),
        widget=forms.RadioSelect,
        initial="names",
    )
    names = forms.CharField(
        label="User names",
        required=False,
        widget=forms.Textarea(attrs={"rows": 4, "cols": 40}),
        help_text="One a line.",
    )

    class Meta:
        model = Announcement
        fields = ("type", "title", "message", "url", "data", "tag", "priority", "expires_at")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "type" in self.fields:
            choice: Any = self.fields["type"]
            choice.queryset = EventType.objects.active()
        stored = self.instance.audience or {}
        self.initial.setdefault("kind", stored.get("kind", "names"))
        self.initial.setdefault("names", "\n".join(stored.get("names", [])))
        self.initial.setdefault("groups", stored.get("groups", []))
        for name, value in stored.get("query", {}).items():
            self.initial.setdefault(QUERY + name, value)

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        self._clean_words(cleaned)
        audience = self._audience(cleaned)
        if audience is None or self.errors:
            return cleaned
        try:
            announcements.users_of(audience)
        except HubError as error:
            self.add_error("names", error.detail)
        self.instance.audience = audience
        return cleaned

    def _clean_words(self, cleaned: dict[str, Any]) -> None:
        kind = cleaned.get("type")
        declared = declaration_of(kind.name) if kind is not None else None
        rules = {
            "title": lambda value: clean_text("title", value, limit=MAX_TITLE),
            "message": lambda value: clean_text("message", value, limit=MAX_MESSAGE, lines=True),
            "url": clean_url,
            "tag": lambda value: clean_text("tag", value, limit=MAX_TAG),
            "data": clean_data,
        }
        for name, rule in rules.items():
            if name not in cleaned:
                continue
            try:
                cleaned[name] = rule(cleaned[name])
                if name == "data" and declared is not None:
                    declared.check_data(cleaned[name])
            except HubError as error:
                self.add_error(name, error.detail)
        if not cleaned.get("title") and not cleaned.get("message"):
            self.add_error("title", "Say something: a title or a message.")

    def _audience(self, cleaned: dict[str, Any]) -> dict[str, Any] | None:
        kind = cleaned.get("kind")
        if kind == "everyone":
            return {"kind": kind}
        if kind == "names":
            names = [line.strip() for line in cleaned.get("names", "").splitlines()]
            if not any(names):
                self.add_error("names", "Name at least one user.")
            return {"kind": kind, "names": list(dict.fromkeys(filter(None, names)))}
        if kind == "groups":
            groups = cleaned.get("groups")
            if not groups:
                self.add_error("groups" if "groups" in self.fields else "kind", "Choose a group.")
                return None
            return {"kind": kind, "groups": [group.pk for group in groups]}
        query = {
            name: _stored(cleaned[QUERY + name])
            for name in announcements.conditions()
            if cleaned.get(QUERY + name) not in (None, "")
        }
        if not query:
            self.add_error("kind", "Give at least one condition; or address everyone.")
        return {"kind": "query", "query": query}


def _stored(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value


def _field_of(condition: announcements.Condition) -> forms.Field:
    """The field by which a condition is asked for."""
    if condition.kind is bool:
        return forms.TypedChoiceField(
            label=condition.label,
            required=False,
            choices=[("", "either"), ("yes", "yes"), ("no", "no")],
            coerce=lambda text: text == "yes",
            empty_value=None,
        )
    if condition.kind is datetime:
        return forms.DateField(
            label=condition.label, required=False, widget=forms.DateInput(attrs={"type": "date"})
        )
    return forms.CharField(label=condition.label, required=False, max_length=150)


def form_class() -> type[AnnouncementForm]:
    """The form with the conditions that this user model has, and with groups where it has any."""
    fields: dict[str, Any] = {
        QUERY + name: _field_of(row) for name, row in announcements.conditions().items()
    }
    if has_field(get_user_model(), "groups"):
        fields["groups"] = forms.ModelMultipleChoiceField(
            Group.objects.order_by("name"), required=False, widget=forms.CheckboxSelectMultiple
        )
    return type("AnnouncementForm", (AnnouncementForm,), fields)


@admin.register(Announcement)
class AnnouncementAdmin(ModelAdmin):
    """Composing needs the permission to add events; nothing is sent by a GET."""

    list_display = ("shown", "type", "audience_kind", "state", "made_by", "queued_at", "event_link")
    list_filter = ("state", "type")
    list_select_related = ("type", "made_by")
    list_per_page = 50
    show_full_result_count = False
    search_fields = ("title", "message", "tag")
    change_form_template = "notifications/admin/announcement_form.html"

    @admin.display(description="announcement", ordering="title")
    def shown(self, row: Announcement) -> str:
        return str(row)

    @admin.display(description="audience")
    def audience_kind(self, row: Announcement) -> str:
        return announcements.KINDS.get(row.audience.get("kind", ""), "")

    @admin.display(description="event")
    def event_link(self, row: Announcement) -> str:
        return trace_link(row.event_id) if row.event_id else ""

    # permissions

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm(COMPOSE) or request.user.has_perm(LOOK)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(COMPOSE)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        open_one = obj is None or obj.state in (State.DRAFT, State.FAILED)
        return request.user.has_perm(COMPOSE) and open_one

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        unsent = obj is None or obj.state != State.QUEUED
        return request.user.has_perm(COMPOSE) and unsent

    # the form

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        if obj is not None and not self.has_change_permission(request, obj):
            return super().get_form(request, obj, change, **kwargs)
        made = form_class()
        kwargs["form"] = made
        # Declared fields are not the model's: admin would look for them there.
        kwargs["fields"] = AnnouncementForm.Meta.fields
        return super().get_form(request, obj, change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        words = ["type", "title", "message", "url"]
        more = ["priority", "expires_at", "tag", "data"]
        if obj is not None and not self.has_change_permission(request, obj):
            state = ["state", "error", "made_by", "queued_at"]
            return [(None, {"fields": [*words, *more, "audience", *state]})]
        names = list(form_class().base_fields)
        query = [name for name in names if name.startswith(QUERY)]
        groups = ["groups"] if "groups" in names else []
        return [
            ("What to say", {"fields": words}),
            ("Whom to tell", {"fields": ["kind", "names", *groups]}),
            ("Users by what is known of them", {"fields": query}),
            ("More", {"fields": more, "classes": ["collapse"]}),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is not None and not self.has_change_permission(request, obj):
            return [field.name for field in Announcement._meta.fields if field.name != "id"]
        return ()

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        obj.changed_at = timezone.now()
        obj.state = State.DRAFT
        if not change:
            obj.made_by = request.user
        super().save_model(request, obj, form, change)

    def response_add(self, request: HttpRequest, obj: Any, *args: Any, **kwargs: Any) -> Any:
        return HttpResponseRedirect(_address("preview", obj.pk))

    def response_change(self, request: HttpRequest, obj: Any) -> Any:
        return HttpResponseRedirect(_address("preview", obj.pk))

    # looking it over, and sending

    def get_urls(self) -> list[URLPattern]:
        guarded = self.admin_site.admin_view
        return [
            path("<int:pk>/preview/", guarded(self.preview), name=_name("preview")),
            path("<int:pk>/send/", guarded(require_POST(self.send)), name=_name("send")),
            *super().get_urls(),
        ]

    def _found(self, pk: int) -> Announcement:
        row = Announcement.objects.select_related("type", "made_by").filter(pk=pk).first()
        if row is None:
            raise Http404
        return row

    def preview(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The words as they would be, whom they would reach now, and the button; afterwards the
        result."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        row = self._found(pk)
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": "Look it over" if row.state in (State.DRAFT, State.FAILED) else "Announcement",
            "opts": self.opts,
            "row": row,
            "audience": announcements.KINDS.get(row.audience.get("kind", ""), ""),
            "may_send": self.has_change_permission(request, row),
        }
        if row.state in (State.DRAFT, State.FAILED):
            try:
                context["preview"] = announcements.preview(row)
            except HubError as error:
                context["problem"] = error.detail
        elif row.event_id is not None:
            context |= _result(row.event_id)
        return TemplateResponse(request, "notifications/admin/preview.html", context)

    def send(self, request: HttpRequest, pk: int) -> HttpResponse:
        if not request.user.has_perm(COMPOSE):
            raise PermissionDenied
        row = self._found(pk)
        seen = _moment(request.POST.get("changed_at", ""))
        if request.POST.get("confirm") != "yes":
            self.message_user(request, "Nothing sent: confirm it first.", messages.ERROR)
        elif not row.type.active:
            self.message_user(request, "Nothing sent: its event type is inactive.", messages.ERROR)
        else:
            try:
                announcements.queue(row, seen_at=seen)
            except announcements.NotAsPreviewed:
                said = "Nothing sent: it is not as you saw it any more. Look it over again."
                self.message_user(request, said, messages.ERROR)
            else:
                log(request, [row], "Sent now.")
                self.message_user(request, "Queued. The worker sends it.", messages.SUCCESS)
        return HttpResponseRedirect(_address("preview", pk))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> Any:
        link = format_html("{}", _address("preview", object_id)) if object_id.isdigit() else ""
        return super().change_view(
            request, object_id, form_url, {**(extra_context or {}), "preview_address": link}
        )


def _result(event_id: int) -> dict[str, Any]:
    """How far the fan-out has come, and where the rest is told; nothing once the event is gone."""
    event = Event.objects.select_related("type").filter(pk=event_id).first()
    if event is None:
        return {}
    address = reverse("admin:hub_notifications_event_trace", args=[event_id])
    return {"trace": address, "facts": tracing.fan_out(event, using=event._state.db or "").facts}


def _moment(text: str) -> datetime | None:
    try:
        return parse_datetime(text)
    except ValueError:
        return None


def _name(what: str) -> str:
    return f"hub_notifications_announcement_{what}"


def _address(what: str, pk: Any) -> str:
    return reverse(f"admin:{_name(what)}", args=[pk])
