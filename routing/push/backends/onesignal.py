"""OneSignal: one request for many subscriptions, or for the users that it knows by their ids.

Credentials: `app_id` and `api_key` (the app's). `base_url` is for a peer on this machine.

An address is a subscription id, or of the kind "alias" an external id. Messages of a batch that say
the same go out together, and each gets an outcome of its own. `Note.options["onesignal"]` may hold
`contents` and `headings` (texts by language, beside the English ones), `badge_increase`, and
`channel_id`, `web_push_topic`, `name`; `Note.raw["onesignal"]` replaces all but the recipients.

Every request has an `idempotency_key`, made of the event and the recipients: a repeat whose first
answer was lost is recognised there.
"""

import json
import re
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from routing.push.backends import answers
from routing.push.backends.answers import Answer, Rule
from routing.push.backends.posting import PostingBackend, Unanswered, service_url
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

API = "https://api.onesignal.com"
#: The documentation says 20,000, OneSignal's own client 2,000.
MAX_RECIPIENTS = 2000
MAX_DATA = 2048  # bytes; what is left of a platform's 4 KB
NAMESPACE = uuid.UUID("3f0c2a52-6d0f-5a6b-9a53-0d6f7d0e6c11")

OPTIONS = {
    "contents",
    "headings",
    "badge_increase",
    "channel_id",
    "web_push_topic",
    "name",
}
ALIAS = re.compile(r"[!-~]{1,128}")

PASSING = Rule(verdict=Verdict.RETRY, wait=100.0)
ANSWERS: Mapping[int, Rule] = {
    400: answers.REFUSED,
    401: answers.MISCONFIGURED,
    403: answers.MISCONFIGURED,
    404: answers.MISCONFIGURED,
    429: Rule(verdict=Verdict.RETRY, scope=Scope.APPLICATION),
    500: PASSING,
    502: PASSING,
    503: PASSING,
    504: PASSING,
}
#: Names of lists of recipients that an otherwise successful answer refuses.
INVALID = ("invalid_aliases", "invalid_subscription_ids", "invalid_player_ids")
NOBODY = "all included players are not subscribed"


