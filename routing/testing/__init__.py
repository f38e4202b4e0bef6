"""What the roads have for a team's tests; `notifications.testing` offers it."""

from routing.testing.live import LiveSocket, SocketClosed
from routing.testing.push import Pushed, PushProvider, moved, retry_after, work
from routing.testing.watching import looks

__all__ = ["LiveSocket", "PushProvider", "Pushed", "SocketClosed", "looks", "retry_after"]

# For `notifications.testing.roads`.
_ = (moved, work)
