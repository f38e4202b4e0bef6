"""What workers do: the domain's duties, and those that the roads add at the start."""

from collections.abc import Callable, Sequence

from notifications import worker
from notifications.worker import Duty

Maker = Callable[[], Sequence[Duty]]

_makers: list[Maker] = []


def add(maker: Maker) -> None:
    """For a road: `maker` makes its duties, anew for each worker."""
    if maker not in _makers:
        _makers.append(maker)


def all_duties() -> list[Duty]:
    return [*worker.duties(), *(duty for maker in _makers for duty in maker())]
