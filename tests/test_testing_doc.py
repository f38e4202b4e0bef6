"""The examples of docs/testing.md are run as they stand there."""

import re
import types
import unittest
from pathlib import Path

import pytest
from django.test import SimpleTestCase

PAGE = Path(__file__).parent.parent / "docs" / "testing.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def module() -> types.ModuleType:
    """All examples of the page, one after the other, as one module; lines are the page's own."""
    text = PAGE.read_text(encoding="utf-8")
    found = types.ModuleType("docs_testing")
    for match in BLOCK.finditer(text):
        lines_before = text.count("\n", 0, match.start(1))
        exec(compile("\n" * lines_before + match[1], PAGE, "exec"), found.__dict__)  # noqa: S102
    return found


def cases() -> list[type[SimpleTestCase]]:
    return [
        value
        for value in vars(module()).values()
        if isinstance(value, type)
        and issubclass(value, SimpleTestCase)
        and value.__module__ == "docs_testing"
    ]


CASES = cases()


def test_there_are_examples() -> None:
    assert len(CASES) >= 5


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_an_example_holds(case: type[SimpleTestCase]) -> None:
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(case).run(result)
    assert result.testsRun
    assert not [*result.errors, *result.failures], "\n".join(
        text for _, text in [*result.errors, *result.failures]
    )
