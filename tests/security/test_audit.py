"""The gate tells vulnerable packages from ones that could not be asked about."""

import importlib.util
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.embedded  # touches no database: once is enough

SCRIPT = Path(__file__).resolve().parent.parent.parent / ".ci" / "audit.py"

GOOD = {"name": "Django", "version": "5.2", "vulns": []}
BAD = {"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["9"]}


@pytest.fixture
def audit(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script, whose question is answered by `audit.answer`."""
    spec = importlib.util.spec_from_file_location("audit", SCRIPT)
    assert spec is not None and spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.answer = []
    monkeypatch.setattr(module, "asked", lambda: module.answer)
    return module


def test_a_clean_answer_passes(audit: Any, capsys: Any) -> None:
    audit.answer = [GOOD]
    assert audit.main() == 0
    assert "1 packages audited" in capsys.readouterr().out


def test_a_package_that_the_hub_runs_on_fails_the_gate(audit: Any, capsys: Any) -> None:
    audit.answer = [GOOD, {"name": "Asgiref", "version": "1", "vulns": [BAD]}]
    assert audit.main() == 1
    assert "Asgiref 1 (the hub runs on it): PYSEC-1, mended in 9" in capsys.readouterr().out


def test_one_for_tests_only_is_told(audit: Any, capsys: Any) -> None:
    audit.answer = [GOOD, {"name": "pytest", "version": "1", "vulns": [BAD]}]
    assert audit.main() == 0
    assert "pytest 1 (for tests and checks only)" in capsys.readouterr().out


def test_what_was_accepted_passes(audit: Any) -> None:
    audit.answer = [GOOD, {"name": "asgiref", "version": "1", "vulns": [BAD]}]
    audit.ACCEPTED["CVE-1"] = "not our use"
    assert audit.main() == 0


def test_a_service_that_knows_nothing_is_no_clean_answer(audit: Any, capsys: Any) -> None:
    audit.answer = [{"name": "django", "skip_reason": "Dependency not found"}]
    assert audit.main() == 0
    assert "nothing was audited" in capsys.readouterr().out


def test_nobody_who_answers(audit: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def away() -> Any:
        raise audit.NobodyAnswers("no route")

    monkeypatch.setattr(audit, "asked", away)
    assert audit.main() == 0
    assert capsys.readouterr().out == "nothing was audited: no route\n"


def test_it_never_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("audit", SCRIPT)
    assert spec is not None and spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def hangs(*_: Any, timeout: float, **__: Any) -> Any:
        raise subprocess.TimeoutExpired("pip_audit", timeout)

    monkeypatch.setattr(module.subprocess, "run", hangs)
    with pytest.raises(module.NobodyAnswers, match="no answer within"):
        module.asked()
