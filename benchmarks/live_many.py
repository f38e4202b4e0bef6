"""The live road at 5,000 sockets: as `live.py`, and none may be left out.

    python -m benchmarks.live_many [--sockets 5000] [--alone 2] [--json]

The consumer per socket may lose messages here: then it is counted what it delivered, and said.
"""

import sys

from benchmarks import live, live_peers

FLOORS: dict[str, tuple[float | None, float | None]] = {
    live.DAPHNE: (30.0, None),
    live_peers.NCHAN: (0.5, 0.8),
}

if __name__ == "__main__":
    sys.exit(live.main(__doc__, sockets=5000, alone=2, floors=FLOORS))
