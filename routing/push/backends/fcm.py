"""Firebase Cloud Messaging, HTTP v1: Android, and through Firebase iOS and the web too.

Credentials: `service_account`, the JSON that Google's console gives (a dict or its text), and
where it is another one than the account's, `project_id`. `base_url` and another `token_uri` are
for peers on this machine.

An address is a registration token, or with `kind: "fid"` in its extra a Firebase installation id;
for a direct push a topic or a condition. `Note.options["fcm"]` may hold what `OPTIONS` lists;
`Note.raw["fcm"]` is the message itself, without its target.

A silent note, and one with the option `data_only`, has no `notification`: the app's code gets the
data and shows what it likes. All values of data are strings: FCM takes nothing else.
"""

import asyncio
import json
import re
import time
from collections.abc import Mapping
from datetime import UTC
from functools import partial
from typing import Any

import requests
from google.auth import exceptions
from google.auth.transport.requests import Request
from google.oauth2 import service_account

from routing.push.backends import answers
from routing.push.backends.answers import Answer, Rule
from routing.push.backends.fcm_message import build
from routing.push.backends.posting import AccessToken, PostingBackend, Unanswered, service_url
from routing.push.outcomes import (
    Address,
    InvalidAddress,
    Limits,
    Note,
    Outcome,
    PayloadTooLarge,
    Prepared,
    Scope,
    Verdict,
)

API = "https://fcm.googleapis.com"
TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"

# FCM says 4,096 (2,048 for topics) and not exactly of what: the JSON of all but the target.
MAX_PAYLOAD = 4000
MAX_TOPIC_PAYLOAD = 2000
TOKEN = re.compile(r"[!-~]{1,4096}")
TOPIC = re.compile(r"[a-zA-Z0-9\-_.~%]{1,900}")

QUOTA = Rule(verdict=Verdict.RETRY, scope=Scope.APPLICATION, wait=60.0, doubling=True)
#: By status and error code; the empty code stands for any other.
ANSWERS: Mapping[tuple[int, str], Rule] = {
    (200, ""): answers.SENT,
    (404, "UNREGISTERED"): answers.GONE,
    # The project's id is wrong. Who takes any 404 for a dead token loses everybody by one typo.
    (404, ""): answers.MISCONFIGURED,
    (400, "INVALID_TOKEN"): answers.GONE,
    (400, ""): answers.REFUSED,
    (401, "THIRD_PARTY_AUTH_ERROR"): answers.MISCONFIGURED,
    (401, ""): answers.MISCONFIGURED,  # after a fresh token
    (403, "SENDER_ID_MISMATCH"): answers.FOREIGN,
    (403, ""): answers.MISCONFIGURED,
    (429, "QUOTA_OF_TARGET"): Rule(
        verdict=Verdict.RETRY, scope=Scope.DEVICE, wait=60.0, doubling=True
    ),
    (429, ""): QUOTA,
    (500, ""): answers.RETRY,
    (502, ""): answers.RETRY,
    (503, ""): answers.RETRY,
    (504, ""): answers.RETRY,
}


