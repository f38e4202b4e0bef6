"""From a template to words: checked whole when it is sent, rendered once per language in fan-out.

What is sent stores the template's slug and the context with the event, whose own words are those
for everybody. A fan-out, in whichever process and however late, renders the variants of the users
it reaches. What fails then (a template that was changed meanwhile) leaves these users the event's
words: a faulty text never stops an inbox.
"""

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.db import models, router, transaction

from notifications.errors import (
    HubError,
    InvalidData,
    InvalidField,
    TemplateFailed,
    TemplateRefused,
    UnknownTemplate,
)
from notifications.models import Event
from notifications.signals import Words
from notifications.sql import is_passing
from notifications.templating import languages
from notifications.templating.engine import RenderingError
from notifications.templating.models import MAX_SLUG, AbstractTemplate, template_model
from notifications.words import MAX_MESSAGE, MAX_TITLE, clean_data, clean_text, clean_url

logger = logging.getLogger(__name__)

#: The sources of an event's own words, and of what a push says instead.
OWN = ("title", "message", "url")
PUSH = ("push_title", "push_body")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """A template with its active variants by language."""

    base: AbstractTemplate
    variants: Mapping[str, AbstractTemplate]

    def row_for(self, language: str) -> AbstractTemplate:
        best = languages.best(language, self.variants)
        return self.variants[best] if best else self.base


def load(slugs: Iterable[str]) -> dict[str, Wording]:
    """The templates of these slugs, as far as there are any, by one query."""
    model = template_model()
    rows = model._default_manager.using(router.db_for_write(model)).filter(slug__in=set(slugs))
    families: dict[str, dict[str, AbstractTemplate]] = {}
    for row in rows:
        name = languages.normal(row.language)
        if name or not row.language:
            families.setdefault(row.slug, {})[name] = row
    return {
        slug: Wording(
            base=family[""],
            variants={name: row for name, row in sorted(family.items()) if name and row.is_active},
        )
        for slug, family in families.items()
        if "" in family
    }


def find(slug: Any) -> Wording:
    """Raises `UnknownTemplate`."""
    clean = clean_text("template", slug, limit=MAX_SLUG)
    found = load([clean]).get(clean)
    if found is None:
        raise UnknownTemplate(f"There is no template {clean!r}.")
    return found


def clean_context(context: Any) -> dict[str, Any]:
    """A context as it will be stored: JSON of at most 16 KiB, by name. Raises `InvalidField`."""
    if context is None:
        return {}
    if not isinstance(context, Mapping):
        raise InvalidField.of("context", "must be an object")
    try:
        found: dict[str, Any] = clean_data(dict(context))
    except InvalidData as problem:
        raise InvalidField.of("context", f"must be JSON: {problem.detail}") from None
    return found


def apply(
    event: Event,
    template: "Wording | str | None",
    context: Any,
    *,
    users: Any,
    related_objects: Collection[models.Model],
) -> Wording:
    """Gives `event`, which is not stored yet, the words of its template; without one, of the
    template that bears the name of its type.

    All variants are rendered, so that whatever is wrong is wrong now. What a template leaves
    empty stays as the sender gave it. Raises `UnknownTemplate`, `TemplateRefused`,
    `TemplateFailed` or `InvalidField`.
    """
    values = clean_context(context)
    if isinstance(template, Wording):
        wording = template
    else:
        wording = find(event.type.name if template is None else template)
    if not wording.base.can_send(users, values, related_objects):
        raise TemplateRefused(f"The template {wording.base.slug!r} may not be sent.")
    event.template, event.context = wording.base.slug, values
    shared = own_of(wording.base, values)
    push_of(wording.base, values)
    for field in OWN:
        said = getattr(shared, field)
        if said is not None:
            setattr(event, field, said)
    event.variants = {}
    for language, row in wording.variants.items():
        event.variants[language] = _different(own_of(row, values), event)
        push_of(row, values)
    return wording


def own_of(row: AbstractTemplate, context: Mapping[str, Any]) -> Words:
    """The words that users of this row's language see. Raises `TemplateFailed`."""
    texts = {field: _render(row, field, context) for field in OWN}
    return Words(**{field: text or None for field, text in texts.items()})


def _different(words: Words, event: Event) -> Words:
    """Without what the event says already: that is not stored once more for each user."""
    said = {field: getattr(words, field) for field in OWN}
    return Words(**{k: None if text == getattr(event, k) else text for k, text in said.items()})


def push_of(row: AbstractTemplate, context: Mapping[str, Any]) -> tuple[str, str]:
    """Title and body of a push where the row has words of their own for it, else empty.

    Raises `TemplateFailed`."""
    title, body = (_render(row, field, context) for field in PUSH)
    return title, body


def _render(row: AbstractTemplate, field: str, context: Mapping[str, Any]) -> str:
    """A text as it may be stored: a title and an address are one line, whatever the source is."""
    try:
        if not row.get_source(field):
            return ""
        text = row.render(field, context)
        if field == "url":
            return clean_url(" ".join(text.split()))
        if field in ("message", "push_body"):
            return clean_text(field, text.strip(), limit=MAX_MESSAGE, lines=True)
        return clean_text(field, " ".join(text.split()), limit=MAX_TITLE)
    except (RenderingError, HubError) as problem:
        raise TemplateFailed(f"The template {row}, {field}: {problem}") from problem


