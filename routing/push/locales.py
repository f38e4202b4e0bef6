"""What users' devices say of their language: asked where the setting `USER_LANGUAGE` is silent."""

from collections.abc import Collection
from typing import Any

from routing.push.models import Device


def of_users(user_ids: Collection[Any], *, using: str) -> dict[Any, str]:
    """The locale of each user's active device that registered last, of those that name one."""
    rows = Device.objects.using(using).active().filter(user__in=user_ids).exclude(locale="")
    # the later of one user's takes the place of the earlier
    return dict(rows.order_by("registered_at", "pk").values_list("user_id", "locale"))
