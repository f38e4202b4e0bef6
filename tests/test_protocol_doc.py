"""Holds docs/protocol.md and the golden examples together: the page shows exactly the files."""

import json
import re
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "golden"
PAGE = (Path(__file__).parent.parent / "docs" / "protocol.md").read_text(encoding="utf-8")
EXAMPLE = re.compile(r"^<!-- golden: (\S+) -->\n```json\n(.*?)\n```$", re.MULTILINE | re.DOTALL)
EXAMPLES = EXAMPLE.findall(PAGE)
FILES = sorted(path.name for path in GOLDEN.glob("*.json"))


def test_there_are_golden_examples() -> None:
    assert FILES


@pytest.mark.parametrize("name", FILES)
def test_every_golden_file_is_shown(name: str) -> None:
    assert name in {shown for shown, _ in EXAMPLES}


@pytest.mark.parametrize(("name", "text"), EXAMPLES, ids=[name for name, _ in EXAMPLES])
def test_an_example_is_its_golden_file(name: str, text: str) -> None:
    path = GOLDEN / name
    assert path.is_file(), f"docs/protocol.md names {name}, which is not in tests/golden"
    assert json.loads(text) == json.loads(path.read_text(encoding="utf-8"))


def test_every_marker_stands_directly_before_an_example() -> None:
    assert PAGE.count("<!-- golden:") == len(EXAMPLES)


def test_every_json_block_has_a_marker() -> None:
    assert PAGE.count("```json") == len(EXAMPLES)
