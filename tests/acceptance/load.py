"""What a busy afternoon does to inboxes, from a process that serves nobody."""

import random
import time
from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.utils import timezone

from notifications import EVERYONE, inbox, send_notification
from notifications.models import Notification

TYPES = ("post_like", "post_comment", "become_friends_request")
STATES = list(inbox.STATES)


def run(*, seed: int, actions: int, every: float = 0.0) -> None:
    """`actions` sends, broadcasts, marks and deletions at random, the same ones for a seed."""
    chance = random.Random(seed)
    users = list(get_user_model().objects.order_by("pk").values_list("pk", flat=True))
    for number in range(actions):
        one_action(chance, users, number)
        time.sleep(every)


def one_action(chance: random.Random, users: list[Any], number: int) -> None:
    kind = chance.random()
    user = chance.choice(users)
    if kind < 0.5:
        count = chance.choice([1, 1, 1, 2, 5, 9, len(users)])
        soon = timezone.now() + timedelta(seconds=chance.uniform(0.2, 2))
        send_notification(
            chance.choice(TYPES),
            users=chance.sample(users, min(count, len(users))),
            title=f"event {number}",
            data={"number": number},
            expires_at=soon if chance.random() < 0.1 else None,
        )
    elif kind < 0.55:
        send_notification(chance.choice(TYPES), users=EVERYONE, title=f"broadcast {number}")
    elif kind < 0.8:
        inbox.mark(user, state=chance.choice(STATES), ids=some_ids(chance, user))
    elif kind < 0.9:
        inbox.mark(
            user,
            state=chance.choice(STATES),
            up_to=chance.randrange(40),
            type=chance.choice([None, *TYPES]),
        )
    else:
        inbox.delete(user, ids=some_ids(chance, user))


def some_ids(chance: random.Random, user: Any) -> list[int]:
    rows = Notification.objects.filter(user=user).order_by("event_id")
    ids = list(rows.values_list("event_id", flat=True))
    return chance.sample(ids, min(chance.choice([1, 3, 10, 150]), len(ids)))
