"""Turns a note into FCM's message, with the parts for Android, for iOS and for the web."""

import json
from collections.abc import Mapping
from typing import Any

from routing.push.outcomes import Note, UnsupportedOption

#: Options by the part of the message they go into, with FCM's name of each.
ANDROID = {
    "collapse_key": "collapseKey",  # FCM keeps four different ones at a time: never a unique id
    "restricted_package_name": "restrictedPackageName",
    "direct_boot_ok": "directBootOk",
}
ANDROID_NOTIFICATION = {
    "channel_id": "channelId",
    "click_action": "clickAction",
    "color": "color",
    "icon": "icon",
    "ticker": "ticker",
    "visibility": "visibility",
    "sticky": "sticky",
    "local_only": "localOnly",
    "title_loc_key": "titleLocKey",
    "title_loc_args": "titleLocArgs",
    "body_loc_key": "bodyLocKey",
    "body_loc_args": "bodyLocArgs",
}
#: Apple's names of the texts that a phone translates itself.
ALERT = {
    "title_loc_key": "title-loc-key",
    "title_loc_args": "title-loc-args",
    "body_loc_key": "loc-key",
    "body_loc_args": "loc-args",
}
APS = {"category": "category", "thread_id": "thread-id", "mutable_content": "mutable-content"}
OPTIONS = {
    *ANDROID,
    *ANDROID_NOTIFICATION,
    *APS,
    "analytics_label",
    "content_available",
    "data_only",
    "dry_run",
}

#: Keys of data that FCM keeps to itself.
RESERVED = ("google.", "gcm.notification.")

ANDROID_PRIORITY = {"high": "HIGH", "normal": "NORMAL", "low": "NORMAL"}
APNS_PRIORITY = {"high": "10", "normal": "10", "low": "5"}


def build(note: Note, *, at: int, max_ttl: int) -> tuple[dict[str, Any], bool]:
    """The message without its target, and whether FCM shall only look at it."""
    options = dict(note.options.get("fcm", {}))
    unknown = sorted(set(options) - OPTIONS)
    if unknown:
        raise UnsupportedOption(f"fcm knows no option {unknown[0]}")
    dry_run = bool(options.pop("dry_run", False))
    if "fcm" in note.raw:
        return dict(note.raw["fcm"]), dry_run
    shown = (
        not note.silent and not options.pop("data_only", False) and bool(note.title or note.body)
    )
    ttl = min(max(note.ttl, 0), max_ttl)
    message = {
        "notification": notification(note) if shown else None,
        "data": data_of(note, shown=shown),
        "android": android(note, options, ttl, shown=shown),
        "apns": apns(note, options, at + ttl if ttl else 0, shown=shown),
        "webpush": webpush(note, ttl, shown=shown),
        "fcmOptions": filled({"analyticsLabel": options.get("analytics_label")}),
    }
    return filled(message), dry_run


def notification(note: Note) -> dict[str, Any]:
    return filled({"title": note.title, "body": note.body, "image": note.image})


def data_of(note: Note, *, shown: bool) -> dict[str, str]:
    """What the app's code reads: the event, and the words too where nothing else shows them."""
    given = note.data if isinstance(note.data, Mapping) else {"data": note.data}
    for key in given:
        if key in ("from", "message_type") or str(key).startswith(RESERVED):
            raise UnsupportedOption("fcm keeps from, message_type, google.* and gcm.* for itself")
    ours = {"event": note.event_id, "type": note.event_type, "url": note.url, "tag": note.tag}
    words = {} if shown else {"title": note.title, "body": note.body, "image": note.image}
    merged = {**words, **given, **{k: v for k, v in ours.items() if v not in (None, "")}}
    return {str(key): as_text(value) for key, value in merged.items() if value not in (None, "")}


def as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def android(note: Note, options: Mapping[str, Any], ttl: int, *, shown: bool) -> dict[str, Any]:
    sound = note.sound.get("name") if isinstance(note.sound, Mapping) else note.sound
    found = {
        **{name: options.get(key) for key, name in ANDROID_NOTIFICATION.items()},
        # Replaces the one of the same tag: a message that arrived twice is shown once.
        "tag": note.tag or note.collapse_id,
        "sound": sound,
        "notificationCount": note.badge or None,  # to Android 0 means "one more"
    }
    return filled(
        {
            "priority": ANDROID_PRIORITY[note.priority],
            "ttl": f"{ttl}s",
            **{name: options.get(key) for key, name in ANDROID.items()},
            "notification": filled(found) if shown else None,
        }
    )


def apns(note: Note, options: Mapping[str, Any], expires: int, *, shown: bool) -> dict[str, Any]:
    aps: dict[str, Any] = {name: options.get(key) for key, name in APS.items()}
    if aps["mutable-content"] is not None:
        aps["mutable-content"] = int(bool(aps["mutable-content"]))
    if options.get("content_available") or not shown:
        aps["content-available"] = 1
    if shown:
        translated = {name: options.get(key) for key, name in ALERT.items()}
        aps["alert"] = filled({"title": note.title, "body": note.body, **translated})
        aps["sound"] = dict(note.sound) if isinstance(note.sound, Mapping) else note.sound
        aps["badge"] = note.badge
    headers = {
        # A background push must be 5, or Apple drops it.
        "apns-priority": APNS_PRIORITY[note.priority] if shown else "5",
        "apns-push-type": "alert" if shown else "background",
        "apns-expiration": str(expires),
        "apns-collapse-id": note.collapse_id,
    }
    return {
        "headers": filled(headers),
        "payload": {"aps": {key: value for key, value in aps.items() if value not in (None, "")}},
    }


def webpush(note: Note, ttl: int, *, shown: bool) -> dict[str, Any]:
    urgency = note.priority if note.priority in ("high", "low") else "normal"
    found = {
        "icon": note.icon,
        "image": note.image,
        "tag": note.tag or note.collapse_id,
        "actions": [dict(action) for action in note.actions],
    }
    return filled(
        {
            "headers": {"TTL": str(ttl), "Urgency": urgency},
            "notification": filled(found) if shown else None,
            # FCM takes full https links only.
            "fcmOptions": {"link": note.url} if note.url.startswith("https://") else None,
        }
    )


def filled(found: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in found.items() if value not in (None, "", [], {})}
