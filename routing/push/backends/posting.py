"""What backends share that post to one provider's API: the session, access tokens, no answers."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar

import aiohttp
from yarl import URL

from routing.push.backends import answers, guard
from routing.push.backends.answers import Answer
from routing.push.backends.base import PushBackend
from routing.push.backends.lanes import Lanes
from routing.push.outcomes import InvalidAddress, Outcome, Prepared, Verdict

#: A token is renewed so long before its end: a request that begins with it must arrive with it.
RENEW_SECONDS = 300.0
#: How long a message waits for a token; the rest of its time is for itself.
TOKEN_SECONDS = 10.0


class Unanswered(Exception):
    """There was no answer to judge; the outcome says what follows."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome


class AccessToken:
    """A bearer token, fetched by one caller at a time and used until shortly before its end."""

    def __init__(self, fetch: Callable[[], Awaitable[tuple[str, float]]]) -> None:
        """`fetch` gives the token and the seconds it lives, or raises `Unanswered`."""
        self._fetch = fetch
        self._token, self._until = "", 0.0
        self._lock = asyncio.Lock()

    async def get(self, *, refused: str = "") -> str:
        """The token; another one where the provider has just refused this.

        Raises `Unanswered`, also when it takes longer than `TOKEN_SECONDS`: those that wait for
        the same one give up together.
        """
        if self._is_good(refused):
            return self._token
        try:
            async with asyncio.timeout(TOKEN_SECONDS), self._lock:
                if not self._is_good(refused):  # another caller may have fetched it meanwhile
                    token, seconds = await self._fetch()
                    self._token = token
                    self._until = time.monotonic() + max(seconds - RENEW_SECONDS, seconds / 2)
        except TimeoutError as error:
            raise Unanswered(answers.no_answer(error, sent=False)) from None
        return self._token

    def _is_good(self, refused: str) -> bool:
        return self._token not in ("", refused) and time.monotonic() < self._until


class PostingBackend(PushBackend):
    """One request per message over pooled connections; `deliver` is what differs."""

    #: Requests to one host at once.
    per_origin: ClassVar[int] = 50
    #: How many bytes of an answer are read.
    max_answer: ClassVar[int] = guard.MAX_ANSWER

    async def open(self) -> None:
        total = self.limits.concurrency
        self._lanes = Lanes(total=total, per_origin=self.per_origin)
        self._session = guard.session(
            guard.connector(limit=total, limit_per_host=self.per_origin),
            total=self.limits.request_seconds,
        )

    async def aclose(self) -> None:
        await self._session.close()

    def send(self, batch: Sequence[Prepared]) -> AsyncGenerator[tuple[Any, Outcome], None]:
        return self._lanes.send(batch, self._deliver, lambda message: self.origin(message.address))

    async def _deliver(self, message: Prepared) -> Outcome:
        """Within the time of one request, however many it takes: one for an access token, and both
        again where the provider refuses it."""
        try:
            self.check_address(message.address)
            async with asyncio.timeout(self.limits.request_seconds):
                return await self.deliver(message)
        except InvalidAddress as problem:
            return Outcome(verdict=Verdict.REFUSED, reason=str(problem), suspends=True)
        except Unanswered as reason:
            return reason.outcome
        except TimeoutError as error:
            return answers.no_answer(error, sent=True)

    async def deliver(self, message: Prepared) -> Outcome:
        """The outcome of one message; may raise `Unanswered`."""
        raise NotImplementedError

    async def ask(
        self, url: str, *, headers: Mapping[str, str], body: bytes, method: str = "POST"
    ) -> Answer:
        """Raises `Unanswered` where no answer came."""
        try:
            async with self._session.request(
                method,
                URL(url, encoded=True),  # as it is: another spelling may be another URL
                headers=headers,
                data=body,
                allow_redirects=False,
            ) as response:
                said = await guard.read_answer(response, self.max_answer)
                return Answer(response.status, response.headers, said)
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, guard.Forbidden):
                raise Unanswered(
                    Outcome(verdict=Verdict.REFUSED, reason="not a public address", suspends=True)
                ) from None
            raise Unanswered(answers.no_answer(error, sent=False)) from None
        except aiohttp.ConnectionTimeoutError as error:
            raise Unanswered(answers.no_answer(error, sent=False)) from None
        except (aiohttp.ClientError, OSError) as error:
            raise Unanswered(answers.no_answer(error, sent=True)) from None


def service_url(given: str | None, pinned: str) -> str:
    """The provider's own URL; another one only for a peer on this machine.

    Raises `InvalidAddress`: credentials are typed in by people, and a URL among them must not lead
    requests, with their tokens, anywhere else.
    """
    if not given or given.rstrip("/") == pinned:
        return pinned
    guard.check_url(given, hosts=())  # loopback, and only with PUSH_LOCAL_PEERS
    return given.rstrip("/")
