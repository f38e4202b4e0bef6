"""Holds docs/guarantees.md to its word: the tests that it names exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
LINES = [line for line in PAGE.splitlines() if line.startswith("| ")][1:]
NAMED = re.compile(r"`(tests/[\w/]+\.py)?(?:::(\w+))?`")


@pytest.mark.parametrize("line", LINES, ids=[line[2:50] for line in LINES])
def test_every_guarantee_names_tests_that_exist(line: str) -> None:
    held_by = line.split("|")[2]
    file = ""
    found = NAMED.findall(held_by)
    for path, name in found:
        file = path or file
        text = (ROOT / file).read_text(encoding="utf-8")
        assert re.search(rf"def {name or 'test_'}", text), f"{file}::{name}"
    assert len(found) == held_by.count("`") // 2
    assert found or "comes" in held_by
