"""Takes the figures and prints them as one table: `make bench`, `make bench ONLY=live`.

Each file is a process of its own, so that none finds another's connections, memory or settings.
Ends with status 1 where a figure is below its floor.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent

#: In this order; what is not in it has a table of its own: run the file.
FILES = (
    *("live", "way", "fanout", "sends", "returning", "inbox", "deliveries", "webpush", "apns"),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help=f"one or more of {', '.join(FILES)}")
    parser.add_argument("--small", action="store_true", help="to see that it works, not how fast")
    options = parser.parse_args()
    wanted = options.only.replace(",", " ").split() or list(FILES)
    unknown = [name for name in wanted if name not in FILES]
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}: only {', '.join(FILES)}")
    found: list[dict[str, Any]] = []
    missing = []
    for name in wanted:
        print(f"{name} ...", file=sys.stderr, flush=True)
        figures = taken(name, small=options.small)
        found += figures
        if not figures:
            missing.append(name)
    print(table(found))
    print(versions(found))
    for name in missing:
        print(f"not taken: {name}")
    held = all(figure["ratio"] >= figure["floor"] for figure in found if figure["floor"])
    if options.small:
        print("small sizes: these are no figures")
        return 1 if missing else 0
    return 0 if held and not missing else 1


def taken(name: str, *, small: bool) -> list[dict[str, Any]]:
    """The figures of one file; its progress goes to our standard error."""
    command = [sys.executable, "-m", f"benchmarks.{name}", "--json"]
    done = subprocess.run(
        [*command, "--small"] if small else command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        print(f"{name} ended with status {done.returncode}", file=sys.stderr)
        return []
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def table(figures: list[dict[str, Any]]) -> str:
    head = ("figure", "peer", "ours", "peer's", "unit", "ratio", "floor", "")
    rows = [head]
    for one in figures:
        floor = one["floor"]
        verdict = "" if not floor else "held" if one["ratio"] >= floor else "NOT HELD"
        rows.append(
            (
                one["figure"],
                one["peer_name"],
                f"{one['ours']:,.0f}",
                f"{one['peer']:,.0f}",
                one["unit"],
                f"{one['ratio']:.2f}",
                f"{floor:g}" if floor else "",
                verdict,
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    numbers = {2, 3, 5, 6}
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if column in numbers else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def versions(figures: list[dict[str, Any]]) -> str:
    found: dict[str, str] = {}
    for one in figures:
        found |= one["versions"]
    return ", ".join(f"{name} {version}" for name, version in sorted(found.items()))


if __name__ == "__main__":
    sys.exit(main())
