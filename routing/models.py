"""The roads' tables, where Django looks for them; each stands beside the code that keeps it.

Neither road imports this file: it knows both.
"""

from routing.live.models import Ticket
from routing.presence import Presence
from routing.push import models as push_models
from routing.push.provider_tokens import ProviderToken

__all__ = ["Presence", "ProviderToken", "Ticket", "push_models"]
