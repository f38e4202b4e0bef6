"""A provider with faults, for workers in processes of their own: the address says which.

`lost-<n>-...` takes the message and drops its answer, n times; `down-...` answers 500 for as long
as the file named by `outage` is there. The rest is the dummy's, with shorter times. When it is
closed it makes the file named by `closed`.
"""

import os
from typing import Any

from routing.push.backends import answers
from routing.push.backends.dummy import DummyBackend, leading_number
from routing.push.outcomes import Limits, Outcome, Prepared


class FaultyBackend(DummyBackend):
    name = "faulty"
    limits = Limits(max_payload=4096, max_ttl=3600, concurrency=20, request_seconds=1.0)

    @classmethod
    def check_credentials(cls, credentials: Any) -> list[str]:
        return []

    async def aclose(self) -> None:
        os.close(os.open(self.credentials["closed"], os.O_WRONLY | os.O_CREAT, 0o600))

    async def _hand_over(self, message: Prepared) -> Outcome:
        kind, _, rest = message.address.token.partition("-")
        if kind == "down" and os.access(self.credentials["outage"], os.F_OK):
            outcome = answers.RETRY.outcome("HTTP 500", status=500, retry_after=1.0)
            self._write(message, outcome)
            return outcome
        if kind == "lost" and message.attempt <= leading_number(rest):
            self._write(message, answers.SENT.outcome("taken, and never said so"))
            return Outcome(
                verdict=answers.RETRY.verdict,
                reason="no answer",
                retry_after=1.0,
                may_have_arrived=True,
            )
        return await super()._hand_over(message)


def hub(folder: str) -> dict[str, Any]:
    """The settings that a test and its workers share."""
    credentials = {name: f"{folder}/{name}" for name in ("journal", "outage", "closed")}
    return {
        "BACKENDS": {"faulty": f"{__name__}.FaultyBackend"},
        "APPLICATIONS": {
            "phones": {"backend": "faulty", "default": True, "credentials": credentials},
            "others": {"backend": "faulty", "credentials": credentials},
        },
    }
