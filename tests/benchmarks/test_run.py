"""`python -m benchmarks`, on a real PostgreSQL with small sizes."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import clean_environment

pytestmark = pytest.mark.production

ROOT = Path(__file__).resolve().parent.parent.parent


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def test_a_small_run_shows_its_progress_and_a_line_for_each_figure() -> None:
    kept = {path: path.read_bytes() for path in (ROOT / "benchmarks").glob("*.*")}
    done = run("--small", "--only", "returning")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^\[1/1 returning, \d:\d\d\] making 1,000 users$", done.stderr, re.M)
    head, *lines = done.stdout.splitlines()
    assert head.split()[:4] == ["figure", "peer", "ours", "peer's"]
    figures = [re.split(r"  +", line)[:2] for line in lines[:4]]
    assert figures == [
        ["rows written by a broadcast to 1,000 users", "at most"],
        ["take-in when one of 1,000 returns, p50", "at most"],
        ["resume of 100 missed changes, p99", "at most"],
        ["resume of 100 missed changes", "at most"],
    ]
    assert "PostgreSQL" in lines[4]
    assert lines[-1] == "small sizes: these are no figures"
    assert {path: path.read_bytes() for path in (ROOT / "benchmarks").glob("*.*")} == kept


def test_only_what_there_is_can_be_asked_for() -> None:
    done = run("--only", "live faster")
    assert done.returncode == 2
    assert "there is no faster: only live," in done.stderr
