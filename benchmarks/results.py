"""Keeps what was taken: `results.json` as it was reported, and from it RESULTS.md and the plots.

A whole run replaces everything. A run of some (`ONLY=`) replaces their parts where the rest was
taken on the same machine, and leaves the files alone elsewhere. Small sizes are never kept.
"""

import ast
import contextlib
import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import plots, table

FOLDER = Path(__file__).resolve().parent

HEAD = """\
# Results

`make bench` writes this page, and the plots beside it, from what `results.json` keeps.
[README.md](README.md) says what counts: ratios to a peer in the same run, not absolute figures.
"""


@dataclass(frozen=True)
class Part:
    """What one file reported: figures, lines that say why there is none, and curves."""

    lines: list[dict[str, Any]]
    at: str  # when it ended, UTC
    seconds: int
    commit: str

    @classmethod
    def now(cls, lines: list[dict[str, Any]], *, seconds: float) -> "Part":
        at = f"{datetime.now(UTC):%Y-%m-%d %H:%M}"
        return cls(lines, at, round(seconds), commit())


def keep(parts: dict[str, Part], *, whole: bool, folder: Path = FOLDER) -> str:
    """Writes what was taken into `folder`; says what became of it."""
    here, kept = machine(), folder / "results.json"
    if not whole and kept.exists():
        known = json.loads(kept.read_text())
        if known["machine"] != here:
            return "RESULTS.md is left alone: its figures are another machine's"
        earlier = {name: Part(**part) for name, part in known["parts"].items()}
        parts = earlier | parts
    texts = {name: asdict(part) for name, part in parts.items()}
    kept.write_text(json.dumps({"machine": here, "parts": texts}, indent=1) + "\n")
    write(parts, here, folder)
    return f"written: {folder / 'RESULTS.md'}"


def write(parts: dict[str, Part], here: str, folder: Path) -> None:
    """RESULTS.md and its plots."""
    lines = [line for part in parts.values() for line in part.lines]
    drawn = plots.draw(lines, folder / "plots")
    sections = [
        HEAD,
        f"Machine: {here}.\n\nVersions: {table.versions(lines)}.\n",
        markdown(parts),
        *(f"![{one.words}](plots/{one.name}.svg)\n" for one in drawn),
        "## How each was taken\n",
        *(how(name, part) for name, part in parts.items()),
    ]
    (folder / "RESULTS.md").write_text("\n".join(sections))


def markdown(parts: dict[str, Part]) -> str:
    head = ("", *table.HEAD[:-1], "verdict")
    rules = ["--:" if column - 1 in table.NUMBERS else "---" for column in range(len(head))]
    rows: list[Sequence[str]] = [head, rules]
    for name, part in parts.items():
        rows += [(f"[{name}](#{name})", *row) for row in table.rows(part.lines)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def how(name: str, part: Part) -> str:
    """What the file says of itself, without the command, and when it was run."""
    said = ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text())) or ""
    paragraphs = [one for one in said.split("\n\n") if not one.startswith("    ")]
    at = f"Taken {part.at} UTC at {part.commit}, in {part.seconds:,} s."
    return "\n\n".join([f"### {name}", *paragraphs, at]) + "\n"


def machine() -> str:
    """What the figures depend on, and nothing that names the machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{cores} cores of {processor()}, {memory:.0f} GB of memory,"
        f" {platform.system()} {platform.release()}, {platform.machine()}"
    )


def processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "an unnamed processor"


def commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    with contextlib.suppress(OSError):
        done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout.strip()
    return "an unknown commit"
