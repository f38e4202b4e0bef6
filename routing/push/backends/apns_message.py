"""Turns a note into what APNs takes: the headers and the payload with its `aps`.

https://developer.apple.com/documentation/usernotifications/generating-a-remote-notification
"""

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from routing.push.outcomes import Note, PayloadTooLarge, UnsupportedOption

MAX_PAYLOAD = 4096  # bytes
MAX_VOIP_PAYLOAD = 5120
MAX_TTL = 30 * 24 * 3600  # seconds
MAX_COLLAPSE_ID = 64  # bytes

#: Options of the alert, with Apple's names; texts that the phone translates, mostly.
ALERT = {
    "subtitle": "subtitle",
    "title_loc_key": "title-loc-key",
    "title_loc_args": "title-loc-args",
    "subtitle_loc_key": "subtitle-loc-key",
    "subtitle_loc_args": "subtitle-loc-args",
    "loc_key": "loc-key",
    "loc_args": "loc-args",
    "action_loc_key": "action-loc-key",
    "launch_image": "launch-image",
}
LISTS = {"title_loc_args", "subtitle_loc_args", "loc_args"}
#: Options of `aps` itself. The last ones are those of live activities.
APS = {
    "category": "category",
    "thread_id": "thread-id",
    "target_content_id": "target-content-id",
    "interruption_level": "interruption-level",
    "relevance_score": "relevance-score",
    "filter_criteria": "filter-criteria",
    "url_args": "url-args",
    "content_changed": "content-changed",
    "timestamp": "timestamp",
    "event": "event",
    "content_state": "content-state",
    "stale_date": "stale-date",
    "dismissal_date": "dismissal-date",
    "attributes_type": "attributes-type",
    "attributes": "attributes",
}
FLAGS = {"mutable_content": "mutable-content", "content_available": "content-available"}
HEADERS = {"push_type", "priority", "expiration", "topic", "collapse_id", "id"}
OPTIONS = {*ALERT, *APS, *FLAGS, *HEADERS, "extra"}
#: What a push that shows nothing may have.
SILENT_OPTIONS = {*HEADERS, "extra", "content_available"}

#: Each type of push, with what its topic ends in.
PUSH_TYPES = {
    "alert": "",
    "background": "",
    "complication": ".complication",
    "controls": ".push-type.controls",
    "fileprovider": ".pushkit.fileprovider",
    "liveactivity": ".push-type.liveactivity",
    "location": ".location-query",
    "mdm": "",
    "pushtotalk": ".voip-ptt",
    "voip": ".voip",
    "widgets": ".push-type.widgets",
}
LEVELS = ("passive", "active", "time-sensitive", "critical")
PRIORITY = {"high": 10, "normal": 10, "low": 5}
TOPIC = re.compile(r"[A-Za-z0-9._-]{1,200}")


@dataclass(frozen=True, slots=True)
class Message:
    headers: Mapping[str, str]
    body: bytes


def build(note: Note, *, topic: str, at: int) -> Message:
    """Raises `UnsupportedOption` and `PayloadTooLarge`. `at` is now, in seconds since 1970."""
    options = {k: v for k, v in note.options.get("apns", {}).items() if v is not None}
    unknown = sorted(set(options) - OPTIONS)
    if unknown:
        raise UnsupportedOption(f"apns knows no option {unknown[0]}")
    payload = payload_of(note, options)
    push_type = push_type_of(payload, options)
    body = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    limit = MAX_VOIP_PAYLOAD if push_type == "voip" else MAX_PAYLOAD
    if len(body) > limit:
        raise PayloadTooLarge(len(body), limit)
    return Message(headers_of(note, options, push_type, topic, at), body)


def payload_of(note: Note, options: Mapping[str, Any]) -> dict[str, Any]:
    if "apns" in note.raw:
        return dict(note.raw["apns"])
    root = root_of(note, options)
    if note.silent:
        wrong = sorted(set(options) - SILENT_OPTIONS)
        if wrong:
            raise UnsupportedOption(f"a silent push shows nothing: it cannot have {wrong[0]}")
        # Whatever else stood here (an empty alert, a badge) would make iOS show something.
        return {**root, "aps": {"content-available": 1}}
    return {**root, "aps": aps_of(note, options)}


def root_of(note: Note, options: Mapping[str, Any]) -> dict[str, Any]:
    """What the app's code reads, beside `aps`."""
    given = dict(note.data) if isinstance(note.data, Mapping) else {"data": note.data}
    extra = options.get("extra", {})
    if not isinstance(extra, Mapping):
        raise UnsupportedOption("the option extra of apns must be an object")
    ours = {
        "event": note.event_id,
        "type": note.event_type,
        "url": note.url,
        "tag": note.tag,
        "image": "" if note.silent else note.image,  # the app's service extension loads it
    }
    found = {**given, **{k: v for k, v in ours.items() if v not in (None, "")}, **extra}
    if "aps" in found:
        raise UnsupportedOption("apns keeps the key aps for itself")
    return {key: value for key, value in found.items() if value is not None}


