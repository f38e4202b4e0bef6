"""docs/dependencies.md gives a reason for every package that we require, and for no other."""

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.embedded  # looks at source files: once is enough

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize(
    ("heading", "file"),
    [("To run", "requirements.txt"), ("To build, test and check", "requirements-dev.txt")],
)
def test_every_requirement_has_its_reason(heading: str, file: str) -> None:
    doc = (ROOT / "docs/dependencies.md").read_text()
    section = doc.split(f"## {heading}\n")[1].split("\n## ")[0]
    described = re.findall(r"^\| `([\w-]+)` \|", section, re.M)
    required = re.findall(r"^([\w-]+)", (ROOT / file).read_text(), re.M)
    assert sorted(described) == sorted(name for name in required if not name.startswith("-"))


def test_the_files_that_we_ship_are_of_the_version_that_is_told() -> None:
    folder = ROOT / "hub/static/hub/vendor/uplot"
    doc = (ROOT / "docs/dependencies.md").read_text()
    version = re.search(r"vendor/uplot/`.*?\| ([\d.]+) \|", doc)
    assert version
    assert f"(v{version[1]})" in (folder / "uPlot.iife.min.js").read_text()[:80]
    assert "MIT License" in (folder / "LICENSE").read_text()
