"""Apple Push Notification service: iPhones, iPads, Macs and watches, over HTTP/2.

Credentials, by token: `key` (the text of the .p8 file), `key_id`, `team_id` and `topic` (the app's
bundle id). Or by certificate: `certificate` (PEM, with its private key), where the key is encrypted
`passphrase`; its topic is the certificate's own unless `topic` says otherwise. With both, the token
counts. `environment` ("production" or "sandbox") is for devices that name none; without it
production is tried first and then the sandbox. `port` is 443 or 2197. `base_url`,
`sandbox_base_url` and `ca` (PEM) are for peers on this machine.

An address is a device token in hexadecimal, with `environment` in its extra.
`Note.options["apns"]` may hold what `apns_message.OPTIONS` lists; `Note.raw["apns"]` is the
payload itself.

How the connections are kept, and why by a class of ours: docs/apns.md.
"""

import asyncio
import re
import time
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from hpack import HeaderTuple, NeverIndexedHeaderTuple

from routing.push.backends import answers, apns_answers, apns_message
from routing.push.backends.apns_credentials import (
    ENVIRONMENTS,
    Certificate,
    host_of,
    problems,
    tls_context,
)
from routing.push.backends.apns_pool import Pool
from routing.push.backends.apns_token import ProviderToken
from routing.push.backends.apns_wire import Headers, Request, Result
from routing.push.backends.base import PushBackend
from routing.push.outcomes import (
    Address,
    InvalidAddress,
    Limits,
    Note,
    Outcome,
    Prepared,
    Verdict,
)

#: Apple gives no length, and says that it may grow.
TOKEN = re.compile(r"(?:[0-9a-f]{2}){1,100}")
#: How many devices' environments are remembered, of those that name none.
REMEMBERED = 10_000
#: Differs from message to message, and must not push what is common out of the tables of hpack.
NEVER_SAME = {"apns-expiration", "apns-collapse-id", "apns-id"}


@lru_cache(maxsize=1000)
def indexed(name: str, value: str) -> HeaderTuple:
    """A header that the connection's table holds after its first use."""
    return HeaderTuple(name.encode(), value.encode())


FIRST = (indexed(":method", "POST"), indexed(":scheme", "https"))


@dataclass(slots=True, eq=False)
class Sending:
    """One message of a batch, in one environment."""

    message: Prepared
    environment: str
    #: Where BadDeviceToken may mean only that the token is of the other environment.
    other: str = ""
    refused: Outcome | None = None
    request: Request | None = None


