"""Starts a program that dies with us: one that is killed leaves no servers behind.

`Popen(preexec_fn=...)` is not safe beside threads, so a small Python process makes the arrangements
and then becomes the program, under the same pid.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# argv: the signal to die of (0: none), our pid, user and group id (-1: stay), the program and its
# arguments. The user changes first, because changing it forgets the arrangement, which only Linux
# has: 1 is PR_SET_PDEATHSIG.
BECOME = """
import ctypes, os, signal, sys
death, parent, user, group = map(int, sys.argv[1:5])
if user >= 0:
    os.setgroups([]), os.setgid(group), os.setuid(user)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
    signal.signal(number, signal.SIG_DFL)
if death and sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, death)
    if os.getppid() != parent:
        sys.exit(1)
os.execv(sys.argv[5], sys.argv[5:])
"""


@dataclass(frozen=True)
class Account:
    user: int = -1
    group: int = -1


OURS = Account()


def start(
    command: Sequence[str | Path],
    *,
    log: Path,
    cwd: Path,
    env: Mapping[str, str],
    death: signal.Signals = signal.SIGTERM,
    account: Account = OURS,
) -> subprocess.Popen[bytes]:
    """`command` in a session of its own, where no Ctrl-C reaches it; its output in `log`."""
    # The kernel watches the thread that starts the program, so only the main one may be relied on.
    watched = threading.current_thread() is threading.main_thread()
    arrangements = [death if watched else 0, os.getpid(), account.user, account.group]
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", BECOME]
            + [str(int(number)) for number in arrangements]
            + [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=dict(env),
            start_new_session=True,
        )
