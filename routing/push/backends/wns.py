"""Windows Push Notification Services: toasts, tiles, badges and raw messages to Windows.

Credentials, of one of two identities: `package_sid` and `client_secret` of an app of the Store, or
`tenant_id`, `client_id` and `client_secret` of an app of the Windows App SDK (Entra ID), whose
channels take toasts and raw messages only. `token_url` is for a peer on this machine.

An address is a channel URI. The access token is sent to that URI, so its host is looked at when it
registers and again before every send. `Note.options["wns"]` may hold what `OPTIONS` lists;
`Note.raw["wns"]` is sent as a raw message. A silent note is a raw message with its data.
"""

import json
import re
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from routing.push.backends import answers, guard
from routing.push.backends.answers import Answer, Rule
from routing.push.backends.posting import AccessToken, PostingBackend, Unanswered, service_url
from routing.push.backends.wns_xml import badge, element_of, text_of, tile, toast
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

HOSTS = ("notify.windows.com",)
LEGACY = {"package_sid", "client_secret"}
ENTRA = {"tenant_id", "client_id", "client_secret"}
LEGACY_URL = "https://login.live.com/accesstoken.srf"
ENTRA_URL = "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token"
TENANT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,200}[A-Za-z0-9])?")

OPTIONS = {
    "type",  # toast, tile, badge or raw
    "template",  # e.g. ToastText01; ToastGeneric where there is none
    "texts",
    "images",
    "launch",
    "xml_data",  # {"name", "attrs", "children"}: the XML itself, whose root says the type
    "cache_policy",  # cache or no-cache
    "tag",  # of a tile
    "request_for_status",
}
TYPES = ("toast", "tile", "badge", "raw")
TAG = re.compile(r"[A-Za-z0-9]{1,16}")
# What may be repeated of an error's description: no URI, no token.
WORDS = re.compile(r"[A-Za-z0-9 .,'-]{1,100}")

#: By status, and by what the headers add to it; the empty word stands for any other.
ANSWERS: Mapping[tuple[int, str], Rule] = {
    (200, ""): answers.SENT,
    (200, "dropped"): answers.REFUSED,  # switched off by the user, or a toast to who is away
    (200, "channelthrottled"): Rule(verdict=Verdict.RETRY, scope=Scope.DEVICE, wait=600.0),
    (400, ""): answers.REFUSED,
    (401, ""): answers.MISCONFIGURED,  # after a fresh token
    (403, ""): answers.FOREIGN,
    (404, ""): answers.GONE,
    (405, ""): answers.REFUSED,
    (406, ""): Rule(verdict=Verdict.RETRY, scope=Scope.APPLICATION, wait=3600.0),
    (410, ""): answers.GONE,
    (410, "domain blocked"): answers.MISCONFIGURED,
    (413, ""): answers.REFUSED,
    (500, ""): answers.RETRY,
    (503, ""): answers.RETRY,
}


