"""Web Push: sends to browsers through their makers' push services (RFC 8030, 8188, 8291, 8292).

Credentials: `private_key` (a VAPID key as `manage.py generate_vapid_keys` prints it), `subject`
(mailto: or https:, how the push services reach you), and where keys were changed
`previous_private_keys`, a list: devices that subscribed under one of these are still sent to.

An address is the endpoint; its extra holds `p256dh`, `auth` and `vapid`, the id of the key that the
browser subscribed under. `Note.options["webpush"]` may hold `urgency` (also "very-low") and
`topic`; `Note.raw["webpush"]` is the payload itself: text, bytes, anything JSON, or None for no
body at all.

Firefox on Android is reached over a bridge that takes about 2,700 bytes of the 3,993.
"""

import base64
import hashlib
import json
import logging
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from routing.conf import conf
from routing.push.backends import answers, ece, guard
from routing.push.backends.answers import Answer, Rule
from routing.push.backends.base import PushBackend
from routing.push.backends.lanes import Lanes
from routing.push.backends.wire import NotConnected, Wire
from routing.push.outcomes import (
    Address,
    InvalidAddress,
    Limits,
    Note,
    Outcome,
    PayloadTooLarge,
    Prepared,
    Scope,
    UnsupportedOption,
    Verdict,
)
from routing.push.vapid import InvalidKey, VapidKey, decode, encode, subject_problem

logger = logging.getLogger(__name__)

PER_ORIGIN = 50  # requests, and so connections, to one push service at once

#: RFC 8030, 5.3.
URGENCY = {"high": "high", "normal": "normal", "low": "low"}
URGENCIES = ("very-low", "low", "normal", "high")
#: RFC 8030, 5.4: at most 32 characters of base64url.
TOPIC = re.compile(r"[A-Za-z0-9_-]{1,32}")

#: The registration belongs to other credentials: one foreign registration can provoke it.
FOREIGN = Rule(verdict=Verdict.REFUSED, scope=Scope.ORIGIN, suspends=True)
ANSWERS: Mapping[int, Rule] = {
    200: answers.SENT,
    201: answers.SENT,
    202: answers.SENT,
    # Never followed: a redirect is a way into the house.
    301: answers.UNKNOWN,
    302: answers.UNKNOWN,
    307: answers.UNKNOWN,
    308: answers.UNKNOWN,
    # A bare 400 speaks of the message, whatever its errno.
    400: answers.REFUSED,
    401: FOREIGN,
    403: FOREIGN,
    404: answers.GONE,
    410: answers.GONE,
    413: answers.REFUSED,
    429: Rule(verdict=Verdict.RETRY, scope=Scope.ORIGIN, wait=60.0),
    500: answers.RETRY,
    502: answers.RETRY,
    503: answers.RETRY,
    504: answers.RETRY,
}
#: Answers whose body changes what the status says.
BY_REASON: Mapping[tuple[int, str], Rule] = {
    # How FCM says 403.
    (400, "UnauthorizedRegistration"): FOREIGN,
    # autopush: 201 is "back off", 202 "try again now".
    (503, "errno 202"): Rule(verdict=Verdict.RETRY, wait=answers.LEAST_WAIT),
}
# A reason is a word of these forms or nothing: an answer may quote the endpoint.
WORD = re.compile(r"[A-Za-z]{3,40}")

BODY_HEADERS = {"Content-Encoding": "aes128gcm", "Content-Type": "application/octet-stream"}


