"""What other apps have for tests, without an import of them: they say where it is.

A road's module has `__all__`, the names that `notifications.testing` offers, and may have

- `work()`: does all that is due on the road, and returns when nothing more is;
- `moved(delta)`: brings along what `move_on` cannot know of.
"""

from datetime import timedelta
from importlib import import_module
from types import ModuleType

from django.apps import apps

_names: list[str] = []


def add(module: str) -> None:
    """For an app's `ready()`: names its module, which nobody imports before a test does."""
    if module not in _names:
        _names.append(module)


def all_roads() -> list[ModuleType]:
    return [import_module(name) for name in _names]


def offering(name: str) -> ModuleType | None:
    """The road whose module offers this name."""
    return next((road for road in all_roads() if name in road.__all__), None)


def packages() -> set[str]:
    """The top packages of the domain and of the roads."""
    return {name.partition(".")[0] for name in (__name__, *_names)}


def labels() -> list[str]:
    """The labels of the apps that the roads belong to."""
    found = [apps.get_containing_app_config(name) for name in _names]
    return [config.label for config in found if config is not None]


def work() -> None:
    for road in all_roads():
        if hasattr(road, "work"):
            road.work()


def moved(delta: timedelta) -> None:
    for road in all_roads():
        if hasattr(road, "moved"):
            road.moved(delta)
