"""docs/settings.md describes every setting there is, and no other."""

import dataclasses
import re
from pathlib import Path

import pytest

from notifications.conf import HubSettings
from notifications.event_types import DeclaredType

pytestmark = pytest.mark.embedded  # looks at source files: once is enough

ROOT = Path(__file__).resolve().parent.parent.parent
DOC = (ROOT / "docs/settings.md").read_text()


def described(heading: str) -> set[str]:
    """The names in the first column of the tables below a heading."""
    section = re.search(rf"^## {re.escape(heading)}$(.*?)(?=^## |\Z)", DOC, re.M | re.S)
    assert section, f"docs/settings.md has no section {heading!r}"
    return set(re.findall(r"^\| `(\w+)` \|", section[1], re.M))


def read_by_the_code() -> set[str]:
    """Whatever hub/ asks the environment for."""
    asked = set()
    for path in (ROOT / "hub").rglob("*.py"):
        text = path.read_text()
        asked |= set(re.findall(r'\benv_(?:text|bool|int|list)\(\s*"(\w+)"', text))
    return asked


def test_every_environment_variable() -> None:
    assert described("Environment") == read_by_the_code()


def test_every_key_of_hub() -> None:
    assert described("HUB") == {key for view in HubSettings.views for key in view.keys()}


def test_every_key_of_an_event_type() -> None:
    assert described("EVENT_TYPES") == {field.name for field in dataclasses.fields(DeclaredType)}


def test_the_environment_is_read_in_one_place() -> None:
    readers = [
        str(path.relative_to(ROOT))
        for package in ("hub", "notifications", "routing")
        for path in (ROOT / package).rglob("*.py")
        if re.search(r"\bos\.(environ|getenv)\b", path.read_text())
    ]
    assert readers == ["hub/env.py"]
