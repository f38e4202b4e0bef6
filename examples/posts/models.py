"""Posts and the replies to them; the words of what people are told."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.conf import settings
from django.db import models

from notifications.templating.models import AbstractTemplate


class Post(models.Model):
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="posts")
    parent = models.ForeignKey("self", models.CASCADE, null=True, related_name="replies")
    text = models.TextField()

    def __str__(self) -> str:
        return self.text[:40]


class Wording(AbstractTemplate):
    """The forum's templates, in the place of the hub's own: `HUB["TEMPLATE_MODEL"]`."""

    #: Posts of fewer words are not worth a notification.
    least_words = models.PositiveIntegerField(default=0)

    def can_send(
        self, users: Any, context: Mapping[str, Any], related_objects: Iterable[models.Model] = ()
    ) -> bool:
        posts = [linked for linked in related_objects if isinstance(linked, Post)]
        short = any(len(post.text.split()) < self.least_words for post in posts)
        return not short and super().can_send(users, context, related_objects)