class FcmBackend(PostingBackend):
    name = "fcm"
    limits = Limits(
        max_payload=MAX_PAYLOAD, max_ttl=28 * 24 * 3600, concurrency=100, request_seconds=15.0
    )
    per_origin = 100

    def __init__(self, credentials: Mapping[str, Any]) -> None:
        super().__init__(credentials)
        account = read_account(credentials["service_account"])
        account["token_uri"] = service_url(account.get("token_uri"), TOKEN_URI)
        self._account = service_account.Credentials.from_service_account_info(  # type: ignore[no-untyped-call]
            account, scopes=[SCOPE]
        )
        self.project = credentials.get("project_id") or account["project_id"]
        base = service_url(credentials.get("base_url"), API)
        self.url = f"{base}/v1/projects/{self.project}"
        self.token = AccessToken(self._fetch_token)

    @classmethod
    def check_credentials(cls, credentials: Mapping[str, Any]) -> list[str]:
        known = {"service_account", "project_id", "base_url"}
        found = [f"{key} is not known to fcm" for key in sorted(set(credentials) - known)]
        try:
            account = read_account(credentials.get("service_account"))
            service_url(account.get("token_uri"), TOKEN_URI)
            service_url(credentials.get("base_url"), API)
            service_account.Credentials.from_service_account_info(account)  # type: ignore[no-untyped-call]
        except InvalidAddress as problem:
            return [*found, f"token_uri and base_url must be Google's: {problem}"]
        except Exception:
            # Whatever the libraries make of a broken key; their texts may quote it.
            return [*found, "service_account is not the JSON of a service account"]
        project = credentials.get("project_id") or account.get("project_id")
        if not isinstance(project, str) or not re.fullmatch(r"[a-z0-9:.-]{1,100}", project):
            found.append("project_id is missing or no id of a project")
        return found

    @classmethod
    def clean_address(cls, token: str, extra: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        token = token.strip()
        if not TOKEN.fullmatch(token):
            raise InvalidAddress("an FCM token is 1 to 4,096 printable characters")
        if extra.get("kind", "token") not in ("token", "fid"):
            raise InvalidAddress("kind must be token or fid")
        return token, dict(extra)

    def render(self, note: Note, address: Address, *, ref: Any, attempt: int = 1) -> Prepared:
        target = target_of(address)
        message, validate_only = build(note, at=int(time.time()), max_ttl=self.limits.max_ttl)
        size = len(compact(message))
        limit = MAX_PAYLOAD if address.kind == "device" else MAX_TOPIC_PAYLOAD
        if size > limit:
            raise PayloadTooLarge(size, limit)
        said: dict[str, Any] = {"message": {**target, **message}}
        if validate_only:
            said["validateOnly"] = True
        return Prepared(ref=ref, address=address, body=compact(said), attempt=attempt)

    async def deliver(self, message: Prepared) -> Outcome:
        answer = await self._ask("/messages:send", message.body)
        code, reason = code_of(answer)
        rule = ANSWERS.get((answer.status, code)) or ANSWERS.get((answer.status, ""))
        return (rule or answers.rule_for(answer.status, {})).outcome(
            reason,
            status=answer.status,
            retry_after=answers.retry_after(answer.headers),
            attempt=message.attempt,
            provider_id=name_of(answer),
        )

    async def _ask(self, path: str, body: bytes, *, method: str = "POST") -> Answer:
        """With a fresh token, once, where the first was refused: it was not processed then."""
        token = await self.token.get()
        answer = await self._ask_with(token, path, body, method)
        if answer.status == 401 and code_of(answer)[0] != "THIRD_PARTY_AUTH_ERROR":
            token = await self.token.get(refused=token)
            answer = await self._ask_with(token, path, body, method)
        return answer

    async def _ask_with(self, token: str, path: str, body: bytes, method: str) -> Answer:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        return await self.ask(self.url + path, headers=headers, body=body, method=method)

    async def _fetch_token(self) -> tuple[str, float]:
        try:
            await asyncio.to_thread(self._refresh)
        except exceptions.RefreshError as error:
            if not error.retryable:
                refused = answers.MISCONFIGURED.outcome("the service account was refused")
                raise Unanswered(refused) from None
            raise Unanswered(answers.no_answer(error, sent=False)) from None
        except exceptions.GoogleAuthError as error:
            raise Unanswered(answers.no_answer(error, sent=False)) from None
        # google-auth keeps it in UTC and does not say so.
        ends = self._account.expiry.replace(tzinfo=UTC).timestamp()
        return str(self._account.token), ends - time.time()

    def _refresh(self) -> None:
        with requests.Session() as session:
            # No proxies, certificates or passwords from the environment, and nothing followed.
            session.trust_env = False
            session.max_redirects = 0
            ask = partial(Request(session), timeout=self.limits.request_seconds)
            self._account.refresh(ask)

    async def subscribe(self, address: Address, topic: str) -> Outcome:
        path = f"/registrations/{address.token}/topicSubscriptions?topicName={topic_of(topic)}"
        return await self._ask_about_topic(path, b"{}", method="POST")

    async def unsubscribe(self, address: Address, topic: str) -> Outcome:
        name = f"/registrations/{address.token}/topicSubscriptions/{topic_of(topic)}"
        return await self._ask_about_topic(f"{name}?allowMissing=true", b"", method="DELETE")

    async def _ask_about_topic(self, path: str, body: bytes, *, method: str) -> Outcome:
        try:
            answer = await self._ask(path, body, method=method)
        except Unanswered as nobody:
            return nobody.outcome
        code, reason = code_of(answer)
        if answer.status == 409:  # it is in it already
            return answers.SENT.outcome("", status=409)
        rule = ANSWERS.get((answer.status, code)) or ANSWERS.get((answer.status, ""))
        return (rule or answers.rule_for(answer.status, {})).outcome(
            reason, status=answer.status, retry_after=answers.retry_after(answer.headers)
        )

    async def probe(self) -> str:
        await self.token.get()
        return "Google gave an access token to the service account"


def read_account(given: Any) -> dict[str, Any]:
    found = json.loads(given) if isinstance(given, str) else dict(given)
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return found


def target_of(address: Address) -> dict[str, str]:
    match address.kind:
        case "topic":
            return {"topic": topic_of(address.token)}
        case "condition":
            return {"condition": address.token}
        case "device":
            kind = "fid" if address.extra.get("kind") == "fid" else "token"
            return {kind: address.token}
    raise InvalidAddress(f"fcm sends to devices, topics and conditions, not to {address.kind}")


def topic_of(name: str) -> str:
    bare = name.removeprefix("/topics/")
    if not TOPIC.fullmatch(bare):
        raise InvalidAddress("a topic's name has letters, digits and -_.~% only")
    return bare


def compact(value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def code_of(answer: Answer) -> tuple[str, str]:
    """The table's code, and a word for the record."""
    try:
        error = json.loads(answer.body)["error"]
        details = [found for found in error.get("details", ()) if isinstance(found, dict)]
    except (ValueError, KeyError, TypeError, AttributeError):
        return "", f"HTTP {answer.status}"
    fcm = next((d["errorCode"] for d in details if "errorCode" in d), "")
    word = str(fcm or error.get("status") or f"HTTP {answer.status}")[:60]
    if answer.status == 400 and is_about_the_token(error, details, fcm):
        return "INVALID_TOKEN", word
    if answer.status == 429 and any(
        str(violation.get("subject", "")).startswith(("device", "topic"))
        for found in details
        for violation in found.get("violations", ())
    ):
        return "QUOTA_OF_TARGET", word
    return str(fcm), word


def is_about_the_token(error: Mapping[str, Any], details: list[Any], fcm: str) -> bool:
    """A 400 speaks of the token only where it says so: a payload that is too big is a 400 too."""
    fields = {
        violation.get("field")
        for found in details
        for violation in found.get("fieldViolations", ())
    }
    if fields & {"message.token", "message.fid"}:
        return True
    return bool(fcm) and "registration token is not a valid" in str(error.get("message", ""))


def name_of(answer: Answer) -> str:
    if answer.status != 200:
        return ""
    try:
        return str(json.loads(answer.body)["name"])[:200]
    except (ValueError, KeyError, TypeError):
        return ""