class ApnsBackend(PushBackend):
    name = "apns"
    limits = Limits(
        max_payload=apns_message.MAX_PAYLOAD,
        max_ttl=apns_message.MAX_TTL,
        concurrency=500,
        request_seconds=15.0,
    )

    def __init__(self, credentials: Mapping[str, Any]) -> None:
        super().__init__(credentials)
        self._token: ProviderToken | None = None
        self._certificate: Certificate | None = None
        if credentials.get("key"):
            self._token = ProviderToken(
                key=credentials["key"],
                key_id=credentials["key_id"],
                team_id=credentials["team_id"],
            )
        else:
            self._certificate = Certificate.read(
                credentials["certificate"], credentials.get("passphrase")
            )
        own = self._certificate.topic if self._certificate else ""
        self.topic = str(credentials.get("topic") or own)
        self.environment = str(credentials.get("environment") or "")
        self._hosts = {name: host_of(credentials, name) for name in ENVIRONMENTS}
        self._pools: dict[str, Pool] = {}
        self._known: dict[str, str] = {}

    @classmethod
    def check_credentials(cls, credentials: Mapping[str, Any]) -> list[str]:
        return problems(credentials)

    @classmethod
    def expires(cls, credentials: Mapping[str, Any]) -> datetime | None:
        if credentials.get("key") or not credentials.get("certificate"):
            return None
        read = Certificate.read(credentials["certificate"], credentials.get("passphrase"))
        return read.expires

    @classmethod
    def clean_address(cls, token: str, extra: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        # As `NSData` describes itself, which older apps send: "<740f4707 bebcf74f ...>".
        bare = re.sub(r"[<>\s]", "", token).lower()
        if not TOKEN.fullmatch(bare):
            raise InvalidAddress("an APNs token is an even number of hex digits, at most 200")
        if extra.get("environment") not in (None, "", *ENVIRONMENTS):
            raise InvalidAddress("environment must be production or sandbox")
        return bare, dict(extra)

    def check_address(self, address: Address) -> None:
        if address.kind != "device":
            raise InvalidAddress(f"apns sends to devices, not to {address.kind}")
        if not TOKEN.fullmatch(address.token):
            raise InvalidAddress("the token is not hexadecimal")

    def render(self, note: Note, address: Address, *, ref: Any, attempt: int = 1) -> Prepared:
        self.check_address(address)
        message = apns_message.build(note, topic=self.topic, at=int(time.time()))
        return Prepared(
            ref=ref, address=address, headers=message.headers, body=message.body, attempt=attempt
        )

    async def open(self) -> None:
        tls = tls_context(self._certificate, ca=self.credentials.get("ca"))
        for name, (host, port) in self._hosts.items():
            self._pools[name] = Pool(
                host=host,
                port=port,
                tls=tls,
                concurrency=self.limits.concurrency,
                seconds=self.limits.request_seconds,
                is_stale=apns_answers.is_stale,
            )

    async def aclose(self) -> None:
        pools, self._pools = self._pools, {}
        for pool in pools.values():
            await pool.aclose()

    async def send(self, batch: Sequence[Prepared]) -> AsyncGenerator[tuple[Any, Outcome], None]:
        """Requests wait in the pools, not in tasks: a task for each would cost a third more."""
        arrived: deque[tuple[Sending, Result]] = deque()
        news = asyncio.Event()
        waiting: deque[Sending] = deque()
        under_way: set[Sending] = set()
        for message in batch:
            try:
                self.check_address(message.address)
            except InvalidAddress as problem:
                refused = Outcome(verdict=Verdict.REFUSED, reason=str(problem), suspends=True)
                yield message.ref, refused
            else:
                waiting.append(self._sending(message))
        try:
            while waiting or under_way:
                try:
                    authorization = await self._authorization()
                except Exception as error:  # no token, and no store to ask for one
                    while waiting:
                        yield waiting.popleft().message.ref, answers.no_answer(error, sent=False)
                    authorization = ""
                requests: dict[str, list[Request]] = {}
                while waiting and len(under_way) < self.limits.concurrency:
                    sending = waiting.popleft()
                    under_way.add(sending)
                    sending.request = self._request(sending, authorization, arrived, news)
                    requests.setdefault(sending.environment, []).append(sending.request)
                for environment, found in requests.items():
                    self._pools[environment].submit(found)
                if under_way:
                    await news.wait()
                news.clear()
                while arrived:
                    sending, result = arrived.popleft()
                    under_way.discard(sending)
                    outcome = await self._judge(sending, result)
                    if outcome is None:
                        waiting.appendleft(sending)
                    else:
                        yield sending.message.ref, outcome
        finally:
            for sending in under_way:
                self._forget(sending)

    def _forget(self, sending: Sending) -> None:
        pool = self._pools.get(sending.environment)
        if pool is not None and sending.request is not None:
            pool.forget(sending.request)

    def _sending(self, message: Prepared) -> Sending:
        token = message.address.token
        named = message.address.extra.get("environment") or self.environment
        if named:
            return Sending(message, named)
        if token in self._known:
            return Sending(message, self._known[token])
        return Sending(message, "production", other="sandbox")

    def _request(
        self,
        sending: Sending,
        authorization: str,
        arrived: deque[tuple[Sending, Result]],
        news: asyncio.Event,
    ) -> Request:
        def done(result: Result) -> None:
            arrived.append((sending, result))
            news.set()

        message = sending.message
        headers = self._headers(message, authorization, self._hosts[sending.environment][0])
        return Request(headers, message.body, done)

    def _headers(self, message: Prepared, authorization: str, host: str) -> Headers:
        path = b"/3/device/" + message.address.token.encode()
        found = [*FIRST, indexed(":authority", host), NeverIndexedHeaderTuple(b":path", path)]
        if authorization:
            found.append(indexed("authorization", authorization))
        for name, value in message.headers.items():
            if name in NEVER_SAME:
                found.append(NeverIndexedHeaderTuple(name.encode(), value.encode()))
            else:
                found.append(indexed(name, value))
        return found

    async def _authorization(self) -> str:
        return await self._token.header() if self._token is not None else ""

    async def _judge(self, sending: Sending, result: Result) -> Outcome | None:
        """None: it is to be sent once more, in the environment that `sending` now names."""
        if isinstance(result, Outcome):
            return sending.refused or result
        reason = apns_answers.reason_of(result)
        if reason == "BadDeviceToken" and sending.other:
            sending.refused = apns_answers.outcome_of(result, attempt=sending.message.attempt)
            sending.environment, sending.other = sending.other, ""
            return None
        if self._token is not None:
            if reason == "ExpiredProviderToken":
                await self._token.expired()
            elif reason == "TooManyProviderTokenUpdates":
                self._token.hold()
        outcome = apns_answers.outcome_of(result, attempt=sending.message.attempt)
        if sending.refused is not None and outcome.verdict is Verdict.MISCONFIGURED:
            # Keys and certificates may be of one environment only; this was only a try.
            return sending.refused
        if outcome.verdict is Verdict.SENT and not self._is_named(sending):
            self._remember(sending)
        return outcome

    def _is_named(self, sending: Sending) -> bool:
        return bool(sending.message.address.extra.get("environment") or self.environment)

    def _remember(self, sending: Sending) -> None:
        if len(self._known) >= REMEMBERED:
            self._known.pop(next(iter(self._known)))
        self._known[sending.message.address.token] = sending.environment

    async def probe(self) -> str:
        """Sends to a token that nobody has: BadDeviceToken is how Apple says that all else fits."""
        note = Note(silent=True)
        environment = self.environment or "production"
        nobody = Address(token="0" * 64, extra={"environment": environment})
        message = self.render(note, nobody, ref=None)
        async for _, outcome in self.send([message]):
            if outcome.reason in ("BadDeviceToken", "Unregistered"):
                return f"Apple knows the credentials ({environment})"
            raise RuntimeError(f"Apple answered {outcome.reason}")
        raise RuntimeError("no answer")
