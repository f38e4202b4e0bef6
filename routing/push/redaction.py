"""Takes tokens, endpoints, keys and signatures out of log records, whoever wrote them.

The hub's own lines name ids only; this is for libraries, and for the text of exceptions. It belongs
on every handler, since a filter of a logger does not see what its children log:

    "filters": {"redact": {"()": "routing.push.redaction.RedactSecrets"}},
    "handlers": {"stderr": {..., "filters": ["redact"]}},
    "loggers": routing.push.redaction.QUIET,
"""

import logging
import re

#: These write URLs, and with them tokens, at INFO or DEBUG.
QUIET = {
    name: {"level": "WARNING"}
    for name in ("aioapns", "h2", "hpack", "httpcore", "httpx", "urllib3", "websockets.client")
}

HIDDEN = "[hidden]"

# What stays of a match is its first group.
PATTERNS = tuple(
    re.compile(pattern, flags)
    for pattern, flags in (
        (r"()-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)", re.S),
        # Endpoints and channel URIs are secrets after the host.
        (
            r"(https?://(?:[\w-]+\.)*(?:fcm\.googleapis\.com|jmt17\.google\.com|"
            r"push\.services\.mozilla\.com|web\.push\.apple\.com|notify\.windows\.com)"
            r"(?::\d+)?/)[^\s\"'<>]+",
            re.I,
        ),
        # Any other URL that carries something as long as a token.
        (r"(https?://[^\s/\"'<>]+/)[^\s\"'<>]*[\w%-]{32,}[^\s\"'<>]*", 0),
        (r"(/3/device/)\w+", 0),
        (
            r"(\bauthorization\b[\"']?\s*[:=]\s*[\"']?)(?:(?:bearer|basic|key|vapid)\s+)?[^\"'\r\n]+",
            re.I,
        ),
        (r"(\bbearer\s+)[\w.~+/=-]{8,}", re.I),
        (r"(\bvapid\s+t=)\S+", re.I),
        (r"()\beyJ[\w-]+\.[\w-]*(?:\.[\w-]*)?", 0),
        (r"()\bya29\.[\w.-]+", 0),
        (r"()\bos_v2_\w+", 0),
        (r"()\b[\w-]{8,}:APA91[\w-]+", 0),
        (r"()\b[0-9a-fA-F]{64,}\b", 0),
        (
            r"(\b(?:p256dh|auth|endpoint|private_key|client_secret|access_token|api_key|token)"
            r"[\"']?\s*[:=]\s*b?[\"']?)[^\s\"',;)}&]{8,}",
            re.I,
        ),
    )
)


def redact(text: str) -> str:
    for pattern in PATTERNS:
        text = pattern.sub(rf"\g<1>{HIDDEN}", text)
    return text


class RedactSecrets(logging.Filter):
    """Lets every record through, without its secrets."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except Exception:
            return True  # logging itself reports a record whose arguments do not fit
        clean = redact(message)
        if clean != message:
            record.msg, record.args = clean, ()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            # Formatters take this text as it is instead of asking the exception again.
            record.exc_text = redact(record.exc_text)
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        return True
