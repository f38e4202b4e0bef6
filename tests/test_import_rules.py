"""The import rules of pyproject.toml hold, and each of them would notice who breaks it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("hub", "notifications", "routing")

pytestmark = pytest.mark.embedded  # looks at source files: once is enough

BREACHES = [
    ("domain", "notifications/_breach.py", "import routing.live"),
    ("domain", "notifications/_breach.py", "from hub import settings"),
    ("domain", "notifications/_breach.py", "from channels.layers import get_channel_layer"),
    ("domain", "notifications/_breach.py", "def late():\n    import redis"),
    ("domain", "notifications/_breach.py", "import pywebpush"),
    ("roads", "routing/live/_breach.py", "from routing import push"),
    ("roads", "routing/push/_breach.py", "from routing.live import _breach"),
    ("project", "routing/_breach.py", "import hub.settings"),
    ("doors", "routing/_breach.py", "from notifications import _private"),
    ("doors", "routing/live/_breach.py", "import notifications._private"),
    ("vendors", "routing/push/_breach.py", "def late():\n    import aioapns"),
    ("vendors", "hub/_breach.py", "import pywebpush"),
]


def broken_contracts(folder: Path, *contracts: str) -> tuple[bool, str]:
    """Whether any of the contracts is broken in the packages under `folder`, and what was said."""
    arguments = [part for contract in contracts for part in ("--contract", contract)]
    lint = "from importlinter.cli import lint_imports_command as main; main()"
    done = subprocess.run(
        [sys.executable, "-c", lint, "--no-cache", "--no-logo", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert "BROKEN" in said or "KEPT" in said, said
    return done.returncode != 0, said


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages and their rules, where a breach does no harm."""
    folder = tmp_path_factory.mktemp("rules")
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "notifications" / "_private.py").touch()
    for road in ("live", "push"):
        (folder / "routing" / road / "_breach.py").touch()
    return folder


def test_the_import_rules_hold() -> None:
    broken, said = broken_contracts(ROOT)
    assert not broken, said


@pytest.mark.parametrize(("contract", "path", "code"), BREACHES)
def test_a_breach_is_noticed(copy: Path, contract: str, path: str, code: str) -> None:
    module = copy / path
    module.write_text(code + "\n")
    try:
        broken, said = broken_contracts(copy, contract)
    finally:
        module.write_text("")
    assert broken, said


@pytest.mark.parametrize(
    ("contract", "path", "code"),
    [
        ("doors", "routing/_fine.py", "from notifications import models, signals"),
        ("vendors", "routing/push/backends/_fine.py", "def late():\n    import pywebpush"),
    ],
)
def test_what_is_allowed_is_not_noticed(copy: Path, contract: str, path: str, code: str) -> None:
    module = copy / path
    module.parent.mkdir(exist_ok=True)
    (module.parent / "__init__.py").touch()
    module.write_text(code + "\n")
    broken, said = broken_contracts(copy, contract)
    assert not broken, said
