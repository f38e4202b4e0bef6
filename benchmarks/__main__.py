"""Takes the figures, prints them as one table and writes RESULTS.md: `make bench`.

    python -m benchmarks [--only "live way"] [--small] [--full]

Each file is a process of its own, so that none finds another's connections, memory or settings.
Ends with status 1 where a figure is below its floor or a benchmark broke. A figure that needs what
this machine has not (a compiler, nginx) is a line that says so, and fails nothing.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

from benchmarks import results, table
from benchmarks.stand import PROGRESS, ROOT, say, since

#: In this order.
FILES = (
    "live",
    "live_many",
    "live_bursts",
    "live_singles",
    "live_memory",
    "live_connects",
    "way",
    "fanout",
    "workers",
    "sends",
    "returning",
    "inbox",
    "inbox_load",
    "deliveries",
    "webpush",
    "apns",
    "growth",
    "sockets",
)
LONGEST = 900.0  # seconds that a benchmark may take; one that hangs is ended
WITH_FULL = frozenset({"growth"})  # these go further with `--full`
LONGEST_FULL = 7200.0


def main() -> int:
    options = asked()
    wanted = options.only.replace(",", " ").split() or list(FILES)
    began = time.monotonic()
    found: dict[str, results.Part] = {}
    broken = []
    for number, name in enumerate(wanted, start=1):
        os.environ[PROGRESS] = f"{began:.0f} {number}/{len(wanted)} {name}"
        say("begins")
        part = taken(name, small=options.small, full=options.full)
        if part is None:
            broken.append(name)
        else:
            found[name] = part
    del os.environ[PROGRESS]
    lines = [line for part in found.values() for line in part.lines]
    print(table.text(lines, judged=not options.small))
    print(table.versions(lines))
    print(f"{since(began)} in all")
    for name in broken:
        print(f"{name} broke: what it said is above")
    if options.small:
        print("small sizes: these are no figures")
        return 1 if broken else 0
    print(results.keep(found, whole=not options.only))
    return 0 if table.held(lines) and not broken else 1


def asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help=f"one or more of {', '.join(FILES)}")
    parser.add_argument("--small", action="store_true", help="to see that it works, not how fast")
    parser.add_argument("--full", action="store_true", help="growth up to ten million rows")
    options = parser.parse_args()
    unknown = [name for name in options.only.replace(",", " ").split() if name not in FILES]
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}: only {', '.join(FILES)}")
    return options


def taken(name: str, *, small: bool, full: bool) -> results.Part | None:
    """What one file reports; None if it broke. Its progress goes to our standard error."""
    command = [sys.executable, "-m", f"benchmarks.{name}", "--json"]
    command += ["--small"] if small else []
    longest = LONGEST
    if full and name in WITH_FULL:
        command.append("--full")
        longest = LONGEST_FULL
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as output:
        status = ended(command, output, longest)
        output.seek(0)
        lines: list[dict[str, Any]] = [json.loads(line) for line in output if line.startswith("{")]
    if status or not lines:
        say(f"broke, with status {status}")
        return None
    return results.Part.now(lines, seconds=time.monotonic() - began)


def ended(command: list[str], output: Any, longest: float) -> int:
    """The status with which the command ended, on its own or because it took too long."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=output)
    try:
        return process.wait(longest)
    except subprocess.TimeoutExpired:
        say(f"takes more than {longest / 60:.0f} minutes, and is ended")
        process.send_signal(signal.SIGINT)  # as Ctrl-C: it ends the servers that it started
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        return 1
    except KeyboardInterrupt:
        process.wait(60)  # the terminal told it, too
        raise


if __name__ == "__main__":
    sys.exit(main())
