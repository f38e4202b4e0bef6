"""Asks whether packages that the hub runs on have known vulnerabilities, where a network lets it.

    .venv/bin/python .ci/audit.py

Ends with status 1 for such a package. One that only tests and checks need is told and does not
count. Where nobody answers a line says that nothing was audited, and the status is 0.
"""

import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 180  # seconds for everything
ANSWER = 10  # seconds for one answer

#: Vulnerabilities that do not concern us: id → why.
ACCEPTED: dict[str, str] = {}


def main() -> int:
    try:
        found = asked()
    except NobodyAnswers as reason:
        print(f"nothing was audited: {reason}")
        return 0
    ours = run_on()
    audited = {normal(it["name"]) for it in found if "vulns" in it}
    if not audited & ours:
        print("nothing was audited: the service here knows none of our packages")
        return 0
    failed = False
    for package in found:
        for problem in package.get("vulns", []):
            ids = [problem["id"], *problem.get("aliases", [])]
            if any(one in ACCEPTED for one in ids):
                continue
            counts = normal(package["name"]) in ours
            failed = failed or counts
            mended = ", ".join(problem["fix_versions"]) or "no version yet"
            use = "the hub runs on it" if counts else "for tests and checks only"
            print(f"{package['name']} {package['version']} ({use}): {ids[0]}, mended in {mended}")
    missed = sorted(ours - audited)
    print(f"{len(audited & ours)} packages audited that the hub runs on")
    if missed:
        print(f"not audited: {', '.join(missed)}")
    return int(failed)


class NobodyAnswers(Exception):
    """The service cannot be asked from here."""


def asked() -> list[dict[str, Any]]:
    options = ["--progress-spinner", "off", "--timeout", str(ANSWER), "--format", "json"]
    command = [sys.executable, "-m", "pip_audit", *options]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        raise NobodyAnswers(f"no answer within {LIMIT} s") from None
    try:
        found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise NobodyAnswers(lines[-1][:300]) from None
    return found


def run_on() -> set[str]:
    """The packages that requirements.txt brings, also those that these need in turn."""
    text = (ROOT / "requirements.txt").read_text()
    waiting = [Requirement(line) for line in text.splitlines() if line and line[0] not in "#-"]
    found: set[str] = set()
    seen: set[str] = set()
    while waiting:
        wanted = waiting.pop()
        if str(wanted) in seen or (wanted.marker and not needed(wanted)):
            continue
        seen.add(str(wanted))
        try:
            requires = metadata.requires(wanted.name) or []
        except metadata.PackageNotFoundError:
            continue  # of another platform
        found.add(normal(wanted.name))
        for line in requires:
            inner = Requirement(line)
            if inner.marker is None or needed(inner, wanted.extras):
                inner.marker = None
                waiting.append(inner)
    return found


def needed(requirement: Requirement, extras: set[str] | frozenset[str] = frozenset()) -> bool:
    assert requirement.marker is not None  # noqa: S101
    return any(requirement.marker.evaluate({"extra": extra}) for extra in (*extras, ""))


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    sys.exit(main())
