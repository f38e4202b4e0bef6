"""Holds docs/features.md to its word: every line is there, and whatever it names exists."""

import ast
import re
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import get_commands, load_command_class
from django.urls import Resolver404, resolve

from notifications.conf import HubSettings
from tests.security.operations import operations

pytestmark = pytest.mark.embedded  # looks at source files: once is enough

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "features.md").read_text(encoding="utf-8")
#: How many lines each of the five lists has.
LINES = {"A": 60, "B": 28, "C": 15, "D": 25, "E": 22}
#: How many faults each had.
FAULTS = {"A": 14, "B": 6, "C": 6, "D": 8, "E": 10}

ROW = re.compile(r"^\| ([A-E]\.?\d+[a-z]?) \| (.+?) \| (.+?) \| (.+) \|$", re.MULTILINE)
NAMED = re.compile(r"`([^`]+)`")
METHODS = ("GET ", "POST ", "PATCH ", "DELETE ")

ROWS = {number: (there, here, test) for number, there, here, test in ROW.findall(PAGE)}


def test_every_line_of_every_list_is_there_once() -> None:
    numbers = [number for number, *_ in ROW.findall(PAGE)]
    assert len(numbers) == len(set(numbers))
    wanted = {f"{list_}{n}" for list_, count in LINES.items() for n in range(1, count + 1)}
    assert {number for number in numbers if "." not in number} == wanted
    faults = {number.rstrip("abc") for number in numbers if "." in number}
    assert faults == {f"{one}.{n}" for one, count in FAULTS.items() for n in range(1, count + 1)}
    assert len(numbers) == len(re.findall(r"^\| [A-E]", PAGE, re.MULTILINE)), "a row is malformed"


@pytest.mark.parametrize("number", ROWS)
def test_what_a_row_names_exists(number: str) -> None:
    here = ROWS[number][1]
    named = NAMED.findall(here)
    assert named or "gone" in here or "." in number, "it says where"
    for name in named:
        assert exists(name), name


@pytest.mark.parametrize("number", ROWS)
def test_the_tests_that_a_row_names_exist(number: str) -> None:
    tests = NAMED.findall(ROWS[number][2])
    assert tests
    for name in tests:
        path, _, title = name.partition("::")
        if path.endswith(".js"):
            assert title in script(path), name
        else:
            assert title in names_in(path) or (not title and names_in(path)), name


def exists(name: str) -> bool:
    """Whether there is such a file, command, operation, address, setting or Python name."""
    if name.startswith("manage.py "):
        return is_command(name.removeprefix("manage.py "))
    if name.startswith(METHODS):
        method, path = name.split(" ")
        return (method, path) in operation_paths()
    if name.startswith("/ws/"):
        return name in (ROOT / "routing/live/asgi.py").read_text()
    if name.startswith("/"):
        return is_address(name)
    if name in ("HUB", "EVENT_TYPES", "AUTH_USER_MODEL", "DEBUG"):
        return hasattr(settings, name)
    if re.fullmatch(r"[A-Z_]{4,}", name):
        return any(name in view.keys() for view in HubSettings.views)
    if name.endswith((".js", ".md")):
        return (ROOT / name).is_file()
    return is_python(name)


def is_command(line: str) -> bool:
    name, *options = line.split()
    app = get_commands().get(name)
    if not isinstance(app, str):
        return False
    parser = load_command_class(app, name).create_parser("manage.py", name)
    return set(options) <= set(parser._option_string_actions)


@cache
def operation_paths() -> set[tuple[str, str]]:
    return {(one.method, re.sub(r"{\w+}", "{id}", one.template)) for one in operations()}


def is_address(path: str) -> bool:
    try:
        resolve(path, urlconf="hub.urls")
    except Resolver404:
        return False
    return True


def is_python(name: str) -> bool:
    """A module, or what is in it, also fields of models."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        path = ".".join(parts[:end])
        try:
            if find_spec(path) is None:
                continue
        except ModuleNotFoundError:
            continue
        found: Any = import_module(path)
        for part in parts[end:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


@cache
def names_in(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / "tests" / path).read_text(encoding="utf-8"))
    found = set()
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{inner}" for inner in functions(node.body)}
    return frozenset(found | functions(tree.body))


def functions(body: list[ast.stmt]) -> set[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {one.name for one in body if isinstance(one, kinds) and one.name.startswith("test_")}


@cache
def script(path: str) -> str:
    return (ROOT / "clients" / "js" / "test" / path).read_text(encoding="utf-8")


def test_it_would_notice() -> None:
    names = [
        "manage.py no_such", "manage.py prune --no-such", "POST /api/no-such/", "/no-such/",
        "NO_SUCH", "docs/no-such.md", "routing.no_such", "routing.push.models.Device.no_such",
        "notifications.no_such",
    ]  # fmt: skip
    assert not any(exists(name) for name in names)
    assert exists("manage.py prune") and exists("notifications.models.Event.tag")