class OneSignalBackend(PostingBackend):
    name = "onesignal"
    limits = Limits(
        max_payload=4096,
        max_ttl=28 * 24 * 3600,
        max_batch=MAX_RECIPIENTS,
        concurrency=20,
        request_seconds=20.0,
    )
    per_origin = 20
    max_answer = 256 * 1024  # it may list every recipient that it refuses

    def __init__(self, credentials: Mapping[str, Any]) -> None:
        super().__init__(credentials)
        self.url = service_url(credentials.get("base_url"), API) + "/notifications?c=push"
        self.app_id = str(credentials["app_id"])

    @classmethod
    def check_credentials(cls, credentials: Mapping[str, Any]) -> list[str]:
        known = {"app_id", "api_key", "base_url"}
        found = [f"{key} is not known to onesignal" for key in sorted(set(credentials) - known)]
        try:
            uuid.UUID(str(credentials.get("app_id")))
        except ValueError:
            found.append("app_id is missing or no UUID")
        key = credentials.get("api_key")
        if not isinstance(key, str) or not re.fullmatch(r"[!-~]{10,500}", key):
            found.append("api_key is missing or not of printable characters")
        try:
            service_url(credentials.get("base_url"), API)
        except InvalidAddress as problem:
            found.append(f"base_url must be OneSignal's: {problem}")
        return found

    @classmethod
    def clean_address(cls, token: str, extra: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        try:
            return str(uuid.UUID(token.strip())), dict(extra)
        except ValueError:
            raise InvalidAddress("a subscription id of OneSignal is a UUID") from None

    def render(self, note: Note, address: Address, *, ref: Any, attempt: int = 1) -> Prepared:
        if address.kind not in ("device", "alias"):
            raise InvalidAddress(f"onesignal sends to devices and aliases, not to {address.kind}")
        if address.kind == "alias" and not ALIAS.fullmatch(address.token):
            raise InvalidAddress("an alias has 1 to 128 printable characters")
        said = said_of(note, self.limits.max_ttl)
        body = compact(said)
        for size, limit in (
            (len(compact(said.get("data", {}))), MAX_DATA),
            (len(body), self.limits.max_payload),
        ):
            if size > limit:
                raise PayloadTooLarge(size, limit)
        # Not sent as headers: what tells messages apart that say the same.
        headers = {
            "kind": address.kind,
            "about": note.collapse_id or repr(ref) if note.event_id is None else str(note.event_id),
            "urgent": "yes" if note.priority == "high" else "",
        }
        return Prepared(ref=ref, address=address, headers=headers, body=body, attempt=attempt)

    async def send(self, batch: Sequence[Prepared]) -> AsyncGenerator[tuple[Any, Outcome], None]:
        requests = [
            Prepared(ref=group, address=group[0].address, attempt=group[0].attempt)
            for group in grouped(batch)
        ]
        sending = self._lanes.send(requests, self._send_group, lambda _: "")
        async with aclosing(sending) as found:
            async for group, result in found:
                for message in group:
                    one = result if isinstance(result, Outcome) else result[message.address.token]
                    yield message.ref, one

    async def _send_group(self, request: Prepared) -> Mapping[str, Outcome] | Outcome:
        group: list[Prepared] = request.ref
        first, tokens = group[0], list(dict.fromkeys(m.address.token for m in group))
        named = f"{self.app_id} {first.headers['about']} {' '.join(sorted(tokens))}"
        said = {
            **json.loads(first.body),
            "app_id": self.app_id,
            "target_channel": "push",
            "idempotency_key": str(uuid.uuid5(NAMESPACE, named)),
        }
        if first.headers["kind"] == "alias":
            said["include_aliases"] = {"external_id": tokens}
        else:
            said["include_subscription_ids"] = tokens
        headers = {
            "Authorization": f"Key {self.credentials['api_key']}",
            "Content-Type": "application/json",
        }
        try:
            answer = await self.ask(self.url, headers=headers, body=compact(said))
        except Unanswered as reason:
            return reason.outcome
        return outcomes_of(answer, tokens, urgent=bool(first.headers["urgent"]))


def grouped(batch: Sequence[Prepared]) -> list[list[Prepared]]:
    """Messages that say the same about the same event, as many as one request may have."""
    groups: dict[Any, list[list[Prepared]]] = {}
    for message in batch:
        key = (message.body, *sorted(message.headers.items()))
        parts = groups.setdefault(key, [[]])
        if len(parts[-1]) >= MAX_RECIPIENTS:
            parts.append([])
        parts[-1].append(message)
    return [part for parts in groups.values() for part in parts]


def said_of(note: Note, max_ttl: int) -> dict[str, Any]:
    options = note.options.get("onesignal", {})
    unknown = sorted(set(options) - OPTIONS)
    if unknown:
        raise UnsupportedOption(f"onesignal knows no option {unknown[0]}")
    if "onesignal" in note.raw:
        return dict(note.raw["onesignal"])
    data = {**(note.data if isinstance(note.data, Mapping) else filled({"data": note.data}))}
    data |= filled({"event": note.event_id, "type": note.event_type, "url": note.url})
    found: dict[str, Any] = {
        "data": data,
        "ttl": min(max(note.ttl, 0), max_ttl),
        "priority": 10 if note.priority == "high" else None,
        "collapse_id": note.collapse_id,
        "web_push_topic": options.get("web_push_topic"),
        "name": options.get("name"),
    }
    if note.silent:
        return filled({**found, "content_available": True})
    found |= {
        # English is what OneSignal falls back to, and must be there.
        "contents": filled({"en": note.body or note.title, **options.get("contents", {})}),
        "headings": filled({"en": note.title, **options.get("headings", {})}),
        "url": note.url if note.url.startswith(("http://", "https://")) else None,
        "big_picture": note.image,
        "chrome_web_image": note.image,
        "ios_attachments": filled({"image": note.image}),
        "chrome_web_icon": note.icon,
        "ios_sound": note.sound if isinstance(note.sound, str) else None,
        "android_channel_id": options.get("channel_id"),
        "buttons": [{"id": a.get("action", ""), "text": a.get("title", "")} for a in note.actions],
    }
    increase = options.get("badge_increase")
    if increase is not None or note.badge is not None:
        found["ios_badgeType"] = "SetTo" if increase is None else "Increase"
        found["ios_badgeCount"] = int(note.badge or 0) if increase is None else int(increase)
    return filled(found)


def outcomes_of(
    answer: Answer, tokens: Sequence[str], *, urgent: bool
) -> Mapping[str, Outcome] | Outcome:
    """One outcome for all, or one for each recipient."""
    if not 200 <= answer.status < 300:
        rule = answers.rule_for(answer.status, ANSWERS)
        if rule.verdict is Verdict.RETRY and rule.wait and urgent:
            rule = answers.RETRY
        return rule.outcome(
            f"HTTP {answer.status}",
            status=answer.status,
            retry_after=answers.retry_after(answer.headers),
        )
    try:
        said = json.loads(answer.body)
        notification, errors = str(said.get("id") or ""), said.get("errors") or {}
    except (ValueError, AttributeError):
        # It was taken, or a proxy answered: what is repeated has the same idempotency key.
        return Outcome(verdict=Verdict.RETRY, reason="no JSON", may_have_arrived=True)
    sent = answers.SENT.outcome("sent", status=answer.status, provider_id=notification[:100])
    gone = answers.GONE.outcome("not subscribed", status=answer.status)
    if not notification:
        if NOBODY in json.dumps(errors).lower():
            return gone
        if not refused_tokens(errors):
            return answers.UNKNOWN.outcome("no notification was made", status=answer.status)
    refused = refused_tokens(errors)
    return {token: gone if token in refused or not notification else sent for token in tokens}


def refused_tokens(errors: Any) -> set[str]:
    if not isinstance(errors, Mapping):
        return set()
    found: set[str] = set()
    for name in INVALID:
        listed = errors.get(name) or []
        parts = listed.values() if isinstance(listed, Mapping) else [listed]
        found |= {str(token) for part in parts if isinstance(part, list) for token in part}
    return found


def filled(found: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in found.items() if value not in (None, "", [], {})}


def compact(value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")