class WebPushBackend(PushBackend):
    name = "webpush"
    limits = Limits(
        max_payload=ece.MAX_PLAINTEXT,
        max_ttl=28 * 24 * 3600,  # FCM's; Mozilla takes 30 days
        concurrency=100,
        request_seconds=guard.TOTAL_SECONDS,
    )

    def __init__(self, credentials: Mapping[str, Any]) -> None:
        super().__init__(credentials)
        self.subject = str(credentials["subject"])
        self.key = VapidKey.read(credentials["private_key"])
        others = [VapidKey.read(text) for text in credentials.get("previous_private_keys", ())]
        self.keys = {key.id: key for key in (self.key, *others)}
        self.hosts = conf().webpush_hosts
        self.local = guard.local_peers()

    @classmethod
    def check_credentials(cls, credentials: Mapping[str, Any]) -> list[str]:
        known = {"private_key", "subject", "previous_private_keys"}
        found = [f"{key} is not known to webpush" for key in sorted(set(credentials) - known)]
        texts = {"private_key": credentials.get("private_key")}
        previous = credentials.get("previous_private_keys", [])
        if isinstance(previous, list | tuple):
            texts |= {f"previous_private_keys[{i}]": text for i, text in enumerate(previous)}
        else:
            found.append("previous_private_keys must be a list")
        for where, text in texts.items():
            try:
                VapidKey.read(text if isinstance(text, str) else "")
            except InvalidKey as problem:
                found.append(f"{where}: {problem}")
        problem_of_subject = subject_problem(str(credentials.get("subject", "")))
        if problem_of_subject:
            found.append(f"subject {problem_of_subject}")
        return found

    @classmethod
    def clean_address(cls, token: str, extra: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        guard.check_url(token, hosts=conf().webpush_hosts)
        found = dict(extra)
        key, auth = (read_key(extra, name) for name in ("p256dh", "auth"))
        ece.read_receiver(key)
        if len(auth) != ece.AUTH_BYTES:
            raise InvalidAddress("auth is not 16 bytes")
        found["p256dh"], found["auth"] = encode(key), encode(auth)
        return token, found

    @classmethod
    def stamp(cls, credentials: Mapping[str, Any]) -> dict[str, Any]:
        return {"vapid": VapidKey.read(credentials["private_key"]).id}

    def check_address(self, address: Address) -> None:
        guard.check_url(address.token, hosts=self.hosts, local=self.local)

    def origin(self, address: Address) -> str:
        return guard.check_url(address.token, hosts=self.hosts, local=self.local).origin

    def render(self, note: Note, address: Address, *, ref: Any, attempt: int = 1) -> Prepared:
        headers = headers_of(note, self.limits.max_ttl)
        payload = payload_of(note)
        body = b""
        if payload:
            if len(payload) > self.limits.max_payload:
                raise PayloadTooLarge(len(payload), self.limits.max_payload)
            headers |= BODY_HEADERS
            body = ece.encrypt(
                payload,
                receiver=read_key(address.extra, "p256dh"),
                auth=read_key(address.extra, "auth"),
            )
        return Prepared(ref=ref, address=address, headers=headers, body=body, attempt=attempt)

    async def open(self) -> None:
        self._lanes = Lanes(total=self.limits.concurrency, per_origin=PER_ORIGIN)
        self._wire = Wire()

    async def aclose(self) -> None:
        self._wire.close()

    def send(self, batch: Sequence[Prepared]) -> AsyncGenerator[tuple[Any, Outcome], None]:
        return self._lanes.send(batch, self._post, lane_of)

    async def _post(self, message: Prepared) -> Outcome:
        address = message.address
        try:
            target = guard.check_url(address.token, hosts=self.hosts, local=self.local)
        except InvalidAddress as problem:
            return Outcome(verdict=Verdict.REFUSED, reason=str(problem), suspends=True)
        try:
            answer = await self._wire.post(target, self._request(message, target))
        except NotConnected as error:
            if isinstance(error.__cause__, guard.Forbidden):
                return Outcome(
                    verdict=Verdict.REFUSED, reason="not a public address", suspends=True
                )
            return answers.no_answer(error.__cause__ or error, sent=False)
        except OSError as error:
            return answers.no_answer(error, sent=True)
        return self._outcome(message, answer)

    def _request(self, message: Prepared, target: guard.Target) -> bytes:
        vapid = self.keys.get(message.address.extra.get("vapid", ""), self.key)
        headers = "".join(f"{name}: {value}\r\n" for name, value in message.headers.items())
        head = (
            # The path as it was given: another spelling of it may be another URL.
            f"POST {target.path} HTTP/1.1\r\n"
            f"Host: {target.origin.partition('//')[2]}\r\n"
            f"{headers}"
            f"Authorization: {vapid.authorization(target.origin, self.subject)}\r\n"
            f"Content-Length: {len(message.body)}\r\n\r\n"
        )
        return head.encode() + message.body

    def _outcome(self, message: Prepared, answer: Answer) -> Outcome:
        status, reason = answer.status, reason_of(answer.body)
        rule = BY_REASON.get((status, reason)) or answers.rule_for(status, ANSWERS)
        stamped = message.address.extra.get("vapid")
        if rule is FOREIGN and stamped and stamped not in self.keys:
            # The browser subscribed under a key that we no longer have: nobody can reach it.
            rule, reason = answers.GONE, "VAPID key changed"
        return rule.outcome(
            reason or f"HTTP {status}",
            status=status,
            retry_after=answers.retry_after(answer.headers),
        )


def lane_of(message: Prepared) -> str:
    """Scheme, host and port; the address itself is checked right before the request."""
    return "/".join(message.address.token.split("/", 3)[:3])


def read_key(extra: Mapping[str, Any], name: str) -> bytes:
    text = extra.get(name)
    if not isinstance(text, str) or len(text) > 200:
        raise InvalidAddress(f"{name} is missing")
    try:
        return decode(text)
    except ValueError:
        raise InvalidAddress(f"{name} is not base64url") from None


def headers_of(note: Note, max_ttl: int) -> dict[str, str]:
    options = note.options.get("webpush", {})
    unknown = sorted(set(options) - {"urgency", "topic"})
    if unknown:
        raise UnsupportedOption(f"webpush knows no option {unknown[0]}")
    urgency = options.get("urgency") or URGENCY.get(note.priority)
    if urgency not in URGENCIES:
        raise UnsupportedOption(f"the urgency must be one of {', '.join(URGENCIES)}")
    headers = {"TTL": str(min(max(note.ttl, 0), max_ttl)), "Urgency": urgency}
    topic = options.get("topic")
    if topic is not None and not TOPIC.fullmatch(str(topic)):
        raise UnsupportedOption("the topic must be 1 to 32 characters of base64url")
    if topic or note.collapse_id:
        headers["Topic"] = str(topic or topic_of(note.collapse_id))
    return headers


def topic_of(collapse_id: str) -> str:
    """The collapse id where it may stand in a header, else a hash of it."""
    if TOPIC.fullmatch(collapse_id):
        return collapse_id
    digest = hashlib.sha256(collapse_id.encode()).digest()
    return base64.urlsafe_b64encode(digest)[:32].decode()


def payload_of(note: Note) -> bytes:
    """What the service worker is given; empty where there is nothing to say."""
    if "webpush" in note.raw:
        raw = note.raw["webpush"]
        if raw is None or isinstance(raw, bytes):
            return raw or b""
        return raw.encode() if isinstance(raw, str) else compact(raw)
    said = {
        "title": note.title,
        "body": note.body,
        "icon": note.icon,
        "image": note.image,
        "url": note.url,
        # Without a tag a message that arrived twice would be shown twice.
        "tag": note.tag or note.collapse_id,
        "data": note.data,
        "badge": note.badge,
        "actions": [dict(action) for action in note.actions],
        "event": note.event_id,
        "type": note.event_type,
        "silent": note.silent or None,
    }
    found = {
        key: value for key, value in said.items() if value is not None and value not in ("", [])
    }
    return compact(found) if found.keys() - {"tag"} else b""


def compact(value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")  # half of a surrogate pair must not stop a push


def reason_of(said: bytes) -> str:
    """The provider's own word for a refusal, out of the answers that are known."""
    if not said:
        return ""
    if b"UnauthorizedRegistration" in said:
        return "UnauthorizedRegistration"
    try:
        found = json.loads(said)
    except ValueError:
        return ""
    if not isinstance(found, dict):
        return ""
    if isinstance(found.get("errno"), int):
        return f"errno {found['errno']}"
    word = found.get("reason")
    return word if isinstance(word, str) and WORD.fullmatch(word) else ""
