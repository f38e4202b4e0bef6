"""What the admin pages of all the hub's tables share: they look things up, at a bounded cost.

Nothing here writes a notification or an inbox: what has a state is changed by the functions of
`notifications.inbox`, which number the change and tell it to clients.
"""

from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.options import get_content_type_for_model
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth import get_permission_codename, get_user_model
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import Max, Q, QuerySet
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html

from notifications.audiences import key_field
from notifications.models import has_field

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
    TabularInline = admin.TabularInline[Any, Any]
else:
    # Django's own classes take no parameters
    ModelAdmin = admin.ModelAdmin
    TabularInline = admin.TabularInline

MOST_COUNTED = 10_000  # rows that a list counts and pages through; beyond them it is searched
WINDOW = 100_000  # ids that a large table's list looks at where nothing is searched for
MOST_PEOPLE = 100  # users whom one search text may mean


class LookOnly:
    """Rows that are shown and not written; not even a superuser is offered a form."""

    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class NoDeletion:
    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class Acts:
    """For rows without a form that have actions: `permissions=["act"]` asks for `change_...`."""

    opts: Any

    def has_act_permission(self, request: HttpRequest) -> bool:
        return may_change(request, self.opts)


def may_change(request: HttpRequest, opts: Any) -> bool:
    return request.user.has_perm(f"{opts.app_label}.{get_permission_codename('change', opts)}")


def log(request: HttpRequest, rows: Iterable[Any], message: str) -> None:
    """Writes into the admin's history who did what to each of these rows, by one statement."""
    found = list(rows)
    if not found:
        return
    kind = get_content_type_for_model(found[0])
    LogEntry.objects.bulk_create(
        LogEntry(
            user_id=str(request.user.pk),
            content_type=kind,
            object_id=row.pk,
            object_repr=str(row)[:200],
            action_flag=CHANGE,
            change_message=message,
        )
        for row in found
    )


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts at most `MOST_COUNTED` rows: to count 10⁷ takes seconds and tells nobody anything."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        if not isinstance(rows, QuerySet):
            return len(rows)
        return rows.order_by()[:MOST_COUNTED].count()


class BoundedChangeList(ChangeList):
    """The list of a table that may have 10⁷ rows, newest first.

    Where nothing is searched for it looks at the newest `WINDOW` ids alone, so that a filter that
    hardly any row passes cannot walk through the whole table. `older` leads on from there by id.
    """

    #: Parameters that are answered by an index, and so need no window.
    narrow = ("user", "user__id__exact", "event", "event__id__exact", "event_id")

    def get_queryset(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        rows = super().get_queryset(request, *args, **kwargs)
        self.lowest = 0
        if self.query or any(name in self.params for name in self.narrow):
            return rows
        every = self.root_queryset
        below = str(self.params.get("id__lt", ""))
        newest = int(below) if below.isascii() and below.isdigit() else self._newest(every)
        self.lowest = max(newest - WINDOW, 0)
        return rows.filter(pk__gt=self.lowest)

    @staticmethod
    def _newest(rows: Any) -> int:
        return rows.order_by().aggregate(last=Max("pk"))["last"] or 0

    @property
    def older(self) -> str:
        """Where the rows below this page are; empty where there are none, or in another order."""
        shown = list(self.result_list)
        if "o" in self.params:
            return ""
        if len(shown) >= self.list_per_page:
            last = shown[-1].pk
        elif self.lowest and self.page_num >= self.paginator.num_pages:
            last = self.lowest + 1
        else:
            return ""
        return self.get_query_string({"id__lt": last, "p": None})


class Large(LookOnly, ModelAdmin):
    """A table that may have 10⁷ rows: bounded counts, a window, and search by index alone."""

    paginator = BoundedPaginator
    change_list_template = "notifications/admin/change_list.html"
    list_max_show_all = 0
    show_facets = admin.ShowFacets.NEVER  # each is a count of its own
    search_fields = ("pk",)  # asks for the box; `get_search_results` does the work
    search_help_text = "A user's name, e-mail address or id, or the id of an event."
    ordering = ("-id",)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return BoundedChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Any]", search_term: str
    ) -> tuple["QuerySet[Any]", bool]:
        text = search_term.strip()
        if not text:
            return queryset, False
        found = Q(user__in=people(text))
        if (number := id_of(text)) is not None:
            found |= Q(event=number)
        return queryset.filter(found), False


class OfUsers(LookOnly, ModelAdmin):
    """A table with a row or a few per user; searched by user, through an index."""

    paginator = BoundedPaginator
    list_select_related: ClassVar[Any] = ("user",)
    search_fields = ("pk",)  # asks for the box; `get_search_results` does the work
    search_help_text = "A user's name, e-mail address or id."

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Any]", search_term: str
    ) -> tuple["QuerySet[Any]", bool]:
        text = search_term.strip()
        found = queryset.filter(self.search_of(text)) if text else queryset
        return found, False

    def search_of(self, text: str) -> Q:
        return Q(user__in=people(text))


def id_of(text: str) -> int | None:
    """The text as an id that a row can have, or None."""
    if text.isascii() and text.isdigit() and 0 < int(text) < 2**63:
        return int(text)
    return None


def people(text: str) -> list[Any]:
    """The keys of the users whom a search text means: by name or its beginning, by the whole
    e-mail address, or by id. At most `MOST_PEOPLE`."""
    model = get_user_model()
    name = model.USERNAME_FIELD
    found = Q(**{f"{name}__startswith": text})
    if name != "email" and has_field(model, "email") and "@" in text:
        found |= Q(email__iexact=text)
    key = _key(text)
    if key is not None:
        found |= Q(pk=key)
    # the exact name first, whoever else begins alike
    exact = model._default_manager.filter(**{name: text}).values_list("pk", flat=True)
    rows = model._default_manager.filter(found).order_by().values_list("pk", flat=True)
    return list(dict.fromkeys([*exact, *rows[:MOST_PEOPLE]]))


def _key(text: str) -> Any:
    field = key_field()
    if field.get_internal_type() != "UUIDField":
        return id_of(text)
    try:
        return field.to_python(text)
    except ValidationError:
        return None


def trace_link(event_id: Any, user_id: Any = None) -> str:
    """A link to the page that tells what became of an event, for all or for one user."""
    try:
        address = reverse("admin:hub_notifications_event_trace", args=[event_id])
    except NoReverseMatch:
        return str(event_id)
    if user_id is None:
        return format_html('<a href="{}">Trace {}</a>', address, event_id)
    return format_html('<a href="{}?user={}">Trace {}</a>', address, user_id, event_id)
