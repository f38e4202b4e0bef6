"""The kinds of occurrences that people of the forum are told of."""

from notifications.event_types import register

register(
    {
        "name": "reply",
        "title": "Replies",
        "description": "Somebody replied to a post of yours",
        "schema": {
            "type": "object",
            "properties": {"post": {"type": "integer"}, "by": {"type": "string"}},
            "required": ["post"],
        },
    }
)
