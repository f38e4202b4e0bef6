"""Keeps this process in the groups of exactly the users that are connected to it.

Per user one task brings the membership to what is wanted, so that an add and a discard never
overtake each other. Nobody waits for it: what passes before it is done, reconcile finds.
"""

import asyncio
import logging
from collections.abc import Callable

from routing.live.intake import Intake
from routing.live.messages import Key, user_group
from routing.live.reading import Spawn

logger = logging.getLogger(__name__)

LINGER = 30.0  # seconds a membership outlives its user's last socket
CALL_LIMIT = 5.0  # seconds for one call to the layer
AT_ONCE = 64
LONGEST_PAUSE = 5.0  # seconds between two tries
YOUNG = (0.3, 1.0)  # seconds after which a new membership's user is reconciled


class Subscription:
    __slots__ = ("joined", "leaving", "running", "wanted")

    def __init__(self) -> None:
        self.wanted = True
        #: What the group comes in by; None: it does not.
        self.joined: Intake | None = None
        self.running = False
        self.leaving: asyncio.TimerHandle | None = None


class Subscriptions:
    def __init__(self, *, spawn: Spawn, young: Callable[[Key, float], None]) -> None:
        self._spawn = spawn
        self._young = young
        self._intake: Intake | None = None
        self._users: dict[Key, Subscription] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)

    def use(self, intake: Intake | None) -> None:
        """Another one takes the old one's place (None: there is none now) in all groups."""
        self._intake = intake
        for key, subscription in list(self._users.items()):
            subscription.joined = None
            self._bring(key, subscription)

    def want(self, key: Key) -> None:
        subscription = self._users.get(key)
        if subscription is None:
            subscription = self._users[key] = Subscription()
        subscription.wanted = True
        if subscription.leaving is not None:
            subscription.leaving.cancel()
            subscription.leaving = None
        self._bring(key, subscription)

    def unwant(self, key: Key) -> None:
        subscription = self._users.get(key)
        if subscription is not None and subscription.leaving is None:
            loop = asyncio.get_running_loop()
            subscription.leaving = loop.call_later(LINGER, self._let_go, key, subscription)

    @property
    def count(self) -> int:
        """Of how many users' groups this process is a member, or about to be."""
        return len(self._users)

    def is_joined(self, key: Key) -> bool:
        subscription = self._users.get(key)
        return subscription is not None and subscription.joined is not None

    def stop(self) -> None:
        for subscription in self._users.values():
            if subscription.leaving is not None:
                subscription.leaving.cancel()

    def _let_go(self, key: Key, subscription: Subscription) -> None:
        subscription.leaving = None
        subscription.wanted = False
        self._bring(key, subscription)

    def _target(self, subscription: Subscription) -> Intake | None:
        return self._intake if subscription.wanted else None

    def _bring(self, key: Key, subscription: Subscription) -> None:
        if subscription.running:
            return
        if subscription.joined != self._target(subscription):
            subscription.running = True
            self._spawn(self._work(key, subscription))
        elif not subscription.wanted:
            self._users.pop(key, None)

    async def _work(self, key: Key, subscription: Subscription) -> None:
        pause = 0.1
        group = user_group(key)
        try:
            while (target := self._target(subscription)) != subscription.joined:
                old = subscription.joined
                try:
                    async with self._slots, asyncio.timeout(CALL_LIMIT):
                        if target is not None:
                            await target.add(group)
                        elif old is not None:
                            await old.discard(group)
                except Exception as error:
                    logger.info("subscription user=%s failed error=%r", key, error)
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, LONGEST_PAUSE)
                    continue
                # while the call was under way the intake may have been replaced
                if target in (None, self._intake):
                    subscription.joined = target
                    for delay in YOUNG if target else ():
                        self._young(key, delay)
        finally:
            subscription.running = False
        if not subscription.wanted and self._users.get(key) is subscription:
            del self._users[key]
