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

from benchmarks import table

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
    print(table.text(found))
    print(table.versions(found))
    for name in missing:
        print(f"not taken: {name}")
    if options.small:
        print("small sizes: these are no figures")
        return 1 if missing else 0
    return 0 if table.held(found) and not missing else 1


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


if __name__ == "__main__":
    sys.exit(main())
