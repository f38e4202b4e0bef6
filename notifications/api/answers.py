"""What answers look like, for the schema: the answers themselves are written without these."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema_field
from rest_framework import serializers

from notifications.api.errors import STATUS
from notifications.models import Priority

Answer = serializers.Serializer[Any]


def time(**options: Any) -> serializers.DateTimeField:
    return serializers.DateTimeField(**options)


class Error(Answer):
    code = serializers.ChoiceField(choices=list(STATUS))
    detail = serializers.CharField(help_text="A sentence for people; its words may change.")
    fields_ = serializers.DictField(
        child=serializers.ListField(child=serializers.CharField()),
        required=False,
        help_text="By the name of a faulty parameter or key.",
    )

    def get_fields(self) -> dict[str, Any]:
        # `fields` is an attribute of every serializer, and so cannot be declared under its name
        declared = super().get_fields()
        declared["fields"] = declared.pop("fields_")
        return declared


class EventTypeShort(Answer):
    id = serializers.IntegerField()
    name = serializers.CharField()
    title = serializers.CharField()
    description = serializers.CharField()


class EventTypeRow(EventTypeShort):
    critical = serializers.BooleanField(help_text="Cannot be switched off.")


@extend_schema_field({"oneOf": [{"type": "integer"}, {"type": "string"}]})
class UserId(serializers.Field[Any, Any, Any, Any]):
    """An integer, or a UUID in text, as the user model has it."""


class Author(Answer):
    id = UserId()
    name = serializers.CharField()


@extend_schema_field(OpenApiTypes.ANY)
class AnyJson(serializers.JSONField):
    pass


class Event(Answer):
    id = serializers.IntegerField()
    type = EventTypeShort()
    author = Author(allow_null=True)
    title = serializers.CharField()
    message = serializers.CharField()
    url = serializers.CharField()
    data = AnyJson()  # type: ignore[assignment]
    tag = serializers.CharField()
    priority = serializers.ChoiceField(choices=Priority.values)
    timestamp = time()
    expires_at = time(allow_null=True)


class Notification(Answer):
    id = serializers.IntegerField(help_text="The event's id.")
    arrived = serializers.IntegerField(help_text="Its number at arrival; never changes.")
    version = serializers.IntegerField(help_text="The number of its last change.")
    seen_at = time(allow_null=True)
    read_at = time(allow_null=True)
    archived_at = time(allow_null=True)
    expired_at = time(allow_null=True)
    silent = serializers.BooleanField()
    event = Event()


@extend_schema_field({"type": "boolean", "const": True})
class AlwaysTrue(serializers.BooleanField):
    pass


@extend_schema_field({"type": "boolean", "const": False})
class AlwaysFalse(serializers.BooleanField):
    pass


class Tombstone(Answer):
    id = serializers.IntegerField()
    version = serializers.IntegerField()
    deleted = AlwaysTrue()


class Links(Answer):
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)


class NotificationPage(Links):
    count = serializers.IntegerField(allow_null=True, help_text="Null with `before`.")
    results = Notification(many=True)
    epoch = serializers.CharField()
    version = serializers.IntegerField()


class Marked(Answer):
    changed = serializers.IntegerField(help_text="How many notifications were altered.")
    version = serializers.IntegerField(help_text="The inbox's version after it.")


class Summary(Answer):
    unread = serializers.IntegerField()
    unseen = serializers.IntegerField()
    total = serializers.IntegerField()
    version = serializers.IntegerField()
    epoch = serializers.CharField()


@extend_schema_field(
    PolymorphicProxySerializer(
        component_name="Change",
        serializers=[Notification, Tombstone],
        resource_type_field_name=None,
    )
)
class Change(serializers.Field[Any, Any, Any, Any]):
    """A notification as it is now, or what is left of a deleted one."""


class Changes(Answer):
    epoch = serializers.CharField()
    version = serializers.IntegerField(help_text="The highest that is complete with this page.")
    cursor = serializers.CharField(
        allow_null=True, help_text="While `more` is true: `since` of the next page."
    )
    reset = AlwaysFalse()
    changes = serializers.ListField(child=Change())
    more = serializers.BooleanField()


class ChangesReset(Answer):
    reset = AlwaysTrue()
    changes = serializers.ListField(child=Change(), max_length=0)
    more = AlwaysFalse()
    retry_after = serializers.FloatField(help_text="Seconds to wait before the list is loaded.")
    epoch = serializers.CharField()
    version = serializers.IntegerField()


CHANGES = PolymorphicProxySerializer(
    component_name="ChangesAnswer",
    serializers=[Changes, ChangesReset],
    resource_type_field_name=None,
)


class Channels(Answer):
    inbox = serializers.BooleanField()
    live = serializers.BooleanField()
    push = serializers.BooleanField()


class Filter(Answer):
    types_enabled = EventTypeShort(many=True)
    types = serializers.DictField(child=Channels())


class TokenMade(Answer):
    token = serializers.CharField(help_text="Shown this once.")


class TokenRow(Answer):
    id = serializers.IntegerField()
    name = serializers.CharField()
    created_at = time()
    last_used_at = time(allow_null=True, help_text="Right to within a minute.")


class TokenPage(Links):
    count = serializers.IntegerField()
    results = TokenRow(many=True)


class EventMade(Answer):
    id = serializers.IntegerField()
