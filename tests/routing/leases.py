"""Whose lease runs."""

from collections.abc import Iterable
from typing import Any

from django.utils import timezone

from routing.presence import Presence


def looking(user_ids: Iterable[Any]) -> set[Any]:
    """Those of these users who have a live client now."""
    rows = Presence.objects.filter(user__in=list(user_ids), until__gt=timezone.now())
    return set(rows.values_list("user_id", flat=True))
