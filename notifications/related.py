"""Links from events to any object of the application: made, replaced, and searched by.

An object is known by its model and its key as text, so that keys may be integers, UUIDs or text.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.contrib.contenttypes.models import ContentType
from django.db import connections, models, transaction
from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Cast, Concat, Substr

from notifications.errors import InvalidField

if TYPE_CHECKING:
    from notifications.models import Event, RelatedObject  # noqa: F401 - of the class below

MAX_OBJECT_KEY = 255  # characters in a related object's key, as text
#: Where the hyphens of a UUID stand, as (first character, length) of its 32 digits.
UUID_PARTS = ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))


def links_of(objects: Iterable[Any], *, using: str) -> list[tuple[int, str]]:
    """The objects as (content type, key), each once and sorted.

    Raises `InvalidField` for what has no key, or one that is no single value.
    """
    if not isinstance(objects, Iterable):
        raise InvalidField.of("related_objects", "must be an iterable of saved objects")
    links = set()
    for linked in objects:
        if not isinstance(linked, models.Model) or linked.pk is None:
            raise InvalidField.of("related_objects", "must be saved objects")
        if isinstance(linked.pk, tuple):
            raise InvalidField.of("related_objects", "must have keys of a single column")
        if len(str(linked.pk)) > MAX_OBJECT_KEY:
            message = f"must have keys of at most {MAX_OBJECT_KEY} characters"
            raise InvalidField.of("related_objects", message)
        links.add((_content_type(linked, using), str(linked.pk)))
    return sorted(links)


def _content_type(model: Any, using: str) -> int:
    return ContentType.objects.db_manager(using).get_for_model(model).pk


def store(event: "Event", links: Iterable[tuple[int, str]], *, using: str) -> None:
    """Writes links; those that are there already stay as they are."""
    rows = event.related_objects.model._default_manager.using(using)
    rows.bulk_create(
        [
            rows.model(event=event, content_type_id=content_type, object_id=object_id)
            for content_type, object_id in links
        ],
        ignore_conflicts=True,
    )


def replace(event: "Event", objects: Iterable[Any], *, model: Any = None) -> None:
    """Links the event to exactly these objects; with `model` only links to that model's change.

    Raises `InvalidField`, also for an object of another model than `model`.
    """
    using = str(event._state.db)
    links = links_of(objects, using=using)
    old = event.related_objects.using(using)
    if model is not None:
        kind = _content_type(model, using)
        old = old.filter(content_type=kind)
        if any(content_type != kind for content_type, _ in links):
            raise InvalidField.of("related_objects", f"must be of the model {model.__name__}")
    with transaction.atomic(using=using):
        kept = Q(pk__in=[])
        for content_type, object_id in links:
            kept |= Q(content_type=content_type, object_id=object_id)
        old.exclude(kept).delete()
        store(event, links, using=using)


def objects_of(event: "Event", model: Any) -> "QuerySet[Any]":
    """The objects of one model that the event is linked to, as far as they still exist."""
    using = str(event._state.db)
    links = event.related_objects.using(using).filter(content_type=_content_type(model, using))
    keys = list(links.values_list("object_id", flat=True))
    found: QuerySet[Any] = model._default_manager.filter(pk__in=keys)
    return found


class RelatedObjectQuerySet(models.QuerySet["RelatedObject"]):
    def linked_to(self, target: Any) -> "RelatedObjectQuerySet":
        """Links to an object, to any object of a queryset, or to any of an iterable of objects.

        A queryset of the same database is not read but becomes part of the query.
        Raises `InvalidField` for objects without a key.
        """
        if isinstance(target, QuerySet):
            kind = _content_type(target.model, self.db)
            return self.filter(content_type=kind, object_id__in=_keys(target, self.db))
        objects = [target] if isinstance(target, models.Model) else target
        keys = defaultdict(list)
        for content_type, object_id in links_of(objects, using=self.db):
            keys[content_type].append(object_id)
        wanted = Q(pk__in=[])
        for content_type, ids in keys.items():
            wanted |= Q(content_type=content_type, object_id__in=ids)
        return self.filter(wanted)


def _keys(queryset: "QuerySet[Any]", using: str) -> Any:
    """The keys of a queryset as text, as `str` writes them."""
    key: Any = queryset.model._meta.pk
    while key.remote_field is not None:
        key = key.target_field
    text = models.CharField(max_length=MAX_OBJECT_KEY)
    if queryset.db == using:
        if isinstance(key, models.IntegerField | models.CharField | models.TextField):
            return queryset.values_list(Cast("pk", text))
        if isinstance(key, models.UUIDField):
            if connections[using].features.has_native_uuid_field:
                return queryset.values_list(Cast("pk", text))
            digits = Cast("pk", text)
            first, *rest = (Substr(digits, *part) for part in UUID_PARTS)
            joined: list[Any] = [first]
            for part in rest:
                joined += [Value("-"), part]
            return queryset.values_list(Concat(*joined, output_field=text))
    return [str(value) for value in queryset.values_list("pk", flat=True)]


class EventQuerySet(models.QuerySet["Event"]):
    def tagged(self, tag: str) -> "EventQuerySet":
        return self.filter(tag=tag)

    def from_template(self, slug: str) -> "EventQuerySet":
        return self.filter(template=slug)

    def related_to(self, target: Any) -> "EventQuerySet":
        """Events linked to `target`, as `RelatedObjectQuerySet.linked_to` takes it."""
        links: Any = self.model._meta.get_field("related_objects").related_model
        rows: RelatedObjectQuerySet = links._default_manager.using(self.db)
        return self.filter(pk__in=rows.linked_to(target).values("event_id"))

    def was_sent(self, slug: str, *objects: Any) -> bool:
        """Whether there is an event of this template that is linked to all of `objects`."""
        rows = self.from_template(slug)
        for linked in objects:
            rows = rows.related_to(linked)
        return rows.exists()
