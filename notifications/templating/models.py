"""The table of templates, and the abstract one that a team's own is made from."""

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.utils import timezone

from notifications.conf import conf
from notifications.templating import engine, languages

if TYPE_CHECKING:
    from notifications.models import Event

MAX_SLUG = 100  # characters, as an event type's name: a type's own template bears its name
SLUG = re.compile(r"\A\S(.*\S)?\Z")
#: The texts, in the order of forms.
TEXTS = ("title", "message", "url", "push_title", "push_body")


class AbstractTemplate(models.Model):
    """The words of an event with gaps, in one language.

    The row without a language is the template itself: its words are everybody's who has no
    better row, and its switches count. Rows of the same slug with a language are its variants.
    """

    slug = models.CharField(
        max_length=MAX_SLUG,
        validators=[RegexValidator(SLUG, "Must be a single line without spaces around it.")],
        help_text="By which a send names it. The name of an event type: that type's template.",
    )
    language = models.CharField(
        max_length=languages.MAX_LANGUAGE,
        blank=True,
        help_text="Such as de or pt-br. Empty: the words for everybody who has no better ones.",
    )
    title = models.TextField(blank=True, max_length=engine.MAX_SOURCE)
    message = models.TextField(blank=True, max_length=engine.MAX_SOURCE)
    url = models.TextField(blank=True, max_length=engine.MAX_SOURCE)
    push_title = models.TextField(
        blank=True, max_length=engine.MAX_SOURCE, help_text="Empty: as the title."
    )
    push_body = models.TextField(
        blank=True, max_length=engine.MAX_SOURCE, help_text="Empty: as the message."
    )
    is_active = models.BooleanField(
        "active", default=True, help_text="Off: nothing is sent; of a variant: it is not used."
    )
    is_locked = models.BooleanField(
        "locked", default=False, help_text="On: neither changed nor deleted here."
    )
    is_strict = models.BooleanField(
        "strict", default=False, help_text="On: a variable that is not in the context is an error."
    )
    allow_duplicates = models.BooleanField(
        default=True, help_text="Off: sent once only for the same related objects."
    )
    event_type = models.CharField(
        max_length=100,
        blank=True,
        help_text="What send_template() sends. Empty: the event type named as the slug.",
    )
    sample = models.JSONField(
        "sample context", default=dict, blank=True, help_text="What the preview fills gaps with."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True
        ordering = ["slug", "language"]
        constraints = [
            models.UniqueConstraint(
                fields=["slug", "language"],
                name="%(app_label)s_%(class)s_one_per_language",
                violation_error_message="There is one of this slug and language already.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.slug} ({self.language})" if self.language else self.slug

    def clean(self) -> None:
        """Raises `ValidationError` for texts that cannot be compiled, and variants of nothing."""
        problems: dict[str, str] = {}
        if self.language:
            self.language = languages.normal(self.language)
            if not self.language:
                problems["language"] = "Must be a language such as de or pt-br."
            elif not type(self)._default_manager.filter(slug=self.slug, language="").exists():
                problems["language"] = f"Make {self.slug!r} without a language first."
        for field in TEXTS:
            try:
                engine.check(getattr(self, field))
            except engine.RenderingError as problem:
                problems[field] = str(problem)
        if self.sample is None:
            self.sample = {}
        if not isinstance(self.sample, Mapping):
            problems["sample"] = "Must be a JSON object."
        if problems:
            raise ValidationError(problems)

    def get_source(self, field: str) -> str:
        """The text of one of `TEXTS` before it is rendered. For teams to change."""
        return str(getattr(self, field))

    def render(self, field: str, context: Mapping[str, Any]) -> str:
        """One of `TEXTS` with its gaps filled. For teams to change.

        Raises `RenderingError`, also for a variable that is missing where the template is strict.
        """
        source = self.get_source(field)
        return engine.render(source, context, language=self.language, strict=self.is_strict)

    def can_send(
        self, users: Any, context: Mapping[str, Any], related_objects: Iterable[models.Model] = ()
    ) -> bool:
        """Whether this may be sent: by default whether it is active. For teams to change.

        Asked once per send, of the row without a language; `users` is what the sender gave.
        """
        return self.is_active

    def send(
        self, users: Any, context: Mapping[str, Any] | None = None, **more: Any
    ) -> "Event | None":
        """As `notifications.send_template`."""
        from notifications.templating.sending import send_template

        return send_template(users, self.slug, context, **more)


class Template(AbstractTemplate):
    """The table that is used unless `HUB["TEMPLATE_MODEL"]` names another one."""

    class Meta(AbstractTemplate.Meta):
        db_table = "hub_template"


def template_model() -> type[AbstractTemplate]:
    """The model that `HUB["TEMPLATE_MODEL"]` names. Raises `ImproperlyConfigured`."""
    named = conf().template_model
    try:
        found = apps.get_model(named)
    except (LookupError, ValueError):
        raise ImproperlyConfigured(f"HUB['TEMPLATE_MODEL']: there is no model {named}") from None
    if not issubclass(found, AbstractTemplate):
        raise ImproperlyConfigured(f"HUB['TEMPLATE_MODEL']: {named} is not an AbstractTemplate")
    return found
