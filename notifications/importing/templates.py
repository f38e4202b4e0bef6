"""The other system's templates, as the hub has them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from notifications.importing.report import Report
from notifications.importing.running import Run
from notifications.templating import engine
from notifications.templating.models import MAX_SLUG, SLUG, TEXTS, template_model

TEMPLATES = "templates"


@dataclass(frozen=True, slots=True, kw_only=True)
class OldTemplate:
    """A template as the other system had it, in no language of its own."""

    slug: str
    title: str
    message: str
    url: str
    is_active: bool
    is_locked: bool
    allow_duplicates: bool


def store_templates(run: Run, source: str, olds: Sequence[OldTemplate], sheet: Report) -> None:
    """Stores them, inside a chunk's transaction; `source` is their table. One whose slug the hub
    has already stays as the hub has it."""
    model = template_model()
    keys = {old.slug: key_of(old.slug) for old in olds}
    known = run.known(source, keys.values())
    rows = model._default_manager.using(run.using).filter(slug__in=keys, language="")
    have = dict(rows.values_list("slug", "pk"))
    became: dict[str, int] = {}
    for old in olds:
        if keys[old.slug] in known or old.slug in have:
            sheet.known[TEMPLATES] += 1
            continue
        if reason := _refusal(old):
            sheet.skip(TEMPLATES, reason)
            continue
        sheet.imported[TEMPLATES] += 1
        if not run.dry_run:
            row = model._default_manager.using(run.using).create(
                slug=old.slug,
                title=old.title,
                message=old.message,
                url=old.url,
                is_active=old.is_active,
                is_locked=old.is_locked,
                allow_duplicates=old.allow_duplicates,
            )
            # a team's own model may have another kind of key; that there is one is what counts
            became[keys[old.slug]] = row.pk if isinstance(row.pk, int) else 0
    run.remember(source, became)


def key_of(slug: str) -> str:
    """A slug as the key of an `Imported` row, which is shorter than slugs may be."""
    return hashlib.sha256(slug.encode()).hexdigest()


def _refusal(old: OldTemplate) -> str:
    if len(old.slug) > MAX_SLUG or not SLUG.match(old.slug):
        return "its slug is none that a template can have"
    for field in TEXTS:
        try:
            engine.check(getattr(old, field, ""))
        except engine.RenderingError as problem:
            return f"a text of it is none that a template can have: {problem}"
    return ""