def aps_of(note: Note, options: Mapping[str, Any]) -> dict[str, Any]:
    level, score = options.get("interruption_level"), options.get("relevance_score")
    if level not in (None, *LEVELS):
        raise UnsupportedOption(f"interruption_level must be one of {', '.join(LEVELS)}")
    if score is not None and (type(score) not in (int, float) or not 0 <= score):
        raise UnsupportedOption("relevance_score must be a number from 0 on")
    aps: dict[str, Any] = {}
    alert = alert_of(note, options)
    if alert:
        aps["alert"] = alert
    if note.badge is not None:
        aps["badge"] = note.badge
    if note.sound:
        aps["sound"] = dict(note.sound) if isinstance(note.sound, Mapping) else note.sound
    aps |= {name: options[key] for key, name in APS.items() if key in options}
    flags = {name for key, name in FLAGS.items() if options.get(key)}
    if note.image and "mutable_content" not in options:
        flags.add("mutable-content")
    return aps | dict.fromkeys(sorted(flags), 1)


def alert_of(note: Note, options: Mapping[str, Any]) -> str | dict[str, Any]:
    found: dict[str, Any] = {}
    if note.title:
        found["title"] = note.title
    if note.body:
        found["body"] = note.body
    for key, name in ALERT.items():
        if key not in options:
            continue
        value = options[key]
        if key in LISTS:
            if not isinstance(value, list | tuple):
                raise UnsupportedOption(f"the option {key} of apns must be a list")
            value = [str(each) for each in value]
        found[name] = value
    # Where the phone finds the words itself, ours must not stand in their place.
    for key, name in (("title-loc-key", "title"), ("loc-key", "body")):
        if key in found:
            found.pop(name, None)
    return note.body if found == {"body": note.body} else found


def push_type_of(payload: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    aps = payload.get("aps")
    aps = aps if isinstance(aps, Mapping) else {}
    shows = bool({"alert", "badge", "sound"} & aps.keys())
    silent = bool(aps.get("content-available")) and not shows
    push_type = str(options.get("push_type", "background" if silent else "alert"))
    if push_type not in PUSH_TYPES:
        raise UnsupportedOption(f"push_type must be one of {', '.join(PUSH_TYPES)}")
    if push_type == "background" and shows:
        raise UnsupportedOption("a push of type background shows nothing")
    if push_type == "alert" and silent:
        raise UnsupportedOption("a silent push is not of type alert")
    return push_type


def headers_of(
    note: Note, options: Mapping[str, Any], push_type: str, topic: str, at: int
) -> dict[str, str]:
    background = push_type == "background"
    priority = options.get("priority", 5 if background else PRIORITY[note.priority])
    if priority not in (10, 5, 1):
        raise UnsupportedOption("the priority of apns must be 10, 5 or 1")
    if background and priority == 10:
        raise UnsupportedOption("Apple refuses a background push of priority 10")
    ttl = min(max(note.ttl, 0), MAX_TTL)
    expiration = options.get("expiration", at + ttl if ttl else 0)
    if type(expiration) is not int or expiration < 0:
        raise UnsupportedOption("expiration must be seconds since 1970, or 0")
    return {
        "apns-topic": topic_of(str(options.get("topic", topic)), push_type),
        "apns-push-type": push_type,
        "apns-priority": str(priority),
        "apns-expiration": str(expiration),
        **collapse_id_of(str(options.get("collapse_id", note.collapse_id))),
        **({"apns-id": id_of(options["id"])} if "id" in options else {}),
    }


def topic_of(topic: str, push_type: str) -> str:
    suffix = PUSH_TYPES[push_type]
    if not TOPIC.fullmatch(topic):
        raise UnsupportedOption("the topic of apns must be a bundle id")
    return topic if topic.endswith(suffix) else topic + suffix


def collapse_id_of(text: str) -> dict[str, str]:
    if len(text.encode()) > MAX_COLLAPSE_ID or not text.isprintable():
        raise UnsupportedOption(f"a collapse id has at most {MAX_COLLAPSE_ID} printable bytes")
    return {"apns-collapse-id": text} if text else {}


def id_of(given: Any) -> str:
    try:
        return str(uuid.UUID(str(given)))
    except ValueError:
        raise UnsupportedOption("the id of apns must be a UUID") from None