def own_words(event: Event, user_ids: Collection[Any], *, using: str) -> dict[Any, Words]:
    """The words of those users who read another language than the event's own words are in.

    Renders each language once. Raises only what passes: lost connections and locks.
    """
    if not event.template or not user_ids or event.variants == {}:
        return {}
    try:
        with transaction.atomic(using=using):
            return _own_words(event, user_ids, using)
    except Exception as error:
        if is_passing(error):
            raise
        _log("own words", event.template, error)
        return {}


def _own_words(event: Event, user_ids: Collection[Any], using: str) -> dict[Any, Words]:
    known = event.variants
    wording = None
    if known is None:
        wording = load([event.template]).get(event.template)
    offered: Collection[str] = wording.variants if wording is not None else known or ()
    if not offered:
        return {}
    found: dict[Any, Words] = {}
    rendered: dict[str, Words | None] = dict(known or {})
    for user_id, language in languages.of_users(user_ids, using=using).items():
        best = languages.best(language, offered)
        if best and best not in rendered and wording is not None:
            rendered[best] = _or_nothing(wording.variants[best], event)
        words = rendered.get(best)
        if words is not None and words != Words():
            found[user_id] = words
    return found


def _or_nothing(row: AbstractTemplate, event: Event) -> Words | None:
    """One language that fails costs the others nothing."""
    try:
        return _different(own_of(row, event.context or {}), event)
    except TemplateFailed as problem:
        _log("own words", str(row), problem)
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One text as users of a language would see it; `problem` says why there is none."""

    field: str
    text: str
    problem: str = ""
    #: Whether the row leaves it empty, and it is another text's.
    borrowed: bool = False


def preview(row: AbstractTemplate, context: Any) -> list[Shown]:
    """The texts of a row with this context, as far as it has them. Raises nothing of ours."""
    found = []
    for field in (*OWN, *PUSH):
        try:
            text, problem = _render(row, field, clean_context(context)), ""
        except HubError as error:
            text, problem = "", error.detail
        found.append(Shown(field=field, text=text, problem=problem))
    return found


def completed(shown: Iterable[Shown], *, base: Iterable[Shown]) -> list[Shown]:
    """What the row leaves empty: the row without a language says it; a push, title and message."""
    found = {text.field: text for text in shown}
    of_base = {text.field: text for text in base}
    for field in OWN:
        if not found[field].text and not found[field].problem:
            found[field] = replace(of_base[field], borrowed=True)
    for field, own in zip(PUSH, OWN, strict=False):
        if found[own].text and not found[field].text and not found[field].problem:
            found[field] = replace(found[own], field=field, borrowed=True)
    return list(found.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a push says, where its template has words for it; empty: the user's own words."""

    title: str = ""
    body: str = ""
    url: str = ""


#: An event, the id of a user who is pushed to (None where nobody knows them), and whether the push
#: is a direct one, of which there is no notification with the user's own words.
Reader = tuple[Event, Any, bool]


def push_words(readers: Iterable[Reader], *, using: str) -> dict[tuple[int | None, Any], Said]:
    """What a push of these says, by (event's id, user's id), where its template has words for it.

    One query for the templates and those of `languages.of_users`, none where no event has a
    template. Raises only what passes; what else fails leaves a push the user's own words.
    """
    wanted = [reader for reader in readers if reader[0].template]
    if not wanted:
        return {}
    try:
        with transaction.atomic(using=using):
            return _push_words(wanted, using)
    except Exception as error:
        if is_passing(error):
            raise
        _log("push words", "", error)
        return {}


def _push_words(wanted: list[Reader], using: str) -> dict[tuple[int | None, Any], Said]:
    known = load(event.template for event, *_ in wanted)
    users = {user_id for event, user_id, _ in wanted if event.template in known} - {None}
    speak: Mapping[Any, str] = {}
    if any(wording.variants for wording in known.values()):
        speak = languages.of_users(users, using=using)
    rendered: dict[tuple[int | None, str], Said] = {}
    found: dict[tuple[int | None, Any], Said] = {}
    for event, user_id, direct in wanted:
        wording = known.get(event.template)
        if wording is None:
            continue
        row = wording.row_for(speak.get(user_id, ""))
        key = (event.pk, row.language)
        if key not in rendered:
            rendered[key] = _said(row, event, direct=direct)
        if rendered[key] != Said():
            found[event.pk, user_id] = rendered[key]
    return found


def _said(row: AbstractTemplate, event: Event, *, direct: bool) -> Said:
    """One language that fails costs the others nothing."""
    context = event.context or {}
    try:
        title, body = push_of(row, context)
        if not direct:
            return Said(title=title, body=body)
        own = own_of(row, context)
    except TemplateFailed as problem:
        _log("push words", str(row), problem)
        return Said()
    return Said(title=title or own.title or "", body=body or own.message or "", url=own.url or "")


def _log(what: str, template: str, error: Exception) -> None:
    """Without the error's own words, which may quote a context."""
    logger.warning("%s failed template=%s error=%s", what, template, type(error).__name__)