class WnsBackend(PostingBackend):
    name = "wns"
    limits = Limits(max_payload=5000, max_ttl=30 * 24 * 3600, concurrency=100, request_seconds=15.0)

    def __init__(self, credentials: Mapping[str, Any]) -> None:
        super().__init__(credentials)
        self.entra = "tenant_id" in credentials
        self.token_url, self.form = token_request(credentials)
        self.token = AccessToken(self._fetch_token)

    @classmethod
    def check_credentials(cls, credentials: Mapping[str, Any]) -> list[str]:
        given = set(credentials) - {"token_url"}
        if given not in (LEGACY, ENTRA):
            return [
                "wns needs package_sid and client_secret, or tenant_id, client_id and"
                " client_secret, and nothing else"
            ]
        found = [
            f"{key} is no text"
            for key in sorted(given)
            if not isinstance(credentials[key], str) or not credentials[key].strip()
        ]
        if not found and given == ENTRA and not TENANT.fullmatch(credentials["tenant_id"]):
            found.append("tenant_id is neither an id nor a domain")
        if not found and given == LEGACY and not credentials["package_sid"].startswith("ms-app://"):
            found.append("package_sid must begin with ms-app://")
        try:
            return found or (token_request(credentials) and [])
        except InvalidAddress as problem:
            return [f"token_url must be Microsoft's: {problem}"]

    @classmethod
    def clean_address(cls, token: str, extra: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        guard.check_url(token, hosts=HOSTS)
        return token, dict(extra)

    def check_address(self, address: Address) -> None:
        guard.check_url(address.token, hosts=HOSTS)

    def origin(self, address: Address) -> str:
        return "/".join(address.token.split("/", 3)[:3])

    def render(self, note: Note, address: Address, *, ref: Any, attempt: int = 1) -> Prepared:
        options = dict(note.options.get("wns", {}))
        unknown = sorted(set(options) - OPTIONS)
        if unknown:
            raise UnsupportedOption(f"wns knows no option {unknown[0]}")
        kind, body = content(note, options)
        if self.entra and kind not in ("toast", "raw"):
            raise UnsupportedOption("apps of the Windows App SDK take toasts and raw messages only")
        if len(body) > self.limits.max_payload:
            raise PayloadTooLarge(len(body), self.limits.max_payload)
        headers = {
            "X-WNS-Type": f"wns/{kind}",
            "Content-Type": "application/octet-stream" if kind == "raw" else "text/xml",
            **option_headers(kind, options),
        }
        if note.ttl > 0:
            headers["X-WNS-TTL"] = str(min(note.ttl, self.limits.max_ttl))
        return Prepared(ref=ref, address=address, headers=headers, body=body, attempt=attempt)

    async def deliver(self, message: Prepared) -> Outcome:
        token = await self.token.get()
        answer = await self._post(message, token)
        if answer.status == 401:
            # It was not taken: once more with a fresh token.
            answer = await self._post(message, await self.token.get(refused=token))
        word = word_of(answer)
        rule = ANSWERS.get((answer.status, word)) or ANSWERS.get((answer.status, ""))
        return (rule or answers.rule_for(answer.status, {})).outcome(
            word or description(answer) or f"HTTP {answer.status}",
            status=answer.status,
            retry_after=answers.retry_after(answer.headers),
            attempt=message.attempt,
            provider_id=answer.headers.get("X-WNS-Msg-ID", "")[:100],
        )

    async def _post(self, message: Prepared, token: str) -> Answer:
        headers = {
            **message.headers,
            "Authorization": f"Bearer {token}",
            "MS-CV": f"{secrets.token_urlsafe(12)}.0",  # finds one request in Microsoft's logs
        }
        return await self.ask(message.address.token, headers=headers, body=message.body)

    async def _fetch_token(self) -> tuple[str, float]:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = await self.ask(self.token_url, headers=headers, body=self.form)
        try:
            found = json.loads(answer.body)
            # Entra gives the number as a text.
            token, seconds = str(found["access_token"]), float(found["expires_in"])
        except (ValueError, KeyError, TypeError):
            passing = answer.status == 429 or answer.status >= 500
            rule = answers.RETRY if passing else answers.MISCONFIGURED
            raise Unanswered(
                rule.outcome(
                    "no access token",
                    status=answer.status,
                    retry_after=answers.retry_after(answer.headers),
                )
            ) from None
        return token, seconds

    async def probe(self) -> str:
        await self.token.get()
        return "Microsoft gave an access token"


def token_request(credentials: Mapping[str, Any]) -> tuple[str, bytes]:
    """URL and form. Raises `InvalidAddress`."""
    if "tenant_id" in credentials:
        url = ENTRA_URL.format(tenant=credentials["tenant_id"])
        client, scope = credentials["client_id"], "https://wns.windows.com/.default"
    else:
        url, client, scope = LEGACY_URL, credentials["package_sid"], "notify.windows.com"
    form = {
        "grant_type": "client_credentials",
        "client_id": client,
        "client_secret": credentials["client_secret"],
        "scope": scope,
    }
    return service_url(credentials.get("token_url"), url), urlencode(form).encode()


def content(note: Note, options: Mapping[str, Any]) -> tuple[str, bytes]:
    """The type of the message, and its body."""
    if "wns" in note.raw:
        return "raw", as_bytes(note.raw["wns"])
    if "xml_data" in options:
        root = element_of(options["xml_data"])
        if root.tag not in ("toast", "tile", "badge"):
            raise UnsupportedOption("the root of xml_data must be toast, tile or badge")
        return root.tag, text_of(root)
    words = bool(note.title or note.body or options.get("texts"))
    badge_only = note.badge is not None and not words and not note.silent
    kind = options.get("type") or ("badge" if badge_only else "toast" if words else "raw")
    if note.silent and "type" not in options:
        kind = "raw"
    match kind:
        case "toast":
            return kind, text_of(toast(note, options))
        case "tile":
            return kind, text_of(tile(note, options))
        case "badge":
            return kind, text_of(badge(note.badge or 0))
        case "raw":
            return kind, as_bytes(raw_of(note))
    raise UnsupportedOption(f"the type must be one of {', '.join(TYPES)}")


def raw_of(note: Note) -> dict[str, Any]:
    found = {
        "title": note.title,
        "body": note.body,
        "url": note.url,
        "data": note.data,
        "badge": note.badge,
        "event": note.event_id,
        "type": note.event_type,
        "tag": note.tag or note.collapse_id,
    }
    return {key: value for key, value in found.items() if value is not None and value != ""}


def as_bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.encode("utf-8", "replace")


def option_headers(kind: str, options: Mapping[str, Any]) -> dict[str, str]:
    """Headers that WNS takes with this type of message only; with another they are an error."""
    found = {}
    policy = options.get("cache_policy")
    if policy is not None:
        if policy not in ("cache", "no-cache") or kind == "toast":
            raise UnsupportedOption("cache_policy is cache or no-cache, and not for toasts")
        found["X-WNS-Cache-Policy"] = policy
    tag = options.get("tag")
    if tag is not None:
        if kind != "tile" or not TAG.fullmatch(str(tag)):
            raise UnsupportedOption("tag is for tiles, of 1 to 16 letters and digits")
        found["X-WNS-Tag"] = str(tag)
    if options.get("request_for_status"):
        found["X-WNS-RequestForStatus"] = "true"
    return found


def word_of(answer: Answer) -> str:
    """What the headers add to the status, where the table knows it."""
    if answer.status == 200:
        said = answer.headers.get("X-WNS-Status", "").strip().lower()
        return said if said in ("dropped", "channelthrottled") else ""
    return "domain blocked" if "domain blocked" in description(answer).lower() else ""


def description(answer: Answer) -> str:
    said = answer.headers.get("X-WNS-Error-Description", "").strip()
    return said if WORDS.fullmatch(said) else ""
